"""`lrd watch`, `lrd submit --watch`: what is said meanwhile, and how they end."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from service import cli
from service.client import SubmittedSweep
from service.formatting import NO_DISPATCHER
from service.settings import Settings
from service.store.session import Database
from tests.conftest import small_sweep
from tests.seeded import seed
from tests.service.test_cli import NO_GPU, lrd
from tests.serving import dispatching


@pytest.fixture
def database_url(sqlite: Callable[[Path], str], tmp_path: Path) -> str:
    """One kind is enough, as in test_cli."""
    return sqlite(tmp_path / "storage")


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What is other at each look at a sweep than it is; to be filled."""
    changes: list[dict[str, Any]] = []

    def watch(sweep: SubmittedSweep) -> Iterator[dict[str, Any]]:
        yield from (sweep.status() | each for each in changes)

    monkeypatch.setattr(SubmittedSweep, "watch", watch)
    return changes


def watched(sweep_id: str) -> tuple[str, list[str]]:
    """What stands on stdout, and the lines on stderr."""
    done = CliRunner().invoke(cli.app, ["watch", sweep_id])
    return done.stdout, done.stderr.splitlines()


def test_a_sweep_with_failed_trials_ends_as_a_failure_and_says_why(
    url: str, database: Database
) -> None:
    """Catches: a script that goes on as if all were well, over a table that does not say why."""
    sweep_id = seed(database, small_sweep(), states=("failed", "succeeded"))
    said = lrd("watch", sweep_id, code=1)
    assert " ± " in said or "(1/2)" in said  # the table is there all the same
    assert said.count("made up") == 1
    assert "2 trials: error: RuntimeError: made up (seeded.py:1)" in said
    whole = lrd("watch", seed(database, small_sweep()))
    assert "failed:" not in whole
    assert "cancelled:" not in whole


def test_stdout_has_the_table_alone(url: str, database: Database) -> None:
    """Catches: `lrd watch SWEEP > table.md` with a bar above the table."""
    sweep_id = seed(database, small_sweep())
    out, err = watched(sweep_id)
    assert out == lrd("table", sweep_id)
    assert err == []


def test_a_cancelled_sweep_ends_as_a_failure_and_says_so(url: str, database: Database) -> None:
    """Catches: exit 0 over a table of nothing."""
    sweep_id = seed(database, small_sweep(), states=("cancelled", "succeeded"))
    said = lrd("watch", sweep_id, code=1)
    assert said.splitlines()[-1] == (
        f"2 trials were cancelled; `lrd retry {sweep_id} --cancelled` runs them"
    )


@pytest.mark.usefixtures("led")
def test_it_says_on_stderr_why_it_stands_still_once_for_each_reason(
    url: str, database: Database, looks: list[dict[str, Any]]
) -> None:
    """Catches: a bar that hangs without a word, one that says it with every look, and a table on
    stdout with a reason in it."""
    no_node = "the cluster has no node at present"
    reasons = [None, NO_GPU, NO_GPU, no_node, no_node, None, NO_GPU, None]
    looks += [{"waiting_for": reason} for reason in reasons]
    out, err = watched(seed(database, small_sweep(), states=("queued",)))
    assert [line.partition(": ")[2] for line in err] == [NO_GPU, no_node, NO_GPU]
    assert "waiting" not in out


@pytest.mark.usefixtures("led")
def test_it_says_that_the_sweep_is_paused_once_for_each_pause(
    url: str, database: Database, looks: list[dict[str, Any]]
) -> None:
    """Catches: a bar that hangs, and of a pipe nothing at all, while someone's pause is the why."""
    paused, runs = {"paused_at": "2026-11-26T10:00:00.000Z"}, {"paused_at": None}
    looks += [runs, paused, paused, runs, paused, runs]
    sweep_id = seed(database, small_sweep(), states=("queued",))
    _, err = watched(sweep_id)
    assert err == [f"paused: no trial of it starts until `lrd resume {sweep_id}`"] * 2


def test_it_says_that_nobody_starts_anything_once(
    url: str, database: Database, looks: list[dict[str, Any]]
) -> None:
    """Catches: a bar that hangs mutely beside `lrd api` alone; one that says it again when the
    service has noted it in the sweep."""
    looks += [{}, {}, {"waiting_for": NO_DISPATCHER}]
    _, err = watched(seed(database, small_sweep(), states=("queued",)))
    assert err == [NO_DISPATCHER]


def test_the_bar_shows_the_state_of_the_sweep(
    url: str, database: Database, looks: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[str] = []

    def update(progress: object, bar: int, **said: Any) -> None:
        shown.append(said["words"])

    monkeypatch.setattr("service.commands.watching.Progress.update", update)
    looks += [{"state": "paused"}, {}]
    lrd("watch", seed(database, small_sweep()))
    assert shown == ["paused: 4/4 done, 0 running", "succeeded: 4/4 done, 0 running"]


def test_a_submitted_sweep_that_is_watched_ends_as_its_trials_did(
    url: str, settings: Settings, database: Database, tmp_path: Path
) -> None:
    """Catches: `lrd submit --watch` that exits with 0 whatever became of the trials."""
    base = small_sweep()["base"] | {"optimizer": {"name": "sgdm", "lr": 1e6}}
    file = tmp_path / "sweep.yaml"
    file.write_text(yaml.safe_dump(small_sweep(base=base, grid={}, baseline={}, seeds=1)))
    with dispatching(settings, database):
        said = lrd("submit", str(file), "--watch", code=1)
    assert "1 trial failed" in said
    assert "1 trial: diverged: the training loss of epoch 1 is " in said
