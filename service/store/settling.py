"""End attempts: decide what becomes of their trials, and write it.

An attempt that no longer holds its trial changes nothing: its number is checked in the statement
that moves the trial.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import bindparam, func, null, select, tuple_, update
from sqlalchemy.orm import Session

from lrd_core.texts import readable
from service.lifecycle import MAX_LOST, MAX_STALLED, Reason, TrialState, backoff_seconds
from service.store.models import Attempt, Report, Trial
from service.store.session import db_now
from service.store.transitions import switch

MESSAGE_LENGTH = 2000
SETTLED_TOGETHER = 500
"""Attempts to settle in one transaction: on SQLite, all other writers wait for its end."""
RETRIES = {Reason.lost: MAX_LOST, Reason.stalled: MAX_STALLED}
"""How many losses in a row a trial may have and still be queued again, by the reason of the last.
"""


class Verdict(NamedTuple):
    """What becomes of a trial whose attempt has ended."""

    state: TrialState
    reason: Reason | None
    message: str | None
    changes: dict[str, Any] = {}
    """New values of other columns of the trial."""
    pause_seconds: float | None = None
    """How long it waits before its next attempt."""


def verdict(
    trial: Trial,
    reason: Reason | None,
    message: str | None = None,
    *,
    recorded: int | None = None,
    unshared: bool = False,
) -> Verdict:
    """Decide what becomes of a running trial whose attempt has ended. Pure.

    Args:
        trial: the trial as it was before.
        reason: why the attempt ended; None if it reports that the trial is done.
        message: what the attempt says about it.
        recorded: the number of recorded epochs, if the trial is done.
        unshared: nothing shared the memory that the attempt ran out of.
    """
    if trial.cancel_requested_at is not None:
        return Verdict(TrialState.cancelled, Reason.user, message)
    if reason is None:
        if trial.epochs_done == trial.epochs == recorded:
            return Verdict(TrialState.succeeded, None, message)
        short = f"ended after {trial.epochs_done} of {trial.epochs} epochs"
        return Verdict(TrialState.failed, Reason.error, short)
    if trial.losses < RETRIES.get(reason, 0):
        losses = trial.losses + 1
        pause = backoff_seconds(losses)
        return Verdict(TrialState.queued, reason, message, {"losses": losses}, pause)
    if reason is Reason.oom:
        said = (message or "out of memory").rstrip(".")
        if not (unshared or trial.alone):
            once_more = f"{said}; it runs once more, alone on a node"
            return Verdict(TrialState.queued, reason, once_more, {"alone": True})
        final = f"{said}, though nothing ran beside it: it needs more memory"
        return Verdict(TrialState.failed, reason, final)
    if reason is Reason.user:  # drained or paused, which is not the trial's fault
        return Verdict(TrialState.queued, None, message)
    return Verdict(TrialState.failed, reason, message)


class Ending(NamedTuple):
    """How an attempt ended, in the terms of the trials' table."""

    reason: Reason | None
    """None if it reports that the trial is done."""
    message: str | None = None
    """For the reader. At most `MESSAGE_LENGTH` characters of it are kept."""
    weights_sha256: str | None = None
    """Of the final weights, if the trial is done."""
    unshared: bool = False
    """Nothing shared the memory that the attempt ran out of."""


def settle_all(
    session: Session, ends: Mapping[tuple[int, int], Ending]
) -> dict[tuple[int, int], TrialState | None]:
    """End attempts as `verdict` decides, in a few statements for all with the same verdict.

    Args:
        session: a writing transaction that has locked the sweeps of these trials. Others wait
            until it ends, so settle about `SETTLED_TOGETHER` in one.
        ends: (trial, attempt) -> how it ended.

    Returns:
        (trial, attempt) -> the trial's new state, or None if the attempt was stale.
    """
    done = []
    alike: dict[str, tuple[Verdict, list[tuple[int, int]]]] = {}
    states: dict[tuple[int, int], TrialState | None] = dict.fromkeys(ends)
    for key, (trial, recorded) in _running(session, ends).items():
        reason, message, _, unshared = ends[key]
        said = None if message is None else readable(message[:MESSAGE_LENGTH])
        found = verdict(trial, reason, said, recorded=recorded, unshared=unshared)
        alike.setdefault(repr(found), (found, []))[1].append(key)
        states[key] = found.state
        if reason is None and found.state is not TrialState.cancelled:
            done.append(key)
    for found, keys in alike.values():
        _settle(session, found, keys)
    if done:
        session.connection().execute(
            update(Trial.__table__)  # type: ignore[arg-type]
            .where(Trial.id == bindparam("of"))
            .values(weights_sha256=bindparam("weights")),
            [{"of": key[0], "weights": ends[key].weights_sha256} for key in done],
        )
    return states


def with_succeeded(
    session: Session, states: Mapping[tuple[int, int], TrialState | None]
) -> dict[tuple[int, int], TrialState | None]:
    """The states from `settle_all`, and of attempts that had succeeded before, that they have: the
    answer to their commit did not come."""
    stale = [key for key, state in states.items() if state is None]
    these = tuple_(Trial.id, Trial.attempt).in_(stale)
    query = select(Trial.id, Trial.attempt).where(these, Trial.state == TrialState.succeeded)
    done: Any = map(tuple, session.execute(query)) if stale else ()
    return {**states, **dict.fromkeys(done, TrialState.succeeded)}


def settle(
    session: Session,
    trial_id: int,
    attempt: int,
    reason: Reason | None,
    message: str | None = None,
) -> TrialState | None:
    """Do as `settle_all` for one attempt; the trial's new state, or None if it was stale."""
    key = trial_id, attempt
    return settle_all(session, {key: Ending(reason, message)})[key]


def _running(
    session: Session, ends: Mapping[tuple[int, int], Ending]
) -> dict[tuple[int, int], tuple[Trial, int | None]]:
    """The trials that these attempts still hold, in this order, and, where some report that they
    are done, their numbers of recorded epochs."""
    recorded: Any = null()
    if any(end.reason is None for end in ends.values()):
        count = select(func.count()).select_from(Report).where(Report.trial_id == Trial.id)
        recorded = count.scalar_subquery()
    query = select(Trial, recorded).where(
        tuple_(Trial.id, Trial.attempt).in_(list(ends)), Trial.state == TrialState.running
    )
    rows = session.execute(query.execution_options(populate_existing=True))
    found = {(trial.id, trial.attempt): (trial, number) for trial, number in rows}
    return {key: found[key] for key in ends if key in found}


def _settle(session: Session, found: Verdict, keys: Sequence[tuple[int, int]]) -> None:
    values = dict(found.changes)
    if found.pause_seconds is not None:
        values["not_before"] = db_now() + found.pause_seconds
    switch(
        session,
        TrialState.running,
        found.state,
        tuple_(Trial.id, Trial.attempt).in_(keys),
        reason=found.reason,
        message=found.message,
        **values,
    )
    session.execute(
        update(Attempt)
        .where(tuple_(Attempt.trial_id, Attempt.attempt).in_(keys))
        .values(ended_at=db_now(), outcome=found.reason or found.state, message=found.message)
        .execution_options(synchronize_session=False)
    )
