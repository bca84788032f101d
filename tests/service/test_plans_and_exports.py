"""Before a sweep: plans, presets, reuse. After it: CSV, Parquet, bundles that come back whole."""

import csv
import hashlib
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import update

from lrd_core.surfaces import SURFACES
from service.app import create_app
from service.dispatcher import Dispatcher
from service.settings import Settings
from service.store.models import Sweep
from service.store.session import Database
from tests.conftest import factorial, small_sweep
from tests.seeded import seed


def submit(api: TestClient, **changes: Any) -> dict[str, Any]:
    answer = api.post("/api/v1/sweeps", json=small_sweep(**changes))
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def finished(api: TestClient, dispatcher: Dispatcher, **changes: Any) -> str:
    sweep_id = str(submit(api, **changes)["id"])
    for _ in range(40):
        dispatcher.step(0)
    assert api.get(f"/api/v1/sweeps/{sweep_id}").json()["state"] == "succeeded"
    return sweep_id


def plan(api: TestClient, document: dict[str, Any]) -> dict[str, Any]:
    answer = api.post("/api/v1/sweeps?validate_only=true", json=document)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


class TestPlan:
    def test_says_what_the_seeds_can_show(self, api: TestClient) -> None:
        found = plan(api, small_sweep(seeds=5))
        assert (found["arms_total"], found["trials_total"], found["comparisons"]) == (2, 10, 1)
        assert not found["seeds"]["can_reject"]
        assert "6 seeds can" in found["seeds"]["sentence"]
        assert plan(api, small_sweep(seeds=6))["seeds"]["can_reject"]
        assert api.get("/api/v1/sweeps").json()["items"] == []

    def test_says_which_arms_would_compute_the_same(self, api: TestClient) -> None:
        grid = {"schedule.gamma": [0.1, 0.5]}
        (said,) = plan(api, small_sweep(grid=grid, baseline={}))["advice"]
        assert said.startswith("gamma = 0.1; gamma = 0.5 differ only in settings that change")
        assert plan(api, small_sweep())["advice"] == []

    def test_names_the_arms_that_nothing_is_compared_with(self, api: TestClient) -> None:
        """Catches: "8 pairs can reach" of one comparison, and not that another is lost."""
        settings = [("adam", 1.0), ("adam", 0.5), ("sgdm", 1.0), ("radam", 0.5)]
        arms = [
            {"label": name, "set": {"optimizer": {"name": name, "keep_prob": keep_prob}}}
            for name, keep_prob in settings
        ]
        arms[1]["label"], arms[3]["label"] = "adam with LRD", "other"
        found = plan(api, small_sweep(grid={}, arms=arms, baseline={"optimizer.keep_prob": 1.0}))
        assert found["comparisons"] == 1
        assert found["advice"] == ["without a baseline to compare with: other"]

    @pytest.mark.parametrize(("keep_probs", "seeded"), [([1.0, 0.0], False), ([1.0, 0.5], True)])
    def test_no_seeds_are_asked_for_where_none_changes_anything(
        self, api: TestClient, keep_probs: list[float], seeded: bool
    ) -> None:
        """Catches: "6 seeds can", of descents that are the same with each seed."""
        base = {"dataset": "surface", "data": {"surface": "toy"}, "model": "point", "epochs": 1}
        found = plan(
            api,
            {
                "name": "descents",
                "base": base | {"optimizer": {"name": "sgdm"}},
                "grid": {"optimizer.keep_prob": keep_probs},
                "baseline": {"optimizer.keep_prob": 1.0},
                "seeds": 8,
            },
        )["seeds"]
        assert found["seeded"] is found["can_reject"] is seeded
        assert ("No seed changes anything" in found["sentence"]) is not seeded

    def test_judges_the_time_by_trials_of_the_past(
        self, api: TestClient, dispatcher: Dispatcher
    ) -> None:
        assert plan(api, small_sweep())["time"]["trial_seconds"] is None
        sweep_id = finished(api, dispatcher)
        spent = [t["seconds"] for t in api.get(f"/api/v1/sweeps/{sweep_id}/trials").json()["items"]]
        found = plan(api, small_sweep(seeds=4))
        assert found["present_elsewhere"] == 4
        assert found["time"]["exact"] == 8
        assert min(spent) * 8 <= found["time"]["trial_seconds"] <= max(spent) * 8

    def test_says_what_the_cluster_lacks(self, api: TestClient, dispatcher: Dispatcher) -> None:
        """Catches: a time for a sweep of which no trial could ever start."""
        large = small_sweep(resources={"num_gpus": 1})
        assert plan(api, large)["waiting_for"] is None  # nobody has seen a cluster yet
        dispatcher.step(0)
        why = plan(api, large)["waiting_for"]
        assert why == "a trial needs 1 GPU on one node; the largest node has 0"
        assert plan(api, small_sweep())["waiting_for"] is None

    def test_takes_for_present_only_what_a_sweep_would_take_over(
        self, api: TestClient, dispatcher: Dispatcher
    ) -> None:
        # Catches: trials of another precision or of older code, promised and then run after all.
        finished(api, dispatcher)
        found = plan(api, small_sweep(reuse=True))
        assert (found["present_elsewhere"], found["time"]["trial_seconds"]) == (4, 0)
        other = small_sweep(reuse=True, execution={"precision": "bf16"})
        found = plan(api, other)
        assert (found["present_elsewhere"], found["time"]["exact"]) == (0, 4)
        assert submit(api, reuse=True, execution={"precision": "bf16"})["trials"]["queued"] == 4


