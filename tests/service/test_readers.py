"""What readers of a sweep's results ask the API: how soon, against what, and whether it is new."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service import versions
from service.dispatcher import Dispatcher
from service.results import Results
from service.settings import Settings
from service.store.session import Database
from tests.conftest import small_sweep
from tests.seeded import seed


@pytest.fixture
def sweep(api: TestClient, database: Database) -> str:
    """The address of a sweep that has ended."""
    document = small_sweep(seeds=3)
    document["base"]["epochs"] = 10
    return f"/api/v1/sweeps/{seed(database, document)}"


def test_speed_is_the_epoch_at_which_a_value_is_reached(api: TestClient, sweep: str) -> None:
    found = api.get(f"{sweep}/speed?threshold=0.7").json()
    assert found["metric"] == "test_accuracy"
    for arm in found["items"]:
        assert arm["trials"] == arm["reached"] == 3
        assert 4 <= arm["epochs"] <= 6  # 0.93 - 0.5 exp(-epoch / 6) = 0.7 at 4.7
        assert arm["seconds"] == pytest.approx(0.5 * arm["epochs"])
    (against,) = found["comparisons"]
    assert against["n"] == against["faster"] + against["ties"] + against["slower"] == 3
    never = api.get(f"{sweep}/speed?threshold=0.99").json()["items"]
    assert [arm["never"] for arm in never] == [[0, 1, 2]] * 2


def test_a_speed_to_a_share_in_percent_is_refused(api: TestClient, sweep: str) -> None:
    """Catches: `never`, of every arm, for one who asked for 88 %."""
    for wrong in ("88", "-0.1", "1.01"):
        refused = api.get(f"{sweep}/speed?threshold={wrong}")
        assert refused.status_code == 422
        assert "test_accuracy is a share, and shares are 0 to 1: 0.88, not 88" in refused.text
    assert api.get(f"{sweep}/speed?threshold=1").status_code == 200
    assert api.get(f"{sweep}/speed?threshold=1.5&metric=test_loss").status_code == 200


def test_the_number_of_seeds_follows_from_the_spread_of_the_pairs(
    api: TestClient, sweep: str
) -> None:
    """Catches: another spread than that of the comparison, or a difference in percent."""
    found = api.get(f"{sweep}/power?difference=0.01").json()
    assert (found["metric"], found["at"], found["difference"]) == ("test_accuracy", "last", 0.01)
    (each,) = found["items"]
    (compared,) = api.get(f"{sweep}/comparisons").json()["items"]
    assert (each["n"], each["std"]) == (3, compared["std"])
    assert each["detectable"] is None  # three pairs cannot be marked, whatever the data
    assert 6 <= each["seeds"] <= each["seeds_high"]
    worse = api.get(f"{sweep}/power?difference=0.005").json()["items"][0]
    assert worse["seeds"] >= each["seeds"]
    assert worse["seeds_high"] > each["seeds_high"]
    of_loss = api.get(f"{sweep}/power?metric=test_loss&at=epoch:2").json()
    assert (of_loss["at"], of_loss["items"][0]["seeds"]) == ("epoch:2", None)


def test_a_difference_of_shares_in_percent_is_refused(api: TestClient, sweep: str) -> None:
    refused = api.get(f"{sweep}/power?difference=2")
    assert refused.status_code == 422
    assert "test_accuracy is a share, 0 to 1: 0.002 is 0.2 percentage points" in refused.text
    assert api.get(f"{sweep}/power?difference=2&metric=test_loss").status_code == 200
    for wrong in ("0", "-0.1", "nan", "inf"):
        assert api.get(f"{sweep}/power?difference={wrong}").status_code == 422


PATHS = [
    "table", "arms", "comparisons", "curves", "speed?threshold=0.7", "power?difference=0.01",
    "plots/learning-curves",
]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_what_a_reader_has_is_not_sent_again(api: TestClient, sweep: str, path: str) -> None:
    first = api.get(f"{sweep}/{path}")
    assert first.status_code == 200
    again = api.get(f"{sweep}/{path}", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    api.patch(sweep, json={"priority": 7})
    changed = api.get(f"{sweep}/{path}", headers={"If-None-Match": first.headers["etag"]})
    assert changed.status_code == 200


@pytest.mark.parametrize("path", [*PATHS, "figures/forest.svg"])
def test_what_another_code_made_is_sent_again(
    api: TestClient, sweep: str, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: a finished sweep's table as it was before an upgrade, for ever."""
    tag = api.get(f"{sweep}/{path}").headers["etag"]
    assert versions.CODE in tag
    monkeypatch.setattr(versions, "CODE", "another")
    answer = api.get(f"{sweep}/{path}", headers={"If-None-Match": tag})
    assert answer.status_code == 200
    assert answer.headers["etag"] == tag.replace(tag[1:-1].partition("-")[2], "another")


