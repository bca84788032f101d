"""Remove the rows of deleted sweeps, in transactions too short to delay anybody.

A mark in its row hides a sweep from every reader (`requests.delete_sweep`). Its trials are removed
some at a time, with everything that belongs to them, then the rest, and last the row with the mark,
by which an interrupted purge is found and continued.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Select, delete, or_, select, tuple_
from sqlalchemy.orm import Session

from service.store.models import Arm, Attempt, Event, Purged, Report, Sweep, Trial
from service.store.session import db_now

TRIALS = 200
"""Trials looked at in one go."""
ROWS = 2_000
"""Rows deleted per transaction, at most: it takes some ten milliseconds."""


def deleted(session: Session, settled_seconds: float) -> list[str]:
    """The sweeps that wait to be purged, in the order of their deletion.

    Each ended, or was deleted, at least `settled_seconds` ago: before that, the process of one of
    its trials may still be ending.
    """
    settled = db_now() - settled_seconds
    query = select(Sweep.id).where(
        Sweep.deleted_at.is_not(None),
        or_(Sweep.deleted_at <= settled, Sweep.finished_at <= settled),
    )
    return list(session.scalars(query.order_by(Sweep.deleted_at, Sweep.id)))


def hold(session: Session, sweep_id: str) -> bool:
    """Lock the deleted sweep until the transaction ends; False if another process has locked it, or
    has purged it."""
    query = select(Sweep.id).where(Sweep.id == sweep_id, Sweep.deleted_at.is_not(None))
    return session.scalar(query.with_for_update(skip_locked=True)) is not None


def next_trials(session: Session, sweep_id: str) -> list[tuple[int, bool]]:
    """The ids of the next `TRIALS` trials, each with whether it was ever tried."""
    query = select(Trial.id, Trial.attempt).where(Trial.sweep_id == sweep_id)
    found = session.execute(query.order_by(Trial.sweep_id, Trial.id).limit(TRIALS))
    return [(trial_id, attempt > 0) for trial_id, attempt in found]


def heirs(session: Session, sweep_id: str, trial_ids: Sequence[int]) -> dict[int, list[int]]:
    """Trial of a sweep that kept its weights -> the trials that reuse its results, in sweeps that
    keep weights, too."""
    keeps = Sweep.spec["execution"]["keep_weights"].as_boolean()
    found: dict[int, list[int]] = {}
    if session.scalar(select(keeps).where(Sweep.id == sweep_id)):
        query = (
            select(Trial.reused_from, Trial.id)
            .join(Sweep, Sweep.id == Trial.sweep_id)
            .where(Trial.reused_from.in_(trial_ids), Sweep.deleted_at.is_(None), keeps)
        )
        for donor, heir in session.execute(query):
            found.setdefault(int(donor or 0), []).append(heir)
    return found


def erase(session: Session, trial_ids: Sequence[int]) -> bool:
    """Delete up to `ROWS` rows of these trials of a locked sweep; whether none is left."""
    left = ROWS
    for table in (Report, Attempt):
        query = select(*table.__mapper__.primary_key).where(table.trial_id.in_(trial_ids))
        left -= _delete(session, table, query.limit(left))
        if left == 0:
            return False
    session.execute(delete(Trial).where(Trial.id.in_(trial_ids)))
    return True


def bury(session: Session, sweep_id: str) -> bool:
    """Delete up to `ROWS` rows of a locked sweep without trials; whether it is gone."""
    left = ROWS
    for table in (Event, Arm):
        left -= _delete(
            session, table, select(table.id).where(table.sweep_id == sweep_id).limit(left)
        )
        if left == 0:
            return False
    version = session.scalars(select(Sweep.version).where(Sweep.id == sweep_id)).one()
    session.merge(Purged(sweep_id=sweep_id, version=version))
    session.execute(delete(Sweep).where(Sweep.id == sweep_id))
    return True


# --- inside ---------------------------------------------------------------------------------------


def _delete(session: Session, table: Any, keys: Select[Any]) -> int:
    """Delete the rows with these primary keys; the number deleted."""
    rows = tuple_(*table.__mapper__.primary_key).in_(keys)
    return session.connection().execute(delete(table.__table__).where(rows)).rowcount