class TestPresets:
    def test_are_listed_and_read(self, api: TestClient) -> None:
        items = api.get("/api/v1/presets").json()["items"]
        assert {"digits", "table-1-mnist", "table-2"} <= {item["name"] for item in items}
        one = api.get("/api/v1/presets/digits").json()
        assert one["trials_total"] == 30
        assert one["spec"]["base"]["dataset"] == "digits"
        assert api.get("/api/v1/presets/digits/text").text == one["text"]
        assert api.get("/api/v1/presets/none").status_code == 404

    def test_are_submitted_with_changes(self, api: TestClient) -> None:
        asked = {"preset": "digits", "set": {"base.epochs": 1}, "seeds": 1}
        answer = api.post("/api/v1/sweeps", json=asked)
        assert answer.status_code == 201
        assert answer.json()["trials_total"] == 10
        assert answer.json()["spec"]["base"]["epochs"] == 1

    def test_name_what_is_wrong_in_the_request(self, api: TestClient) -> None:
        asked = {"preset": "digits", "set": {"base.epochs": 0}}
        (error,) = api.post("/api/v1/sweeps", json=asked).json()["errors"]
        assert error["pointer"] == "/set/base.epochs"
        (error,) = api.post("/api/v1/sweeps", json={"preset": "no"}).json()["errors"]
        assert error["pointer"] == "/preset"
        (error,) = api.post("/api/v1/sweeps", json={"preset": "digits", "x": 1}).json()["errors"]
        assert error["pointer"] == "/x"


