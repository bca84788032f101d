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
from service.store import requests, sweeps, webhooks
from service.store.models import Delivery
from service.store.session import Database
from tests.conftest import small_sweep
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
        deadline = time.monotonic() + 60
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
