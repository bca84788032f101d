"""The one door through which a trial changes its state.

It checks the transition, updates the sweep's counts and writes the event, in one transaction. A
transaction that writes several trials locks their sweeps first, in the order of their ids, so that
no two transactions wait for each other.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Integer, bindparam, case, func, insert, select, update
from sqlalchemy.orm import Session

from service.lifecycle import TERMINAL, TRANSITIONS, Reason, TrialState
from service.store import failures, webhooks
from service.store.models import Event, Sweep, Trial
from service.store.session import clock, db_now


class Moved(NamedTuple):
    """A trial that has changed its state. No object of `Trial`: a sweep may have 100,000."""

    id: int
    sweep_id: str
    arm_id: int
    seed: int
    attempt: int


def switch(
    session: Session,
    from_state: TrialState,
    to: TrialState,
    *conditions: ColumnElement[bool],
    reason: Reason | None = None,
    message: str | None = None,
    **values: Any,
) -> list[Moved]:
    """Move every trial in `from_state` that meets the conditions to state `to`, and return them.

    Check and write are one statement, so a trial that another transaction has moved is not touched.
    """
    assert to in TRANSITIONS[from_state], f"{from_state} -> {to} is no legal transition"
    changes: dict[str, Any] = {"state": to, "reason": reason, "message": message, **values}
    if to is not TrialState.running:
        changes["dispatcher_id"] = None
    if to in TERMINAL:
        changes["finished_at"] = db_now()
    moved = [
        Moved._make(row)
        for row in session.execute(
            update(Trial)
            .where(Trial.state == from_state, *conditions)
            .values(changes)
            .returning(*(getattr(Trial, name) for name in Moved._fields))
            .execution_options(synchronize_session=False)
        )
    ]
    if not moved:
        return moved
    now = clock(session)
    counts = Counter(trial.sweep_id for trial in moved)
    _move_counts(session, from_state, to, counts, now)
    session.connection().execute(
        insert(Event.__table__),  # type: ignore[arg-type]
        [
            {
                "sweep_id": trial.sweep_id,
                "trial_id": trial.id,
                "attempt": trial.attempt,
                "at": now,
                "kind": "trial",
                "from_state": from_state,
                "to_state": to,
                "reason": reason,
                "message": message,
            }
            for trial in moved
        ],
    )
    if to is TrialState.failed:
        failures.pause_failing(session, set(counts))
    if to in TERMINAL:
        webhooks.announce(session, set(counts))
    return moved


def _move_counts(
    session: Session, from_state: TrialState, to: TrialState, counts: Mapping[str, int], now: float
) -> None:
    """Move these numbers of trials in the counts of their sweeps, in one round trip."""
    moved = bindparam("moved", type_=Integer)
    values: dict[str, Any] = {
        from_state: getattr(Sweep, from_state) - moved,
        to: getattr(Sweep, to) + moved,
        "version": Sweep.version + 1,
    }
    if to is TrialState.running:
        ended = Sweep.succeeded + Sweep.failed + Sweep.cancelled
        values["started_at"] = func.coalesce(Sweep.started_at, now)
        values["paced_from"] = func.coalesce(Sweep.paced_from, now)
        values["finished_before"] = case(
            (Sweep.paced_from.is_(None), ended), else_=Sweep.finished_before
        )
    if from_state in TERMINAL:  # retried
        values["paced_from"] = None
    if to in TERMINAL:
        values["finished_at"] = now
    table = Sweep.__table__
    session.connection().execute(
        update(table).where(table.c.id == bindparam("of")).values(values),  # type: ignore[arg-type]
        [{"of": sweep_id, "moved": count} for sweep_id, count in sorted(counts.items())],
    )
    for sweep in session.identity_map.values():  # the session does not know of the update
        if isinstance(sweep, Sweep) and sweep.id in counts:
            session.expire(sweep)


def lock_sweeps(
    session: Session, sweep_ids: Iterable[str], *, skip_locked: bool = False
) -> set[str]:
    """Lock these sweeps until the transaction ends; the ids of those locked. Wait for sweeps that
    others have locked, or with `skip_locked` leave them out."""
    ids = sorted(sweep_ids)
    if not ids:
        return set()
    query = select(Sweep.id).where(Sweep.id.in_(ids)).order_by(Sweep.id)
    return set(session.scalars(query.with_for_update(skip_locked=skip_locked)))