class TestReuse:
    def test_takes_equal_trials_over_and_runs_the_others(
        self, api: TestClient, dispatcher: Dispatcher
    ) -> None:
        first = finished(api, dispatcher, seeds=1)
        sweep = submit(api, seeds=2, reuse=True)
        assert (sweep["trials"]["succeeded"], sweep["trials"]["queued"]) == (2, 2)
        old = api.get(f"/api/v1/sweeps/{first}/trials").json()["items"]
        new = api.get(f"/api/v1/sweeps/{sweep['id']}/trials").json()["items"]
        reused = [trial for trial in new if trial["reused_from"]]
        assert [trial["reused_from"] for trial in reused] == [trial["id"] for trial in old]
        assert [trial["weights_sha256"] for trial in reused] == [
            trial["weights_sha256"] for trial in old
        ]
        for donor, trial in zip(old, reused, strict=True):
            reports = api.get(f"/api/v1/trials/{trial['id']}/reports").json()["items"]
            assert reports == api.get(f"/api/v1/trials/{donor['id']}/reports").json()["items"]
            (attempt,) = api.get(f"/api/v1/trials/{trial['id']}/attempts").json()["items"]
            assert attempt["message"] == "reused"
        for _ in range(40):
            dispatcher.step(0)
        again = submit(api, seeds=2, reuse=True)
        assert again["state"] == "succeeded"
        arms = api.get(f"/api/v1/sweeps/{again['id']}/arms").json()["items"]
        assert {(arm["n"], arm["gpu_seconds"], arm["cpu_seconds"]) for arm in arms} == {(2, 0, 0)}

    def test_does_not_without_being_asked_nor_for_another_execution(
        self, api: TestClient, dispatcher: Dispatcher
    ) -> None:
        finished(api, dispatcher, seeds=1)
        assert submit(api, seeds=1)["trials"]["queued"] == 2
        other = submit(api, seeds=1, reuse=True, execution={"precision": "bf16"})
        assert other["trials"]["queued"] == 2


