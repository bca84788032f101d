"""A sweep that is deleted while something else is asked of it: either came before, or is refused;
nothing is left of it that would run, or that nobody finds."""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest
from fastapi.testclient import TestClient
from httpx2 import Response
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from lrd_core.sources import IMPORTED, Code
from service.app import create_app
from service.purge import Purger
from service.settings import Settings
from service.store import requests, reuse
from service.store.models import Arm, Attempt, Event, Report, Sweep, Trial
from service.store.session import Database
from tests.conftest import small_sweep
from tests.seeded import seed

SWEEPS = "/api/v1/sweeps"
REUSING = small_sweep(reuse=True, name="taker")
ASKED: dict[str, tuple[str, dict[str, Any]]] = {
    "retry": ("/retry?cancelled=true", {}),
    "extend": ("/extend", {"seeds": 3}),
    "clone": ("/clone", {"name": "clone"}),
    "retry a trial": ("", {}),
    "cancel a trial": ("", {}),
    "reuse": ("", REUSING),
    "delete": ("", {}),
}
AFTER_A_DELETION = dict.fromkeys(ASKED, 404) | {"reuse": 201}
BEFORE_A_DELETION = {
    "retry": 409, "extend": 409, "clone": 204, "retry a trial": 409, "cancel a trial": 204,
    "reuse": 204, "delete": 404,
}  # fmt: skip
"""What the deletion is answered then."""


@pytest.fixture
def api(settings: Settings, database: Database) -> TestClient:
    """Without what the application does by itself: the tests purge when they want it."""
    return TestClient(create_app(settings, database), base_url="http://127.0.0.1")


@pytest.fixture
def sweep_id(database: Database) -> str:
    return seed(database, small_sweep(), states=("succeeded", "cancelled"))


def ask(api: TestClient, what: str, sweep_id: str) -> Response:
    below, body = ASKED[what]
    if what == "delete":
        return api.delete(f"{SWEEPS}/{sweep_id}")
    if what.endswith("trial"):
        return api.post(f"/api/v1/trials/{cancelled_of(api, sweep_id)}/{what.split()[0]}")
    address = SWEEPS if what == "reuse" else f"{SWEEPS}/{sweep_id}{below}"
    return api.post(address, json=body)


def cancelled_of(api: TestClient, sweep_id: str) -> int:
    database: Database = api.app.state.database  # type: ignore[attr-defined]
    with database.read() as session:
        mine = (Trial.sweep_id == sweep_id, Trial.state == "cancelled")
        return session.scalar(select(func.min(Trial.id)).where(*mine)) or 1


def nothing_is_left_over(database: Database, settings: Settings) -> None:
    """Of deleted sweeps, once they are purged; and each trial has the epochs that it says."""
    deleted = select(Sweep.id).where(Sweep.deleted_at.is_not(None))
    going = Trial.state.in_(["queued", "running"])
    with database.read() as session:
        assert not session.scalars(select(Trial.id).where(Trial.sweep_id.in_(deleted), going)).all()
    assert Purger(database, settings.trials, settled_seconds=0).step()
    with database.read() as session:
        assert session.scalars(deleted).all() == []
        for child, key, parent in (
            (Arm, Arm.sweep_id, Sweep), (Trial, Trial.sweep_id, Sweep), (Trial, Trial.arm_id, Arm),
            (Event, Event.sweep_id, Sweep), (Attempt, Attempt.trial_id, Trial),
            (Report, Report.trial_id, Trial),
        ):  # fmt: skip
            orphans = select(func.count()).select_from(child).where(key.not_in(select(parent.id)))
            assert session.scalar(orphans) == 0
        recorded = select(func.count()).where(Report.trial_id == Trial.id).scalar_subquery()
        assert not session.scalars(select(Trial.id).where(Trial.epochs_done != recorded)).all()


@pytest.mark.parametrize("what", ASKED)
def test_a_deletion_between_reading_and_writing_comes_first(
    api: TestClient,
    database: Database,
    settings: Settings,
    sweep_id: str,
    monkeypatch: pytest.MonkeyPatch,
    what: str,
) -> None:
    # Catches: what was read of the sweep before, and is written as if it were there still.
    write = database.write
    asked: list[int] = []

    def deletes_first() -> AbstractContextManager[Session]:
        monkeypatch.setattr(database, "write", write)
        asked.append(api.delete(f"{SWEEPS}/{sweep_id}").status_code)
        return write()

    monkeypatch.setattr(database, "write", deletes_first)
    answer = ask(api, what, sweep_id)
    assert asked == [204]
    assert answer.status_code == AFTER_A_DELETION[what], answer.text
    items = api.get(SWEEPS).json()["items"]
    assert [each["trials"]["succeeded"] for each in items] == ([0] if what == "reuse" else [])
    nothing_is_left_over(database, settings)


