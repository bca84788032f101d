"""Requests that meet: each is answered by what the sweep is when its turn has come."""

import threading
import time
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select, text

from lrd_core.extending import Extension, extended
from lrd_core.spec import SweepSpec
from service.dispatcher import Dispatcher
from service.errors import Conflict
from service.store import leases, requests, sweeps, webhooks
from service.store.models import Delivery
from service.store.session import Database
from tests.conftest import small_sweep
from tests.inline import InlineExecutor
from tests.service.test_dispatcher import finish


@pytest.fixture
def sweep_id(api: TestClient, database: Database) -> str:
    if database.is_sqlite:
        pytest.skip("SQLite has one writer: what it has read nobody changes")
    return str(api.post("/api/v1/sweeps", json=small_sweep(seeds=2)).json()["id"])


def until_somebody_waits(database: Database) -> None:
    """For what another transaction holds."""
    with database.read() as watching:
        blocked = text("select count(*) from pg_locks where not granted")
        deadline = time.monotonic() + 300
        while not watching.scalar(blocked):
            assert time.monotonic() < deadline, "nobody waits for what is held"
            watching.rollback()


def test_a_sweep_that_was_cancelled_meanwhile_is_not_extended(
    database: Database, sweep_id: str
) -> None:
    # Catches: trials that are queued for ever in a sweep that has been cancelled.
    with database.write() as session:
        sweep = sweeps.get(session, sweep_id)  # held, or the session would read it anew
        spec = SweepSpec.model_validate(sweep.spec)
        with database.write() as other:
            requests.cancel_sweep(other, sweep_id)
        with pytest.raises(Conflict, match="was cancelled"):
            requests.extend(session, sweep_id, extended(spec, Extension(seeds=4)))


def test_two_extensions_at_once_are_both_kept(
    api: TestClient, database: Database, sweep_id: str
) -> None:
    # Catches: the second made of the spec as it was before the first.
    answers: list[Any] = []
    sweep = f"/api/v1/sweeps/{sweep_id}"
    waiting = threading.Thread(
        target=lambda: answers.append(api.post(f"{sweep}/extend", json={"seeds": 4}))
    )
    with database.write() as session:
        held = requests.locked(session, sweep_id)
        waiting.start()
        until_somebody_waits(database)
        more = Extension.parse({"grid": {"optimizer.keep_prob": [0.7]}})
        requests.extend(session, sweep_id, extended(SweepSpec.model_validate(held.spec), more))
    waiting.join()
    assert answers[0].status_code == 200
    found = api.get(sweep).json()
    assert found["spec"]["seeds"] == [0, 1, 2, 3]
    assert 0.7 in found["spec"]["grid"]["optimizer.keep_prob"]
    assert found["trials_total"] == found["trials"]["queued"] == 12


def test_a_request_that_holds_a_sweep_keeps_no_other_waiting(
    api: TestClient, database: Database, dispatcher: Dispatcher, sweep_id: str
) -> None:
    """Catches: nothing recorded of any sweep while 100,000 trials of one are cancelled."""
    other = str(api.post("/api/v1/sweeps", json=small_sweep(seeds=1, grid={})).json()["id"])

    def done(of: str) -> int:
        trials = api.get(f"/api/v1/sweeps/{of}/trials").json()["items"]
        return sum(trial["epochs_done"] for trial in trials)

    dispatcher.step(0)  # one of each is started
    with database.write() as session:
        requests.locked(session, sweep_id)
        for _ in range(5):
            dispatcher.step(0)
        assert (done(sweep_id), done(other)) == (0, 2)
    assert finish(api, dispatcher, sweep_id)["state"] == "succeeded"


def states(api: TestClient, sweep_id: str) -> list[str]:
    trials = api.get(f"/api/v1/sweeps/{sweep_id}/trials").json()["items"]
    return [trial["state"] for trial in trials]


def late_sweep(api: TestClient) -> str:
    """Of one trial, which has run too long as soon as it runs."""
    resources = {"timeout_seconds": 0.001}
    document = small_sweep(seeds=1, grid={}, priority=9)
    document["base"] |= {"epochs": 3}
    answer = api.post("/api/v1/sweeps", json=document | {"resources": resources})
    return str(answer.json()["id"])