def test_the_code_is_known_by_its_sources_alone() -> None:
    """Catches: replicas of one version, or workers of one of them, whose tags differ."""
    code = "from service import versions; print(versions.CODE)"
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    found = subprocess.check_output([sys.executable, "-c", code], env=environment, text=True)
    assert found.strip() == versions.CODE


def test_a_table_of_a_metric_that_nobody_reports_says_which_there_are(
    api: TestClient, database: Database
) -> None:
    """Catches: `not reported` in every cell, for ever, after a slip in the spec."""

    def notes(metric: str, state: str) -> list[str]:
        asked = {"table": {"metric": metric}}
        sweep = seed(database, small_sweep(), states=(state,), stored=asked)
        return list(api.get(f"/api/v1/sweeps/{sweep}/table").json()["notes"])

    assert notes("tset_loss", "succeeded")[0] == (
        "No trial reports 'tset_loss' (did you mean 'test_loss'?), which this table asks for; the "
        "trials report train_loss, train_accuracy, test_loss, test_accuracy: ask for one of these, "
        "or change table.metric with `lrd set`."
    )
    told = [("test_loss", "succeeded"), ("tset_loss", "queued"), ("map_50", "succeeded")]
    for metric, state in told:  # it is there; nobody has reported yet; not every epoch has it
        assert "No trial reports" not in " ".join(notes(metric, state))


def test_expected_numbers_of_a_metric_that_nobody_reports_are_not_dropped_in_silence(
    api: TestClient, database: Database
) -> None:
    def notes(metric: str, state: str = "succeeded") -> str:
        where = {"optimizer.keep_prob": 0.5}
        values = [{"where": where, "value": 0.9}, {"where": where, "value": 0.4, "metric": metric}]
        asked = {"expected": {"source": "a paper", "values": values}}
        sweep = seed(database, small_sweep(), states=(state,), stored=asked)
        return " ".join(api.get(f"/api/v1/sweeps/{sweep}/table").json()["notes"])

    assert (
        "1 expected number is of 'val_accuracy' (did you mean 'train_accuracy'?), which no trial "
        "reports, so compared with nothing; the trials report train_loss, train_accuracy, test_loss"
    ) in notes("val_accuracy")
    assert "compared with nothing" not in notes("test_loss")
    assert "compared with nothing" not in notes("val_accuracy", "queued")  # nobody has reported yet


def test_a_stored_sweep_that_would_be_refused_today_is_read_as_before(
    api: TestClient, database: Database
) -> None:
    """Catches: years of results that a stricter version no longer shows."""
    arms = [{"label": "SD", "set": {"epochs": epochs}} for epochs in (2, 3)]
    asked = {"arms": arms, "table": {"metric": "tset_loss"}}
    sweep = f"/api/v1/sweeps/{seed(database, small_sweep(), stored=asked)}"
    for path in ("", "/table?format=latex", "/arms", "/comparisons", "/export?format=bundle"):
        assert api.get(f"{sweep}{path}").status_code == 200, path
    assert faults(api.post(f"{sweep}/extend", json={"seeds": 3})) == ["/arms/1/label"]
    repaired = {"arms": [arms[0], arms[1] | {"label": "SD, longer"}]}
    assert faults(api.post(f"{sweep}/clone", json=repaired)) == ["/table/metric"]
    assert api.post(f"{sweep}/clone", json=repaired | {"table": {}}).status_code == 201


