"""Failed trials: why they failed, and the sweeps that pause because of them."""

from collections.abc import Collection
from typing import NamedTuple

from sqlalchemy import func, insert, or_, select, update
from sqlalchemy.orm import Session

from service.formatting import count
from service.lifecycle import Reason, TrialState
from service.store import history, webhooks
from service.store.models import Event, Sweep, Trial
from service.store.session import clock, db_now


class Failure(NamedTuple):
    """A reason for which trials of a sweep failed."""

    reason: str | None
    message: str | None
    trials: int
    """How many trials it befell."""
    trial_id: int
    """One of them."""


FAILED_READ = 10_000
"""Failed trials read, at most: their messages explain what went wrong and need no full count."""


def causes(session: Session, sweep_id: str, size: int = 20) -> list[Failure]:
    """The reasons for which trials of the sweep failed, the most frequent first."""
    read = (
        select(Trial.id, Trial.reason, Trial.message)
        .where(Trial.sweep_id == sweep_id, Trial.state == TrialState.failed)
        .limit(FAILED_READ)
        .subquery()
    )
    trials, first = func.count(), func.min(read.c.id)
    query = (
        select(read.c.reason, read.c.message, trials, first)
        .group_by(read.c.reason, read.c.message)
        .order_by(trials.desc(), first)
        .limit(size)
    )
    return [Failure(*row) for row in session.execute(query)]


def pause_failing(session: Session, sweep_ids: Collection[str]) -> None:
    """Pause each of these sweeps that has as many failed trials as its `max_failures`.

    Diverged trials do not count, because they are results. A sweep that is resumed with its
    failures pauses again at the next one.
    """
    failed = (
        select(func.count())
        .where(Trial.sweep_id == Sweep.id, Trial.state == TrialState.failed)
        .where(Trial.reason != Reason.diverged)
        .scalar_subquery()
    )
    reached = session.execute(
        select(Sweep.id, failed).where(
            Sweep.id.in_(sweep_ids),
            Sweep.failed >= Sweep.max_failures,  # this alone rules out almost all
            failed >= Sweep.max_failures,
            Sweep.paused_at.is_(None),
            Sweep.cancel_requested_at.is_(None),
            or_(Sweep.queued > 0, Sweep.running > 0),
        )
    ).all()
    for sweep_id, number in reached:
        because = f"{count(number, 'trial')} failed, as many as its max_failures allows"
        session.execute(
            update(Sweep)
            .where(Sweep.id == sweep_id)
            .values(paused_at=db_now(), paused_because=because, version=Sweep.version + 1)
        )
        event = {"sweep_id": sweep_id, "at": clock(session), "kind": history.PAUSED}
        session.execute(insert(Event), [event | {"message": because}])
    if reached:
        webhooks.tell(session, {sweep_id: "paused" for sweep_id, _ in reached})
