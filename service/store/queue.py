"""Running and waiting trials, over all sweeps."""

from typing import Any, NamedTuple

from sqlalchemy import exists, func, select
from sqlalchemy.orm import Session

from service.lifecycle import TrialState
from service.store.models import Arm, Attempt, Sweep, Trial
from service.store.session import clock
from service.store.turns import in_turn


class Running(NamedTuple):
    """A running trial, its sweep's name, its arm's label, its attempt's start and environment."""

    trial: Trial
    sweep: str
    label: str
    since: float
    environment: dict[str, Any] | None


class Waiting(NamedTuple):
    """A sweep with queued trials."""

    sweep: Sweep
    alone: bool
    """Whether one of them must run alone."""


class InUse(NamedTuple):
    """What the running trials occupy together."""

    trials: int
    cpus: float
    gpus: float


def counts(session: Session) -> dict[str, int]:
    """The number of trials in each state, from the sweeps' own counts, so cheap at any size."""
    sums = [func.coalesce(func.sum(getattr(Sweep, state)), 0) for state in TrialState]
    query = select(*sums).where(Sweep.deleted_at.is_(None))
    return dict(zip(TrialState, map(int, session.execute(query).one()), strict=True))


def age(session: Session) -> float:
    """Seconds since the oldest sweep with queued trials was submitted; 0 without one. Paused sweeps
    wait on purpose and do not count."""
    waiting = select(func.min(Sweep.created_at)).where(Sweep.queued > 0, Sweep.paused_at.is_(None))
    oldest, now = session.scalar(waiting), clock(session)
    return 0.0 if oldest is None else max(0.0, now - oldest)


def in_use(session: Session) -> InUse:
    """Sum the trials' own columns, because the dispatcher's last report is seconds old."""
    totals = func.coalesce(func.sum(Trial.cpus), 0.0), func.coalesce(func.sum(Trial.gpus), 0.0)
    query = select(func.count(), *totals).where(Trial.state == TrialState.running)
    return InUse(*session.execute(query).one())


def running(session: Session, limit: int = 1000) -> list[Running]:
    """The running trials in the order of their starts."""
    query = (
        select(Trial, Sweep.name, Arm.label, Attempt.started_at, Attempt.environment)
        .join(Sweep, Sweep.id == Trial.sweep_id)
        .join(Arm, Arm.id == Trial.arm_id)
        .join(Attempt, (Attempt.trial_id == Trial.id) & (Attempt.attempt == Trial.attempt))
        .where(Trial.state == TrialState.running)
        .order_by(Attempt.started_at, Trial.id)
        .limit(limit)
    )
    return [Running(*row) for row in session.execute(query)]


def waiting(session: Session, limit: int = 200) -> list[Waiting]:
    """The sweeps with queued trials, in the order in which they are served."""
    alone = exists().where(
        Trial.sweep_id == Sweep.id, Trial.state == TrialState.queued, Trial.alone
    )
    query = select(Sweep, alone).where(Sweep.queued > 0).order_by(*in_turn()).limit(limit)
    return [Waiting(*row) for row in session.execute(query)]
