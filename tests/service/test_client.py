"""The Python client: what it sends, and what it makes of answers; test_connection has the rest."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from lrd_core.errors import InvalidSpec, LRDError
from lrd_core.spec import SweepSpec
from service.client import Client, ServiceAnswered, StillRunning, SubmittedSweep
from service.client.frames import frame
from service.dispatcher import Dispatcher
from service.settings import Settings
from service.store.session import Database
from tests.conftest import factorial, small_sweep
from tests.inline import InlineExecutor
from tests.seeded import seed
from tests.wire import Wire


def run(settings: Settings, database: Database) -> None:
    dispatcher = Dispatcher(database, InlineExecutor(settings.trials), lease_seconds=60)
    for _ in range(40):
        dispatcher.step(0)


@pytest.mark.parametrize("kind", ["text", "file", "data", "spec"])
def test_a_sweep_is_submitted_however_it_is_written(
    client: Client, tmp_path: Path, kind: str
) -> None:
    document = small_sweep()
    path = tmp_path / "sweep.yaml"
    path.write_text(yaml.safe_dump(document))
    written = {
        "text": path.read_text(), "file": path, "data": document,
        "spec": SweepSpec.parse(document),
    }[kind]  # fmt: skip
    sweep = client.submit(written)
    assert sweep.trials_total == client.plan(written)["trials_total"] == 4
    assert sweep.status()["spec"]["grid"] == document["grid"]
    assert [each["id"] for each in client.sweeps()] == [sweep.id]


def test_who_gives_the_name_of_a_file_as_text_is_told(client: Client) -> None:
    """Catches: `should be a mapping of fields to their values, got 'sweep.yaml'`."""
    with pytest.raises(LRDError, match=r"text, not a file: give Path\('my/sweep\.yaml'\)"):
        client.submit("my/sweep.yaml")
    with pytest.raises(InvalidSpec, match="/base: missing"):
        client.plan("name: sweep.yaml")


def test_faults_are_named_where_they_were_made(client: Client) -> None:
    with pytest.raises(InvalidSpec) as refused:
        client.submit(small_sweep(seeds=0))
    assert [fault.pointer for fault in refused.value.faults] == ["/seeds"]


def test_a_sweep_is_waited_for_and_read_as_frames(
    client: Client, settings: Settings, database: Database
) -> None:
    sweep = client.submit(small_sweep())
    with pytest.raises(StillRunning, match="has not ended after 0 s"):
        sweep.wait(timeout=0)
    run(settings, database)
    assert sweep.wait()["state"] == "succeeded"
    table = sweep.table()
    assert list(table["is_baseline"]) == [True, False]
    assert set(table["optimizer.keep_prob"]) == {1.0, 0.5}
    arms = {arm["id"]: arm["metrics"]["test_accuracy"]["mean"] for arm in sweep.arms()}
    assert dict(zip(table["arm_id"], table["mean"], strict=True)) == pytest.approx(arms)
    reports = sweep.reports()
    assert len(reports) == 8
    assert set(reports["arm"]) == set(table["arm"])
    last = reports[reports["epoch"] == 2].groupby("arm_id")["test_accuracy"].mean()
    assert last.to_dict() == pytest.approx(arms)
    assert list(sweep.trials()["state"]) == ["succeeded"] * 4
    (compared,) = sweep.comparisons().to_dict("records")
    assert compared["arm_id"] in arms
    assert compared["difference"] == pytest.approx(
        arms[compared["arm_id"]] - arms[compared["baseline_id"]]
    )
    assert "test accuracy" in sweep.table_text()
    assert sweep.figure("forest", "svg").startswith(b"<?xml")


def test_arms_have_their_own_labels_in_frames(client: Client, database: Database) -> None:
    """Catches: an arm called None that is NaN, one called 1 that is a number, one called +SD with
    the apostrophe that keeps spreadsheets from computing it."""
    labels = ["None", "+SD", "'+SD", "'quoted", "1", "nan", "=1+1"]
    document = small_sweep(seeds=1)
    del document["grid"], document["baseline"]
    document["arms"] = [
        {"label": label, "set": {"optimizer.lr": at / 1000}} for at, label in enumerate(labels, 1)
    ]
    sweep = client.sweep(seed(database, document))
    table = sweep.table(baseline=sweep.arms()[0]["id"])
    assert list(table["arm"]) == labels
    assert list(table["baseline"][1:]) == ["None"] * 6
    assert list(sweep.trials()["arm"]) == labels
    assert list(dict.fromkeys(sweep.reports()["arm"])) == labels


def test_what_is_not_there_and_what_is_no_number_is_nan_in_a_frame() -> None:
    """Catches: a NaN that makes a column of numbers one of texts."""
    found = frame(b"arm,test_loss,at,'=x\nNA,nan,None,inf\n,0.5,'-1,\n")
    assert found["test_loss"].isna().tolist() == [True, False]
    assert (found["test_loss"].dtype, found["=x"][0]) == (float, float("inf"))
    assert (found["arm"][0], found["at"].tolist()) == ("NA", ["None", "-1"])
    assert [found["arm"].isna()[1], found["=x"].isna()[1]] == [True, True]


def test_the_effects_of_factors_are_a_frame_and_a_text(client: Client, database: Database) -> None:
    found = client.sweep(seed(database, factorial()))
    names = ["LRD (keep_prob = 0.5)", "SD", "LRD (keep_prob = 0.5) × SD"]
    assert list(found.effects()["name"]) == names
    assert list(found.effects(metric="test_loss", at="best")["at"]) == ["best"] * 3
    assert "settings" in found.effects_text()


def test_how_soon_a_value_is_reached(client: Client, database: Database) -> None:
    sweep = client.sweep(seed(database, small_sweep()))
    found = sweep.speed(0.1)
    assert (found["metric"], found["threshold"]) == ("test_accuracy", 0.1)
    assert [arm["reached"] for arm in found["items"]] == [2, 2]
    assert sweep.speed(0.0, metric="test_loss")["items"][0]["reached"] == 0


def test_how_many_seeds_a_difference_takes(client: Client, database: Database) -> None:
    sweep = client.sweep(seed(database, small_sweep(seeds=3)))
    assert sweep.power()["difference"] is None
    (found,) = sweep.power(0.01, baseline="without LRD", at="best")["items"]
    assert found["n"] == 3
    assert found["seeds"] >= 6


def test_requests_and_what_follows_them(
    client: Client, settings: Settings, database: Database
) -> None:
    sweep = client.submit_preset("digits", {"base.epochs": 1}, seeds=1)
    assert sweep.pause()["state"] == "paused"
    assert sweep.resume()["state"] == "queued"
    assert sweep.change(priority=4)["priority"] == 4
    assert sweep.extend(seeds=2)["trials_total"] == 20
    clone = sweep.clone(seeds=1, name="again")
    assert (clone.trials_total, clone.status()["name"]) == (10, "again")
    assert sweep.cancel()["state"] == "cancelled"
    assert sweep.retry(cancelled=True)["state"] == "queued"
    assert [view["state"] for view in clone.watch() if clone.cancel()] == ["queued", "cancelled"]
    assert client.sweep(clone.id) == clone
    assert clone.failures() == []


def test_why_trials_failed_is_read_cause_by_cause(client: Client, database: Database) -> None:
    """Catches: `failures` that lists trials, where the route of that name counts causes."""
    sweep = client.sweep(seed(database, small_sweep(), states=("succeeded", "failed")))
    (cause,) = sweep.failures()
    assert (cause["reason"], cause["trials"]) == ("error", 2)
    assert [trial["id"] for trial in sweep.list_trials("failed")] == [2, 4]
    assert cause["trial_id"] == 2


def test_a_sweep_is_named_as_on_the_command_line(client: Client, database: Database) -> None:
    """Catches: names and beginnings of ids, which only the command line took; and a part of a name
    where the whole id is asked for."""
    first = client.sweep(seed(database, small_sweep(name="one sweep")))
    second = client.sweep(seed(database, small_sweep(name="another")))
    assert client.sweep("one sweep") == client.sweep(first.id[:9]) == first
    for called in ("sweep", "../sweeps"):
        with pytest.raises(ServiceAnswered, match=f"there is no sweep '{called}'") as refused:
            client.sweep(called)
        assert (refused.value.status, refused.value.type) == (404, "not-found")
    third = client.sweep(seed(database, small_sweep(name="another")))
    with pytest.raises(LRDError, match=f"matches 2 sweeps: {third.id}, {second.id}; name one by"):
        client.sweep("another")
    for called in ("one sweep", first.id[:9]):
        with pytest.raises(ServiceAnswered, match="no sweep with the complete id"):
            client.sweep(called, exactly=True)


def test_a_sweep_without_a_name_is_told(client: Client) -> None:
    """Catches: `/sweeps/`, of `lrd table "$SWEEP"` where no such variable is set."""
    for exactly in (False, True):
        with pytest.raises(LRDError, match=r"^the sweep's name is empty .*`lrd ls`"):
            client.sweep("", exactly=exactly)


def test_an_arm_is_named_by_its_label_or_its_id(client: Client, database: Database) -> None:
    """Catches: `baseline should be a valid integer`, and labels that only some questions take."""
    document = factorial()
    sweep = client.sweep(seed(database, document))
    of = {arm["label"]: arm["id"] for arm in sweep.arms()}
    label = list(of)[-1]
    for question in (of[label], str(of[label]), label):
        (named,) = {row["baseline"] for row in sweep.compare(baseline=question)}
        assert named == label
        assert set(sweep.table(baseline=question)["baseline"].dropna()) == {label}
        assert {row["baseline_id"] for _, row in sweep.comparisons(baseline=question).iterrows()}
        assert {each["label"] for each in sweep.list_trials(arm=question)} == {label}
    for asked in (sweep.effects_text, sweep.methods_text, sweep.comparisons_text):
        assert asked(baseline=label) == asked(baseline=of[label])
    assert sweep.caption("forest", baseline=label) == sweep.caption("forest", baseline=of[label])
    with pytest.raises(LRDError, match=rf"no arm of sweep {sweep.id} is called 'nobody'; they are"):
        sweep.table(baseline="nobody")


def test_waiting_reads_a_sweep_again_only_if_it_has_changed(
    client: Client, wire: Wire, settings: Settings, database: Database, monkeypatch: Any
) -> None:
    """Catches: the whole spec, twice a second for days."""
    sweep = client.submit(small_sweep())
    pauses = iter(range(100))

    def pause(seconds: float) -> None:
        if next(pauses) == 5:
            run(settings, database)

    monkeypatch.setattr("service.client.submitted.time.sleep", pause)
    assert sweep.wait()["state"] == "succeeded"
    assert wire.given == [201, 200, *[304] * 5, 200]


def test_what_is_no_sweep_is_read_too(client: Client) -> None:
    sweep = client.submit(small_sweep())
    assert "digits" in [preset["name"] for preset in client.presets()]
    assert client.trial(1)["sweep_id"] == sweep.id
    assert client.log(1) == ""
    assert [each["seed"] for each in sweep.list_trials("queued", page_size=3)] == [0, 0, 1, 1]
    assert client.cluster()["waiting"][0]["name"] == "small"
    assert [curve["mean"] for curve in sweep.curves("test_loss")] == [[], []]


def test_the_command_line_needs_no_pandas() -> None:
    """Catches: a second more for each `lrd ls`."""
    code = "import service.cli, sys; print('pandas' in sys.modules, 'torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["False", "False"]


def test_the_example_of_the_readme_runs(
    client: Client,
    settings: Settings,
    database: Database,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    code = readme.split("<!-- client -->\n```python\n")[1].split("```")[0]
    monkeypatch.chdir(tmp_path)
    Path("sweep.yaml").write_text(yaml.safe_dump(small_sweep()))
    monkeypatch.setattr("service.client.Client", lambda *_: client)
    monkeypatch.setattr(SubmittedSweep, "wait", lambda _: run(settings, database))
    names: dict[str, Any] = {}
    exec(code, names)
    assert len(names["reports"]) == 8
    assert len(names["table"]) == 2