def test_a_late_trial_of_a_sweep_that_a_request_holds_waits_for_it_alone(
    api: TestClient, database: Database, dispatcher: Dispatcher, sweep_id: str
) -> None:
    """Catches: nothing recorded of any sweep, for 15 s at a time, by a dispatcher that waits for
    the lock of the one with a trial to end."""
    late = late_sweep(api)
    dispatcher.step(0)  # one of each is started
    dispatcher._listening.seconds += 1
    with database.write() as session:
        requests.locked(session, late)
        dispatcher._watch()
        assert states(api, late) == ["running"]
    dispatcher._watch()
    assert states(api, late) == ["failed"]


def test_a_trial_is_not_late_while_its_words_wait_for_a_request(
    api: TestClient, database: Database, dispatcher: Dispatcher, sweep_id: str
) -> None:
    """Catches: a trial that is killed as silent, though it reported while its sweep was held."""
    late = late_sweep(api)
    dispatcher.step(0)
    with database.write() as session:
        requests.locked(session, late)
        dispatcher.step(0)
    dispatcher._listening.seconds += 1
    dispatcher._watch()
    assert states(api, late) == ["running"]


def test_what_was_claimed_and_not_started_waits_for_a_request_alone(
    api: TestClient, database: Database, dispatcher: Dispatcher, sweep_id: str
) -> None:
    dispatcher.step(0)
    dispatcher._held.clear()  # the answer to its claims never came
    with database.write() as session:
        requests.locked(session, sweep_id)
        dispatcher._watch()
        assert states(api, sweep_id).count("running") == 2
    dispatcher._watch()
    assert states(api, sweep_id) == ["queued"] * 4


def test_a_dispatcher_that_stops_leaves_a_sweep_that_a_request_holds_to_the_next(
    api: TestClient, database: Database, executor: InlineExecutor, sweep_id: str
) -> None:
    """Catches: a lease that is kept until it lapses, and the trials of all sweeps with it."""
    other = str(api.post("/api/v1/sweeps", json=small_sweep(seeds=1, grid={})).json()["id"])
    first, second = (
        Dispatcher(database, executor, lease_seconds=60, drain_seconds=0) for _ in range(2)
    )
    first.step(0)
    assert states(api, other) == ["running"]
    with database.write() as session:
        requests.locked(session, sweep_id)
        first.drain()
        assert states(api, other) == ["queued"]
        second.step(0)  # takes over, and leaves what is held
        assert second._leads
        assert states(api, sweep_id).count("running") == 1
    assert leases.reap(database) == 1
    assert states(api, sweep_id) == ["queued"] * 4


def test_a_dispatcher_whose_news_wait_for_a_request_rests(
    api: TestClient, database: Database, dispatcher: Dispatcher, sweep_id: str
) -> None:
    """Catches: transactions without a pause, once the last trial has ended in a sweep that somebody
    holds: then there is no trial to wait for."""
    dispatcher.step(0)
    with database.write() as session:
        requests.locked(session, sweep_id)
        for _ in range(5):
            busy = dispatcher.step(0)
        assert not dispatcher._executor.running()  # type: ignore[attr-defined]
        assert not busy
    assert dispatcher.step(0)


def test_a_webhook_that_is_removed_as_a_sweep_ends_is_not_told(
    api: TestClient, database: Database, sweep_id: str
) -> None:
    """Catches: a message for a webhook that is gone, which no database takes: the dispatcher whose
    sweep had ended went down with it."""
    with database.write() as session:
        going, staying = (
            webhooks.add(session, f"https://example.com/{name}").id for name in ("going", "staying")
        )
    answers: list[Any] = []
    ending = threading.Thread(
        target=lambda: answers.append(api.post(f"/api/v1/sweeps/{sweep_id}/cancel"))
    )
    with database.write() as session:
        webhooks.remove(session, going)
        ending.start()
        until_somebody_waits(database)
    ending.join()
    assert answers[0].status_code == 200
    with database.read() as session:
        assert session.scalars(select(Delivery.webhook_id)).all() == [staying]


def test_a_webhook_is_removed_once_a_sweep_that_ends_has_told_it(
    api: TestClient, database: Database, sweep_id: str
) -> None:
    """The other way round: its messages go with it."""
    with database.write() as session:
        webhook_id = webhooks.add(session, "https://example.com/").id
    removing = threading.Thread(target=lambda: api.delete(f"/api/v1/webhooks/{webhook_id}"))
    with database.write() as session:
        requests.cancel_sweep(session, sweep_id)
        removing.start()
        until_somebody_waits(database)
    removing.join()
    with database.read() as session:
        assert webhooks.listing(session) == []
        assert session.scalars(select(Delivery.webhook_id)).all() == []