def waits(database: Database) -> bool:
    """Whether somebody waits for what another transaction holds."""
    if database.is_sqlite:
        return True  # one writes at a time, whoever is where
    with database.read() as session:
        return bool(session.scalar(text("select count(*) from pg_locks where not granted")))


@pytest.fixture
def held(database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Has a request stop at the end of its transaction until the other one waits for it."""
    write = database.write

    def hold(other: threading.Thread) -> None:
        def slow() -> Any:
            monkeypatch.setattr(database, "write", write)
            return _Slow(database, write(), other)

        monkeypatch.setattr(database, "write", slow)

    yield hold
    monkeypatch.setattr(database, "write", write)


class _Slow:
    def __init__(
        self, database: Database, inside: AbstractContextManager[Session], other: threading.Thread
    ) -> None:
        self._database, self._inside, self._other = database, inside, other

    def __enter__(self) -> Session:
        return self._inside.__enter__()

    def __exit__(self, *error: Any) -> None:
        self._other.start()
        while self._other.is_alive() and not waits(self._database):
            pass
        self._inside.__exit__(*error)


@pytest.mark.parametrize("what", ASKED)
def test_what_is_at_work_when_a_deletion_comes_is_finished_first(
    api: TestClient,
    database: Database,
    settings: Settings,
    sweep_id: str,
    held: Callable[[threading.Thread], None],
    what: str,
) -> None:
    # Catches: trials that are queued in a sweep that is deleted, for ever; results that are taken
    # from it while they go.
    deletions: list[int] = []
    other = threading.Thread(
        target=lambda: deletions.append(ask(api, "delete", sweep_id).status_code)
    )
    held(other)
    answer = ask(api, what, sweep_id)
    other.join()
    assert answer.is_success, answer.text
    assert deletions == [BEFORE_A_DELETION[what]]
    if what == "reuse":
        assert api.get(SWEEPS).json()["items"][0]["trials"]["succeeded"] == 2
    nothing_is_left_over(database, settings)


@pytest.mark.parametrize("what", ASKED)
def test_what_comes_while_a_deletion_is_at_work_is_refused(
    api: TestClient, database: Database, settings: Settings, sweep_id: str, what: str
) -> None:
    if what == "clone" and not database.is_sqlite:
        pytest.skip("it does not wait: it has read the sweep before, and so it came before")
    answers: list[Response] = []
    other = threading.Thread(target=lambda: answers.append(ask(api, what, sweep_id)))
    with database.write() as session:
        requests.delete_sweep(session, sweep_id)
        other.start()
        while other.is_alive() and not waits(database):
            pass
    other.join()
    assert answers[0].status_code == AFTER_A_DELETION[what], answers[0].text
    nothing_is_left_over(database, settings)


def test_results_are_taken_whole_before_their_sweep_goes(
    api: TestClient, database: Database, settings: Settings, sweep_id: str
) -> None:
    # Catches: trials that have succeeded without an epoch: their donors were deleted and purged
    # between the look for them and the copy.
    if database.is_sqlite:
        pytest.skip("SQLite has one writer")
    deletions: list[int] = []
    other = threading.Thread(
        target=lambda: deletions.append(ask(api, "delete", sweep_id).status_code)
    )
    like: dict[str, Any] = {"execution": {}, "owner": None}
    with database.write() as session:
        hashes = session.scalars(select(Arm.config_sha256)).all()
        codes = dict.fromkeys(hashes, Code(IMPORTED, None))
        assert len(reuse.donors(session, codes, **like)) == 2
        other.start()
        while other.is_alive() and not waits(database):
            pass
        assert other.is_alive()
    other.join()
    assert deletions == [204]


def test_all_at_once_many_times(api: TestClient, database: Database, settings: Settings) -> None:
    # Catches: a deadlock, and any order that nobody thought of.
    for _ in range(6):
        sweep_id = seed(database, small_sweep(), states=("succeeded", "cancelled"))
        answers: dict[str, int] = {}
        at_once = threading.Barrier(len(ASKED))

        def work(what: str, sweep_id: str = sweep_id, answers: dict[str, int] = answers) -> None:
            at_once.wait()  # noqa: B023 - joined before the next one is made
            answers[what] = ask(api, what, sweep_id).status_code

        threads = [threading.Thread(target=work, args=[what]) for what in ASKED]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert answers["delete"] in (204, 409)
        assert answers["reuse"] == 201
        for what in ("retry", "extend"):
            assert answers[what] == (404 if answers["delete"] == 204 else 200)
        assert {answers["retry a trial"], answers["cancel a trial"]} <= {200, 404, 409}
        assert answers["clone"] in (201, 404)
        gone = api.get(f"{SWEEPS}/{sweep_id}").status_code == 404
        assert gone == (answers["delete"] == 204)
        nothing_is_left_over(database, settings)