class TestExport:
    def test_csv_holds_every_epoch_and_every_setting(
        self, api: TestClient, dispatcher: Dispatcher
    ) -> None:
        sweep_id = finished(api, dispatcher)
        path = f"/api/v1/sweeps/{sweep_id}/export"
        reports = list(csv.DictReader(io.StringIO(api.get(path).text)))
        trials = list(csv.DictReader(io.StringIO(api.get(f"{path}?of=trials").text)))
        assert (len(reports), len(trials)) == (8, 4)
        assert list(reports[0])[:6] == ["trial_id", "arm_id", "arm", "seed", "attempt", "epoch"]
        arms = {trial["arm_id"]: trial["arm"] for trial in trials}
        assert [row["arm"] for row in reports] == [arms[row["arm_id"]] for row in reports]
        assert set(arms.values()) == {"without LRD", "LRD (keep_prob = 0.5)"}
        assert [row["config.optimizer.keep_prob"] for row in trials] == ["1.0", "0.5"] * 2
        recorded = [
            report["test_accuracy"]
            for trial in trials
            for report in api.get(f"/api/v1/trials/{trial['id']}/reports").json()["items"]
        ]
        assert [float(row["test_accuracy"]) for row in reports] == recorded

    def test_a_trials_row_ends_with_what_it_reached_and_says_when(
        self, api: TestClient, dispatcher: Dispatcher
    ) -> None:
        """Catches: trials.csv of a bundle without a single result, and in seconds since 1970."""
        sweep_id = finished(api, dispatcher)
        text = api.get(f"/api/v1/sweeps/{sweep_id}/export?of=trials").text
        rows = list(csv.DictReader(io.StringIO(text)))
        shown = api.get(f"/api/v1/sweeps/{sweep_id}/trials").json()["items"]
        for row, trial in zip(rows, shown, strict=True):
            reached = {name: float(row[f"last.{name}"]) for name in ("test_accuracy", "test_loss")}
            assert reached.items() <= trial["last_report"].items()
            times = ("created_at", "started_at", "finished_at")
            assert [row[name] for name in times] == [trial[name] for name in times]
        assert not {"last.epoch", "last.lr", "last.seconds"} & rows[0].keys()
        bundle = api.get(f"/api/v1/sweeps/{sweep_id}/export?format=bundle").content
        with zipfile.ZipFile(io.BytesIO(bundle)) as files:
            assert files.read("trials.csv").decode() == text
            path = f"/api/v1/sweeps/{sweep_id}/export?of=reports"
            assert files.read("reports.csv").decode() == api.get(path).text

    def test_parquet_takes_metrics_that_come_late(
        self, api: TestClient, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Catches: a column that is text because the first rows have nothing in it."""
        monkeypatch.setattr("service.exports.BATCH", 1)
        sweep_id = seed(database, small_sweep(), states=("queued", "succeeded"))
        path = f"/api/v1/sweeps/{sweep_id}/export?of=trials&format=parquet"
        reached = pd.read_parquet(io.BytesIO(api.get(path).content))["last.test_accuracy"]
        assert reached.isna().tolist() == [True, False] * 2

    def test_parquet_holds_the_same(
        self, api: TestClient, dispatcher: Dispatcher, tmp_path: Path
    ) -> None:
        import pyarrow.parquet as pq

        sweep_id = finished(api, dispatcher)
        for of in ("reports", "trials"):
            path = f"/api/v1/sweeps/{sweep_id}/export?of={of}"
            lines = list(csv.DictReader(io.StringIO(api.get(path).text)))
            file = tmp_path / "rows.parquet"
            file.write_bytes(api.get(f"{path}&format=parquet").content)
            rows = pq.read_table(file).to_pylist()
            assert [set(row) for row in rows] == [set(line) for line in lines]
            numbers = [name for name in rows[0] if isinstance(rows[0][name], float)]
            assert [[row[n] for n in numbers] for row in rows] == [
                [float(line[n]) for n in numbers] for line in lines
            ]

    def test_a_bundle_comes_back_whole_elsewhere(
        self,
        api: TestClient,
        dispatcher: Dispatcher,
        database: Database,
        tmp_path: Path,
        sqlite: Any,
    ) -> None:
        sweep_id = finished(api, dispatcher)
        with database.write() as session:
            session.execute(update(Sweep).values(gpu_share=0.25))
        bundle = api.get(f"/api/v1/sweeps/{sweep_id}/export?format=bundle").content
        with zipfile.ZipFile(io.BytesIO(bundle)) as files:
            names = set(files.namelist())
            for line in files.read("SHA256SUMS").decode().splitlines():
                sha256, name = line.split("  ")
                assert hashlib.sha256(files.read(name)).hexdigest() == sha256
                names.discard(name)
            assert names == {"SHA256SUMS"}
            captions = files.read("figures/captions.md").decode()
            assert "keep-prob: test accuracy (%)" in captions
            assert captions.count("95 % Student t interval") == 2
            assert captions.count("n = 2 ") == 3
            environments = json.loads(files.read("environment.json"))["trials"].values()
            assert all(
                attempt["environment"]["torch"] for trial in environments for attempt in trial
            )

        elsewhere = Settings(
            storage_dir=tmp_path / "elsewhere", database_url=sqlite(tmp_path / "elsewhere")
        )
        there = Database(elsewhere.database)
        with TestClient(create_app(elsewhere, there), base_url="http://127.0.0.1") as other:
            headers = {"Content-Type": "application/zip"}
            answer = other.post("/api/v1/import", content=bundle, headers=headers)
            assert answer.status_code == 201, answer.text
            for part in ("/table", "/comparisons", "/curves"):
                path = f"/api/v1/sweeps/{sweep_id}{part}"
                assert without_ids(other.get(path).json()) == without_ids(api.get(path).json())
            with there.read() as session:
                assert session.get_one(Sweep, sweep_id).gpu_share is None  # other GPUs are here
            again = other.post("/api/v1/import", content=bundle, headers=headers)
            assert again.status_code == 409
            torn = other.post("/api/v1/import", content=bundle[:-50], headers=headers)
            assert torn.status_code == 422
            changed = repacked(bundle, "rows/reports.jsonl")
            answer = other.post("/api/v1/import", content=changed, headers=headers)
            assert answer.status_code == 422
            assert "rows/reports.jsonl" in answer.json()["detail"]
        there.close()

    def test_a_bundle_of_a_running_sweep_is_refused(self, api: TestClient) -> None:
        sweep_id = submit(api)["id"]
        answer = api.get(f"/api/v1/sweeps/{sweep_id}/export?format=bundle")
        assert answer.status_code == 409
        empty = api.get(f"/api/v1/sweeps/{sweep_id}/export").text.splitlines()
        assert len(empty) == 1

    def test_what_has_no_rows_is_a_table_without_rows(self, api: TestClient) -> None:
        path = f"/api/v1/sweeps/{submit(api)['id']}/export?format=parquet"
        assert pd.read_parquet(io.BytesIO(api.get(path).content)).empty


def repacked(bundle: bytes, name: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(bundle)) as old, zipfile.ZipFile(out, "w") as new:
        for each in old.namelist():
            new.writestr(each, b"" if each == name else old.read(each))
    return out.getvalue()


def without_ids(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name: without_ids(item)
            for name, item in value.items()
            if name not in ("arm_id", "baseline_id", "id")
        }
    return [without_ids(item) for item in value] if isinstance(value, list) else value


DESCENT = {
    "name": "descents",
    "base": {
        "dataset": "surface",
        "data": {"surface": "toy"},
        "model": "point",
        "optimizer": {"name": "adam", "lr": 0.1},
        "epochs": 2,
    },
    "grid": {"optimizer.keep_prob": [1.0, 0.5, 0.2]},
    "seeds": 1,
}


class TestFigures:
    @pytest.mark.parametrize("name", ["learning-curves", "keep-prob", "forest", "effects"])
    def test_each_is_a_file_for_paper_and_a_plot_for_the_page(
        self, api: TestClient, database: Database, name: str
    ) -> None:
        sweep = f"/api/v1/sweeps/{seed(database, factorial())}"
        drawn = api.get(f"{sweep}/figures/{name}.svg")
        assert (drawn.status_code, drawn.content[:5]) == (200, b"<?xml")
        plot = api.get(f"{sweep}/plots/{name}")
        assert plot.json()["data"]
        again = api.get(f"{sweep}/plots/{name}", headers={"If-None-Match": plot.headers["ETag"]})
        assert again.status_code == 304

    def test_a_descents_paths_begin_at_the_surfaces_points(
        self, api: TestClient, dispatcher: Dispatcher
    ) -> None:
        sweep_id = str(api.post("/api/v1/sweeps", json=DESCENT).json()["id"])
        assert api.get(f"/api/v1/sweeps/{sweep_id}/plots/descent").json()["data"] == []
        for _ in range(10):
            dispatcher.step(0)
        plot = api.get(f"/api/v1/sweeps/{sweep_id}/plots/descent").json()
        paths = [each for each in plot["data"] if each.get("mode") == "lines"]
        starts = SURFACES["toy"].drawn
        assert [(each["x"][0], each["y"][0]) for each in paths] == [*starts] * 3
        names = [each["name"] for each in paths if each["showlegend"]]
        assert names == ["without LRD", "LRD (keep_prob = 0.5)", "LRD (keep_prob = 0.2)"]
        assert all(each["x"][0] != each["x"][-1] for each in paths)
        drawn = api.get(f"/api/v1/sweeps/{sweep_id}/figures/descent.png")
        assert drawn.content[1:4] == b"PNG"
        # Catches: a bundle of descents without their figure.
        bundle = api.get(f"/api/v1/sweeps/{sweep_id}/export?format=bundle").content
        with zipfile.ZipFile(io.BytesIO(bundle)) as files:
            assert "figures/descent.pdf" in files.namelist()
            assert "The paths of the descents" in files.read("figures/captions.md").decode()
            kept = json.loads(files.read("descents.json"))
        assert [ways[0][0] for ways in kept.values()] == [list(starts[0])] * 3

    def test_another_sweep_has_no_descent(self, api: TestClient) -> None:
        answer = api.get(f"/api/v1/sweeps/{submit(api)['id']}/plots/descent")
        assert (answer.status_code, "surface" in answer.json()["detail"]) == (404, True)