def faults(answer: Any) -> list[str]:
    assert answer.status_code == 422
    return [each["pointer"] for each in answer.json()["errors"]]


@pytest.mark.parametrize(
    ("dataset", "model", "metric"),
    [
        ("digits", "fcnet", "test_accuracy"),
        ("cifar10_holdout", "resnet34", "val_accuracy"),
        ("voc_segmentation", "pspnet", "mean_iou"),
        ("voc_detection", "ssd300", "val_loss"),
    ],
)
def test_a_table_before_the_first_report_is_of_what_will_be_reported(
    api: TestClient, dataset: str, model: str, metric: str
) -> None:
    """Catches: the test accuracy of a segmentation whose trials all failed before an epoch."""
    document = small_sweep()
    document["base"] |= {"dataset": dataset, "model": model, "batch_size": 2}
    sweep = api.post("/api/v1/sweeps", json=document).json()
    assert api.get(f"/api/v1/sweeps/{sweep['id']}/table").json()["metric"] == metric


def test_a_plot_of_a_metric_that_the_trial_does_not_report_says_which_there_are(
    api: TestClient, sweep: str
) -> None:
    """Catches: an empty figure for a misspelt metric; a running trial refused before its time."""
    trial = f"/api/v1/trials/{api.get(f'{sweep}/trials').json()['items'][0]['id']}"
    assert len(api.get(f"{trial}/plot?metric=test_loss&points=5").json()["data"][0]["x"]) == 5
    answer = api.get(f"{trial}/plot?metric=test_los")
    assert answer.status_code == 422
    assert "did you mean 'test_loss'" in answer.json()["detail"]
    queued = api.post("/api/v1/sweeps", json=small_sweep()).json()["id"]
    trial = f"/api/v1/trials/{api.get(f'/api/v1/sweeps/{queued}/trials').json()['items'][0]['id']}"
    assert api.get(f"{trial}/plot?metric=test_loss").json()["data"] == []


def test_a_baseline_that_is_no_arm_is_not_found(api: TestClient, sweep: str) -> None:
    answer = api.get(f"{sweep}/comparisons?baseline=987654")
    assert answer.status_code == 404
    assert "has no arm 987654" in answer.json()["detail"]


def test_a_cancelled_sweep_is_cloned_not_extended(api: TestClient, database: Database) -> None:
    sweep = f"/api/v1/sweeps/{seed(database, small_sweep(), states=('running', 'queued'))}"
    api.post(f"{sweep}/cancel")
    for request, body, said in (
        ("retry", None, "is being cancelled; retry when its trials have stopped"),
        ("extend", {"seeds": 5}, "was cancelled; clone it instead"),
    ):
        answer = api.post(f"{sweep}/{request}", json=body)
        assert answer.status_code == 409
        assert said in answer.json()["detail"]
    (queued,) = api.get(f"{sweep}/trials?state=cancelled&page_size=1").json()["items"]
    answer = api.post(f"/api/v1/trials/{queued['id']}/retry")
    assert "is being cancelled" in answer.json()["detail"]


def test_arms_that_a_grid_gets_have_the_seeds_of_the_others(
    api: TestClient, database: Database
) -> None:
    """Catches: a spec in which the first explicit arms stand in place of the grid's own."""
    sweep = f"/api/v1/sweeps/{seed(database, small_sweep())}"
    labelled = {"label": "SD", "set": {"regularizers": ["SD"]}}
    assert api.post(f"{sweep}/extend", json={"arms": [labelled]}).json()["trials_total"] == 8
    extended = api.post(f"{sweep}/extend", json={"seeds": 3}).json()
    assert extended["trials_total"] == 12
    arms = api.get(f"{sweep}/arms").json()["items"]
    assert [arm["planned"] for arm in arms] == [3] * 4
    clone = api.post("/api/v1/sweeps?validate_only=true", json=extended["spec"]).json()
    assert [arm["label"] for arm in clone["arms"]] == [arm["label"] for arm in arms]


def test_a_bundle_is_a_zip(api: TestClient) -> None:
    answer = api.post("/api/v1/import", json={"a": 1})
    assert answer.status_code == 415
    assert "application/zip" in answer.json()["detail"]


