"""`lrd delete`: what it says, what it asks, and what it leaves alone."""

from collections.abc import Callable
from pathlib import Path

import pytest

from lrd_core.errors import LRDError
from service.client import Client, ServiceAnswered
from service.store.session import Database
from tests.conftest import small_sweep
from tests.seeded import seed
from tests.service.test_cli import lrd

QUESTION = (
    "Delete 2 sweeps with 8 trials, all results, checkpoints and logs? This cannot be undone."
)


@pytest.fixture
def database_url(sqlite: Callable[[Path], str], tmp_path: Path) -> str:
    """One kind is enough, as in test_cli."""
    return sqlite(tmp_path / "storage")


@pytest.fixture
def sweep_ids(database: Database) -> list[str]:
    return [seed(database, small_sweep(name=name)) for name in ("one", "two", "three")]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody sits there who can be asked."""
    given = "typer.testing._NamedTextIOWrapper.isatty"
    monkeypatch.setattr(given, lambda _: True, raising=False)


def left(url: str) -> list[str]:
    with Client(url) as client:
        return sorted(str(sweep["name"]) for sweep in client.sweeps())


@pytest.mark.usefixtures("terminal")
def test_it_says_what_goes_and_asks(url: str, sweep_ids: list[str]) -> None:
    """Catches: results gone by a name that was typed wrong."""
    said = lrd("delete", *sweep_ids[:2], given="n\n", code=1)
    for sweep_id, name in zip(sweep_ids, ("one", "two"), strict=False):
        assert f"{sweep_id}  succeeded  4/4  {name}" in said
    assert QUESTION in said
    assert left(url) == ["one", "three", "two"]
    said = lrd("delete", *sweep_ids[:2], sweep_ids[0], given="y\n")  # one of them named twice
    assert said.splitlines()[-2:] == [f"{each}  deleted" for each in sweep_ids[:2]]
    assert left(url) == ["three"]


def test_nobody_is_asked_who_is_not_there(url: str, sweep_ids: list[str]) -> None:
    """Catches: a script that waits for ever, or one whose next line is taken for a yes."""
    with pytest.raises(LRDError, match="Nobody can answer here, so nothing was deleted: add --yes"):
        lrd("delete", sweep_ids[0], given="y\n")
    assert left(url) == ["one", "three", "two"]
    assert lrd("delete", "--yes", sweep_ids[0]).splitlines()[-1] == f"{sweep_ids[0]}  deleted"
    assert left(url) == ["three", "two"]


def test_a_name_that_is_wrong_leaves_all_as_it_is(url: str, sweep_ids: list[str]) -> None:
    with pytest.raises(LRDError, match="no sweep with the complete id 'nope'; `lrd ls` lists them"):
        lrd("delete", "--yes", sweep_ids[0], "nope")
    assert left(url) == ["one", "three", "two"]


def test_a_whole_id_is_asked_for(url: str, sweep_ids: list[str]) -> None:
    """Catches: the only sweep that begins so, or is called so, gone for good."""
    for called in (sweep_ids[0][:8], "one"):
        assert lrd("status", called).startswith(sweep_ids[0])
        with pytest.raises(LRDError, match=f"there is no sweep with the complete id '{called}'"):
            lrd("delete", called, "--yes")
    assert left(url) == ["one", "three", "two"]


def test_what_still_runs_is_refused_with_what_to_do(url: str, database: Database) -> None:
    going = seed(database, small_sweep(), states=("queued",))
    with pytest.raises(ServiceAnswered, match=f"cancel it first .`lrd cancel {going}`"):
        lrd("delete", "--yes", going)
    assert left(url) == ["small"]


def test_in_python(url: str, sweep_ids: list[str]) -> None:
    with Client(url) as client:
        client.sweep(sweep_ids[0]).delete()
        with pytest.raises(ServiceAnswered, match="there is no sweep"):
            client.sweep(sweep_ids[0])
