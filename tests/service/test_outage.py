"""Nobody is judged by what could not be heard: while the database was away, while a process stood
still, or by a clock that jumps."""

import asyncio
import contextlib
import itertools
import time
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import update
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from lrd_core.trial_folder import trial_folder
from service import access, app
from service.dispatcher import Dispatcher
from service.held import Listening
from service.settings import Settings
from service.store import leases
from service.store.models import Lease, Trial
from service.store.session import Database
from tests.inline import InlineExecutor
from tests.service.test_dispatcher import broken, submit


def states(api: TestClient, sweep_id: str) -> list[tuple[str, int]]:
    trials = api.get(f"/api/v1/sweeps/{sweep_id}/trials").json()["items"]
    return [(each["state"], each["attempt"]) for each in trials]


def lapse(database: Database) -> None:
    with database.write() as session:
        session.execute(update(Lease).values(expires_at=1.0))


def away(dispatcher: Dispatcher, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """It asks a database once that does not answer."""
    once = iter([False, True])
    with monkeypatch.context() as outage:
        outage.setattr(database, "write", broken)
        outage.setattr(dispatcher, "drain", lambda: None)
        dispatcher._renew_at = 0
        dispatcher.run(lambda: next(once))


def test_only_time_in_which_it_listens_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    listening = Listening()
    for seconds in (0.1, 0.2, 3600, 0.3):
        now += seconds
        listening.go_on()
    assert listening.seconds == pytest.approx(5.6)


def test_a_trial_that_nobody_listened_to_has_not_stalled(
    api: TestClient, database: Database, dispatcher: Dispatcher
) -> None:
    # Catches: all trials killed when the database is back, before their words were read.
    sweep_id = submit(api, seeds=1)
    dispatcher.step(0)
    with database.write() as session:  # an hour passes, or its clock jumps
        session.execute(update(Trial).values(reported_at=Trial.reported_at - 3600))
    dispatcher._watch_at = 0
    dispatcher.step(0)
    assert states(api, sweep_id) == [("running", 1)] * 2


def test_what_was_given_back_meanwhile_is_stopped(
    api: TestClient, database: Database, dispatcher: Dispatcher, executor: InlineExecutor
) -> None:
    # Catches: two attempts of one trial, and CPUs held by the one whose words do not count.
    submit(api, seeds=1)
    dispatcher.step(0)
    old = executor.running()
    lapse(database)  # it hangs, and nobody else takes over
    assert leases.reap(database) == len(old) == 2
    executor.poll = lambda _: []  # type: ignore[method-assign]  # nor do they say anything
    dispatcher._renew_at = dispatcher._watch_at = 0
    dispatcher.step(0)
    # On a slow machine they have waited long enough, and their next attempts run.
    assert not {*old} & {*executor.running()}
    assert not {*old} & dispatcher._held.keys()


def test_after_an_outage_the_leader_goes_on(
    api: TestClient,
    database: Database,
    dispatcher: Dispatcher,
    executor: InlineExecutor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Catches: a standby that is back first and takes a lease which lapsed for all.
    sweep_id = submit(api, seeds=1)
    dispatcher.step(0)
    standby = Dispatcher(database, InlineExecutor(executor._trials), lease_seconds=60)
    away(standby, database, monkeypatch)
    lapse(database)
    assert not standby.step(0)
    dispatcher._renew_at = 0
    dispatcher.step(0)
    standby._renew_at = 0
    assert not standby.step(0)
    assert states(api, sweep_id) == [("running", 1)] * 2


@pytest.mark.parametrize("seconds", [1, 0])
def test_an_end_whose_commit_was_not_answered_leaves_no_checkpoint(
    api: TestClient,
    database: Database,
    dispatcher: Dispatcher,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    seconds: float,
) -> None:
    """Catches: gigabytes that nothing resumes from, of a trial that had succeeded when its
    dispatcher recorded that once more; also after an outage that outlasts a look at what is its."""
    monkeypatch.setattr("service.dispatcher.WATCH_SECONDS", seconds)
    sweep_id = submit(api, seeds=1)
    write, unanswered = database.write, itertools.cycle([True, True, False])

    @contextlib.contextmanager
    def cut() -> Iterator[Session]:
        recording = bool(dispatcher._heard)
        with write() as session:
            yield session
        if recording and next(unanswered):
            raise OperationalError("commit", None, Exception("the connection is cut"))

    monkeypatch.setattr(database, "write", cut)
    while dispatcher._held or "queued" in dict(states(api, sweep_id)):
        with contextlib.suppress(OperationalError):
            dispatcher.step(0)
    trials = api.get(f"/api/v1/sweeps/{sweep_id}/trials").json()["items"]
    for trial in trials:
        assert (trial["state"], trial["attempt"]) == ("succeeded", 1)
        names = trial_folder(settings.trials, trial["id"]).names()
        assert [name for name in names if name.startswith("epoch-")] == []


@pytest.mark.parametrize("dropped", [True, False])
def test_a_leader_that_does_not_come_back_or_has_let_go_is_followed(
    database: Database,
    dispatcher: Dispatcher,
    executor: InlineExecutor,
    monkeypatch: pytest.MonkeyPatch,
    dropped: bool,
) -> None:
    dispatcher.step(0)
    standby = Dispatcher(database, InlineExecutor(executor._trials), lease_seconds=60)
    away(standby, database, monkeypatch)
    if dropped:
        dispatcher.drain()
    else:
        lapse(database)
        standby.step(0)
        standby._renew_at = 0
    standby.step(0)
    assert standby._leads


def test_an_outage_in_a_drain_loses_no_trial(
    api: TestClient,
    database: Database,
    dispatcher: Dispatcher,
    executor: InlineExecutor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Catches: hours of training lost to one refused connection, in a deploy that restarts both."""
    sweep_id = submit(api, seeds=1)
    dispatcher.step(0)
    write, refused = database.write, iter([True, False, True, True])

    def now_and_then() -> contextlib.AbstractContextManager[Session]:
        if next(refused, False):
            broken()
        return write()

    monkeypatch.setattr(database, "write", now_and_then)
    dispatcher.drain()
    assert next(refused, None) is None
    assert states(api, sweep_id) == [("queued", 1)] * 2
    trials = api.get(f"/api/v1/sweeps/{sweep_id}/trials").json()["items"]
    assert [each["epochs_done"] for each in trials] == [1, 1]  # which they were in the middle of
    with database.read() as session:
        assert leases.current(session) is None
        assert {each.losses for each in session.query(Trial)} == {0}


def test_a_drain_does_not_wait_for_ever_for_a_database(
    api: TestClient,
    database: Database,
    dispatcher: Dispatcher,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    submit(api, seeds=1)
    dispatcher.step(0)
    monkeypatch.setattr("service.dispatcher.LEAVE_SECONDS", 0)
    monkeypatch.setattr(dispatcher, "_drain_seconds", 0)
    monkeypatch.setattr(database, "write", broken)
    dispatcher.drain()
    assert "2 trials wait until the lease expires" in caplog.text
    assert "drained" not in caplog.text


def test_a_dispatcher_that_could_not_renew_is_not_taken_for_gone(database: Database) -> None:
    """Catches: its trials taken by the API, which after a stall of everybody was first to look."""
    with database.write() as session:
        assert leases.take(session, "one", host="node-1", pid=1, seconds=60)
    lookout = leases.Lookout(database)
    assert not lookout.gone()
    for _ in range(2):
        lapse(database)
        assert not lookout.gone()  # at the first look
        with database.write() as session:
            assert leases.take(session, "one", host="node-1", pid=1, seconds=60)
        assert not lookout.gone()
    lapse(database)
    assert not lookout.gone()
    assert lookout.gone()
    with database.write() as session:
        leases.drop(session, "one")
    assert leases.Lookout(database).gone()


def test_what_could_not_be_written_is_not_judged(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: trials taken while a long export still holds up the dispatcher's renewal."""
    with database.write() as session:
        assert leases.take(session, "one", host="node-1", pid=1, seconds=60)
    lapse(database)
    lookout = leases.Lookout(database)
    with monkeypatch.context() as held_up:
        held_up.setattr(database, "write", broken)
        for _ in range(3):
            with pytest.raises(OperationalError):
                lookout.gone()
    assert not lookout.gone()
    assert lookout.gone()


def test_housekeeping_goes_on_after_an_outage(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0

    def gone(_: leases.Lookout) -> bool:
        nonlocal looks
        looks += 1
        if looks == 1:
            raise OperationalError("select", None, Exception("no route to host"))
        raise asyncio.CancelledError

    monkeypatch.setattr(leases.Lookout, "gone", gone)
    with contextlib.suppress(asyncio.CancelledError):
        asyncio.run(app._housekeeping(database, access.Uses(), 0))
    assert looks == 2
