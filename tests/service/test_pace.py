"""How fast a sweep goes counts from its last start, not from its first."""

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import func, select, update

from service.dispatcher import Dispatcher
from service.store.models import Sweep, Trial
from service.store.session import Database, clock
from tests.conftest import small_sweep

SWEEPS = "/api/v1/sweeps"


def work(dispatcher: Dispatcher, steps: int = 60) -> None:
    for _ in range(steps):
        dispatcher._watch_at = 0  # as if a second had passed
        dispatcher.step(0)


def a_day_later(database: Database) -> None:
    with database.write() as session:
        session.execute(update(Sweep).values(paced_from=Sweep.paced_from - 86_400))


def test_it_counts_anew_after_an_extension_a_retry_and_a_pause(
    api: TestClient, database: Database, dispatcher: Dispatcher
) -> None:
    """Catches: a sweep that took a minute, extended a day later: about three days left."""
    sweep_id = api.post(SWEEPS, json=small_sweep()).json()["id"]

    def begins_after(ended: int) -> None:
        assert api.get(f"{SWEEPS}/{sweep_id}").json()["paced_from"] is None
        work(dispatcher)
        with database.read() as session:
            sweep = session.get_one(Sweep, sweep_id)
            assert sweep.paced_from == pytest.approx(clock(session), abs=60)
            assert sweep.finished_before == ended
        a_day_later(database)

    begins_after(0)
    api.post(f"{SWEEPS}/{sweep_id}/extend", json={"seeds": 4})
    begins_after(4)
    with database.write() as session:
        last = session.scalars(select(func.max(Trial.id))).one()
        session.execute(update(Trial).where(Trial.id == last).values(state="failed"))
        session.execute(
            update(Sweep).values(succeeded=Sweep.succeeded - 1, failed=Sweep.failed + 1)
        )
    api.post(f"/api/v1/trials/{last}/retry")
    begins_after(7)
    api.post(f"{SWEEPS}/{sweep_id}/extend", json={"seeds": 6})
    work(dispatcher, 1)
    api.post(f"{SWEEPS}/{sweep_id}/pause")
    work(dispatcher, 5)
    ended = api.get(f"{SWEEPS}/{sweep_id}").json()["trials"]["succeeded"]
    api.post(f"{SWEEPS}/{sweep_id}/resume")
    begins_after(ended)
