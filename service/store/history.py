"""The past: attempts and events, appended and never changed, and how long trials took."""

from typing import Any, NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from service.store.models import Arm, Attempt, Event, Sweep, Trial

REQUEST = "request"
"""The kind of the event that a person's request writes (`store.requests`)."""
PAUSED = "paused"
"""The kind of the event of a sweep that paused by itself (`store.failures`)."""
EXTENDED = "extended"
"""Begins the message of the request that extends a sweep; `extensions` finds it by this word."""


def attempts(session: Session, trial_id: int) -> list[Attempt]:
    """The tries at a trial, in order."""
    query = select(Attempt).where(Attempt.trial_id == trial_id).order_by(Attempt.attempt)
    return list(session.scalars(query))


def events(
    session: Session,
    *,
    sweep_id: str | None = None,
    trial_id: int | None = None,
    after: int | None = None,
    size: int = 100,
    newest_first: bool = False,
) -> list[Event]:
    """The events of a sweep or of a trial beyond id `after`, oldest or newest first."""
    query = select(Event).order_by(Event.id.desc() if newest_first else Event.id).limit(size)
    if after is not None:
        query = query.where(Event.id < after if newest_first else Event.id > after)
    if sweep_id is not None:
        query = query.where(Event.sweep_id == sweep_id)
    if trial_id is not None:
        query = query.where(Event.trial_id == trial_id)
    return list(session.scalars(query))


def extensions(session: Session, sweep_id: str) -> list[str]:
    """How the sweep was extended, in order: `extended by 3 trials`."""
    query = select(Event.message).where(
        Event.sweep_id == sweep_id, Event.kind == REQUEST, Event.message.startswith(EXTENDED)
    )
    return [str(message) for message in session.scalars(query.order_by(Event.id))]


class Timed(NamedTuple):
    """How long an earlier trial took."""

    config: dict[str, Any]
    epochs_done: int
    seconds: float


def timed(session: Session, limit: int = 2000) -> list[Timed]:
    """The newest trials that ran in this service for at least one epoch."""
    query = (
        select(Arm.config, Trial.epochs_done, Trial.seconds)
        .join(Arm, Arm.id == Trial.arm_id)
        .join(Sweep, Sweep.id == Trial.sweep_id)
        .where(Trial.epochs_done > 0, Trial.reused_from.is_(None), Sweep.deleted_at.is_(None))
        .order_by(Trial.id.desc())
        .limit(limit)
    )
    return [Timed(*row) for row in session.execute(query)]