@pytest.mark.parametrize("kind", ["Application/Zip", "application/zip ; x=1", " application/ZIP;"])
def test_a_bundles_media_type_is_read_as_any_other(api: TestClient, kind: str) -> None:
    """Catches: 415 for capitals, or a blank before a parameter."""
    answer = api.post("/api/v1/import", content=b"none", headers={"Content-Type": kind})
    assert (answer.status_code, answer.json()["type"]) == (422, "/errors#invalid-request")


def test_the_password_of_the_database_stands_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("p@ss/word\n")
    settings = Settings(
        database_url="postgresql://lrd@postgres/lrd",
        database_password_file=tmp_path / "password",
    )
    assert settings.database == "postgresql://lrd:p%40ss%2Fword@postgres/lrd"
    assert "word" not in settings.environment()["LRD_DATABASE_URL"]


@pytest.mark.parametrize(
    ("path", "computed"),
    [
        ("curves", "curves"),
        ("speed?threshold=0.1", "speed"),
        ("plots/learning-curves", "curves"),
        ("plots/forest", "comparisons"),
        ("plots/effects", "effects"),
        ("figures/keep-prob.svg", "summaries"),
        ("arms", "arm_views"),
        ("comparisons", "comparison_table"),
        ("effects?format=csv", "effect_table"),
        ("table?format=latex", "table"),
        ("methods?format=latex", "methods"),
    ],
)
def test_what_is_computed_for_a_reader_keeps_no_writer_waiting(
    api: TestClient,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    path: str,
    computed: str,
) -> None:
    """Catches: a table or a figure made in the middle of a transaction, for whose end SQLite's
    writers wait."""
    sweep_id = seed(database, small_sweep(), states=("succeeded",))
    held: list[int] = []
    real = getattr(Results, computed)

    def compute(*args: Any, **options: Any) -> Any:
        held.append(database.engine.pool.checkedout())  # type: ignore[attr-defined]
        return real(*args, **options)

    monkeypatch.setattr(Results, computed, compute)
    answer = api.get(f"/api/v1/sweeps/{sweep_id}/{path}")
    assert answer.status_code == 200, answer.text
    assert held
    assert not any(held)


def test_figures_without_a_row_are_refused_for_the_sweeps_own_reason(
    api: TestClient, database: Database
) -> None:
    """Catches: one arm is told to name a baseline; a connection that each refusal keeps."""
    sweep_id = seed(database, {**small_sweep(grid={}), "baseline": {}})
    for name, why in (("forest", "nothing to compare it with"), ("effects", "no factor has an")):
        answer = api.get(f"/api/v1/sweeps/{sweep_id}/figures/{name}.svg")
        assert (answer.status_code, why in answer.json()["detail"]) == (404, True), answer.text
    assert database.engine.pool.checkedout() == 0  # type: ignore[attr-defined]


def test_a_descent_that_runs_away_is_read_in_every_form(
    api: TestClient, dispatcher: Dispatcher
) -> None:
    """Catches: HTTP 500 from what holds a diverged arm against another that no seed changes."""
    base = {"dataset": "surface", "data": {"surface": "toy"}, "model": "point"}
    document = {
        "name": "descents",
        "base": base | {"optimizer": {"name": "sgdm"}, "epochs": 2},
        "grid": {"optimizer.lr": [1e-5, 10]},
        "seeds": 2,
        "baseline": {"optimizer.lr": 1e-5},
    }
    sweep = f"/api/v1/sweeps/{api.post('/api/v1/sweeps', json=document).json()['id']}"
    for _ in range(8):
        dispatcher.step(0)
    trials = api.get(f"{sweep}/trials").json()["items"]
    assert [trial["reason"] for trial in trials] == [None, "diverged"] * 2
    said = "counting a diverged seed as lost: wins 0, losses 2."
    for what in ("table", "comparisons"):
        for form in ("json", "markdown", "csv", "latex"):
            answer = api.get(f"{sweep}/{what}", params={"format": form})
            assert answer.status_code == 200, (what, form)
            assert form == "csv" or said in answer.text, (what, form)
    assert api.get(f"{sweep}/export?format=bundle").status_code == 200
