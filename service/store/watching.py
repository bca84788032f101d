"""What a dispatcher runs, by the database: all of it, what was asked to stop, what is silent."""

from sqlalchemy import and_, case, or_, select
from sqlalchemy.orm import Session

from service.lifecycle import MAX_STALLED, TrialState, patience
from service.store.models import Sweep, Trial
from service.store.session import db_now


def asked_to_stop(session: Session, holder: str) -> list[tuple[int, int, bool]]:
    """This dispatcher's running trials that were cancelled, or whose sweep was paused, as (trial,
    attempt, whether it was cancelled)."""
    cancelled = Trial.cancel_requested_at.is_not(None)
    query = (
        select(Trial.id, Trial.attempt, case((cancelled, 1), else_=0))
        .join(Sweep, Sweep.id == Trial.sweep_id)
        .where(
            Trial.dispatcher_id == holder,
            Trial.state == TrialState.running,
            or_(cancelled, Sweep.paused_at.is_not(None)),
        )
    )
    return [(trial_id, attempt, bool(final)) for trial_id, attempt, final in session.execute(query)]


def held_by(session: Session, holder: str) -> dict[tuple[int, int], str]:
    """(trial, attempt) -> sweep of what this dispatcher runs according to the database."""
    query = select(Trial.id, Trial.attempt, Trial.sweep_id).where(
        Trial.dispatcher_id == holder, Trial.state == TrialState.running
    )
    return {(trial_id, attempt): of for trial_id, attempt, of in session.execute(query)}


def stalled(session: Session, holder: str, seconds: float) -> dict[tuple[int, int], float]:
    """This dispatcher's running trials that have been silent too long: (trial, attempt) -> limit.

    The limit is in seconds: `seconds`, and more after each loss (`patience`). A trial with longer
    epochs may also be silent for ten of its own.
    """
    epochs = case((Trial.epochs_done > 0, Trial.epochs_done), else_=1)
    limits = {losses: seconds * patience(losses) for losses in range(MAX_STALLED)}
    limit = case(limits, value=Trial.losses, else_=seconds * patience(MAX_STALLED))
    query = select(Trial.id, Trial.attempt, limit).where(
        Trial.dispatcher_id == holder,
        Trial.state == TrialState.running,
        and_(
            Trial.reported_at < db_now() - limit,
            Trial.reported_at < db_now() - 10 * Trial.seconds / epochs,
        ),
    )
    return {(trial_id, attempt): limit for trial_id, attempt, limit in session.execute(query)}
