"""Record what an attempt reports: its environment, each epoch once, and its end.

Every write of an attempt carries the trial's attempt number and checks it in the same statement.
A statement that touches no row comes from a stale attempt, which must stop.
"""

import enum
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import and_, bindparam, case, func, insert, null, or_, select, tuple_, update
from sqlalchemy.orm import Session

from lrd_core.texts import readable
from lrd_core.trial_folder import Checkpoint
from service.lifecycle import (
    MAX_LOST,
    MAX_STALLED,
    Reason,
    TrialState,
    backoff_seconds,
    patience,
)
from service.store.models import Attempt, Report, Sweep, Trial
from service.store.session import clock, db_now
from service.store.transitions import switch

MESSAGE_LENGTH = 2000
SETTLED_TOGETHER = 500
"""Attempts to settle in one transaction: on SQLite, all other writers wait for its end."""
RETRIES = {Reason.lost: MAX_LOST, Reason.stalled: MAX_STALLED}
"""How many losses in a row a trial may have and still be queued again, by the reason of the last.
"""


class Recorded(enum.Enum):
    """What became of an epoch report."""

    new = "new"
    duplicate = "duplicate"
    stale = "stale"
    """Its attempt no longer holds the trial and must stop."""
    gap = "gap"
    """The epoch before it was never reported."""
    different = "different"
    """Recorded before with other numbers; the first ones stay."""


class ReportedEpoch(NamedTuple):
    """An epoch report and the attempt that sent it."""

    trial_id: int
    attempt: int
    report: dict[str, Any]
    checkpoint: Checkpoint | None
    """The state after this epoch, if it was saved."""

    @property
    def key(self) -> tuple[int, int]:
        """(trial, attempt)"""
        return self.trial_id, self.attempt


def record_environments(
    session: Session, environments: Mapping[tuple[int, int], dict[str, Any]]
) -> None:
    """Record the environments of attempts, by (trial, attempt)."""
    if not environments:
        return
    connection = session.connection()
    connection.execute(
        update(Attempt.__table__)  # type: ignore[arg-type]
        .where(Attempt.trial_id == bindparam("of"), Attempt.attempt == bindparam("by"))
        .values(environment=bindparam("environment")),
        [
            {"of": trial_id, "by": attempt, "environment": environment}
            for (trial_id, attempt), environment in environments.items()
        ],
    )
    connection.execute(
        update(Trial.__table__)  # type: ignore[arg-type]
        .where(
            Trial.id == bindparam("of"),
            Trial.attempt == bindparam("by"),
            Trial.state == TrialState.running,
        )
        .values(reported_at=db_now()),
        [{"of": trial_id, "by": attempt} for trial_id, attempt in environments],
    )


_ADVANCE = (
    update(Trial.__table__)  # type: ignore[arg-type]
    .where(
        Trial.id == bindparam("of"),
        Trial.attempt == bindparam("by"),
        Trial.state == TrialState.running,
        Trial.epochs_done == bindparam("before"),
    )
    .values(
        epochs_done=bindparam("epoch"),
        last_report=bindparam("report"),
        seconds=Trial.seconds + bindparam("lasted"),
        reported_at=db_now(),
        losses=0,  # a trial that makes progress is not what kills its workers
    )
)
"""Advances a trial by one epoch, if the attempt still holds it."""
_REPORTED = insert(Report.__table__).values(recorded_at=db_now())  # type: ignore[arg-type]


def _advance(epoch: ReportedEpoch) -> dict[str, Any]:
    report = epoch.report
    return {
        "of": epoch.trial_id, "by": epoch.attempt, "before": report["epoch"] - 1,
        "epoch": report["epoch"], "report": report, "lasted": report["seconds"],
    }  # fmt: skip


def _reported(epoch: ReportedEpoch) -> dict[str, Any]:
    saved = epoch.checkpoint
    return {
        "trial_id": epoch.trial_id, "epoch": epoch.report["epoch"], "attempt": epoch.attempt,
        "report": epoch.report, "sha256": _sum(epoch.report), "checkpoint": saved and saved.name,
        "checkpoint_sha256": saved and saved.sha256,
    }  # fmt: skip


def record(session: Session, epoch: ReportedEpoch) -> Recorded:
    """Record one epoch, once, if the attempt still holds the trial.

    The caller then tells the sweep's readers (`touch`), once for all that it records.
    """
    connection = session.connection()
    if connection.execute(_ADVANCE, _advance(epoch)).rowcount != 1:
        return _refused(session, epoch)
    connection.execute(_REPORTED, _reported(epoch))
    return Recorded.new


def record_all(session: Session, epochs: Sequence[ReportedEpoch]) -> list[Recorded]:
    """Do as `record` for each epoch in turn, in two round trips if none of them is refused.

    Each report advances its trial by a statement of its own, fence included. They are sent
    together, and the database counts the trials that advanced. If some did not, that is undone,
    and each report is recorded alone.
    """
    if len(epochs) > 1:
        point = session.begin_nested()
        connection = session.connection()  # this call sets the savepoint
        moved = connection.execute(_ADVANCE, [_advance(each) for each in epochs]).rowcount
        if moved == len(epochs):
            connection.execute(_REPORTED, [_reported(each) for each in epochs])
            point.commit()
            return [Recorded.new] * len(epochs)
        point.rollback()
    return [record(session, each) for each in epochs]


def touch(session: Session, sweep_ids: Iterable[str]) -> None:
    """Tell the sweeps' readers that there is something new to read."""
    session.execute(
        update(Sweep).where(Sweep.id.in_(sorted(sweep_ids))).values(version=Sweep.version + 1)
    )


def _sum(report: dict[str, Any]) -> str:
    numbers = {name: value for name, value in report.items() if name != "seconds"}
    return hashlib.sha256(json.dumps(numbers, sort_keys=True).encode()).hexdigest()


def _refused(session: Session, epoch: ReportedEpoch) -> Recorded:
    trial = session.get(Trial, epoch.trial_id, populate_existing=True)
    if trial is None or trial.attempt != epoch.attempt:
        return Recorded.stale
    if trial.state == TrialState.succeeded:  # recorded with its end, and the answer did not come
        return Recorded.duplicate
    if trial.state != TrialState.running:
        return Recorded.stale
    earlier = session.get(Report, (epoch.trial_id, epoch.report["epoch"]))
    if earlier is None:
        return Recorded.gap
    trial.reported_at = clock(session)
    if earlier.sha256 != _sum(epoch.report):
        attempt = session.get_one(Attempt, epoch.key)
        attempt.different_epoch = attempt.different_epoch or earlier.epoch
        return Recorded.different
    if epoch.checkpoint is not None:
        earlier.checkpoint = epoch.checkpoint.name
        earlier.checkpoint_sha256 = epoch.checkpoint.sha256
    return Recorded.duplicate


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
