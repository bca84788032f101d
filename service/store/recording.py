"""What an attempt says, written down: where it runs, each epoch once, its end.

Every write of an attempt carries the trial's attempt number and checks it in the same statement;
a statement that touches no row comes from a stale attempt, which must stop.
"""

import enum
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import and_, bindparam, case, func, insert, or_, select, tuple_, update
from sqlalchemy.orm import Session

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


class Recorded(enum.Enum):
    """What became of an epoch report."""

    new = "new"
    duplicate = "duplicate"
    stale = "stale"
    """Of an attempt that no longer holds the trial; stop it."""
    gap = "gap"
    """The epoch before it was never reported."""
    different = "different"
    """Recorded before with other numbers; the first ones stay."""


class Said(NamedTuple):
    """An epoch report, and who says it."""

    trial_id: int
    attempt: int
    report: dict[str, Any]
    checkpoint: tuple[str, str] | None
    """Name and hash of the state after this epoch, where it was saved."""

    @property
    def key(self) -> tuple[int, int]:
        """(trial, attempt)"""
        return self.trial_id, self.attempt


def record_environments(
    session: Session, environments: Mapping[tuple[int, int], dict[str, Any]]
) -> None:
    """What attempts run on, by (trial, attempt)."""
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
        losses=0,  # a trial that gets on is not what kills its workers
    )
)
"""Moves a trial on by one epoch, if the attempt still holds it."""
_REPORTED = insert(Report.__table__).values(recorded_at=db_now())  # type: ignore[arg-type]


def _advance(said: Said) -> dict[str, Any]:
    report = said.report
    return {
        "of": said.trial_id, "by": said.attempt, "before": report["epoch"] - 1,
        "epoch": report["epoch"], "report": report, "lasted": report["seconds"],
    }  # fmt: skip


def _reported(said: Said) -> dict[str, Any]:
    name, sha256 = said.checkpoint or (None, None)
    return {
        "trial_id": said.trial_id, "epoch": said.report["epoch"], "attempt": said.attempt,
        "report": said.report, "sha256": _sum(said.report), "checkpoint": name,
        "checkpoint_sha256": sha256,
    }  # fmt: skip


def record(session: Session, said: Said) -> Recorded:
    """Record one epoch, once, if the attempt still holds the trial.

    The caller then tells the sweep's readers (`touch`), once for all that it records.
    """
    connection = session.connection()
    if connection.execute(_ADVANCE, _advance(said)).rowcount != 1:
        return _refused(session, said)
    connection.execute(_REPORTED, _reported(said))
    return Recorded.new


def record_all(session: Session, said: Sequence[Said]) -> list[Recorded]:
    """As `record` of each in turn, in two round trips where nothing is in the way of any.

    Each report moves its trial on by a statement of its own, fence included; they are sent
    together, and the database tells how many trials have moved. Fewer than were to: that is taken
    back, and each is recorded alone.
    """
    if len(said) > 1:
        point = session.begin_nested()
        connection = session.connection()  # now: with this the savepoint is set
        moved = connection.execute(_ADVANCE, [_advance(each) for each in said]).rowcount
        if moved == len(said):
            connection.execute(_REPORTED, [_reported(each) for each in said])
            point.commit()
            return [Recorded.new] * len(said)
        point.rollback()
    return [record(session, each) for each in said]


def touch(session: Session, sweep_ids: Iterable[str]) -> None:
    """The sweeps' readers have something new to read."""
    session.execute(
        update(Sweep).where(Sweep.id.in_(sorted(sweep_ids))).values(version=Sweep.version + 1)
    )


def _sum(report: dict[str, Any]) -> str:
    numbers = {name: value for name, value in report.items() if name != "seconds"}
    return hashlib.sha256(json.dumps(numbers, sort_keys=True).encode()).hexdigest()


def _refused(session: Session, said: Said) -> Recorded:
    trial = session.get(Trial, said.trial_id, populate_existing=True)
    if trial is None or trial.attempt != said.attempt or trial.state != TrialState.running:
        return Recorded.stale
    earlier = session.get(Report, (said.trial_id, said.report["epoch"]))
    if earlier is None:
        return Recorded.gap
    trial.reported_at = clock(session)
    if earlier.sha256 != _sum(said.report):
        return Recorded.different
    if said.checkpoint is not None:
        earlier.checkpoint, earlier.checkpoint_sha256 = said.checkpoint
    return Recorded.duplicate


def settle(
    session: Session,
    trial_id: int,
    attempt: int,
    reason: Reason | None,
    message: str | None = None,
    weights_sha256: str | None = None,
    *,
    alone: bool = False,
) -> TrialState | None:
    """End an attempt; the trial's state then, or None if the attempt was stale.

    Args:
        session: a writing transaction.
        trial_id: the trial.
        attempt: the attempt that ended.
        reason: None if the trial says that it is done; it succeeded only if all epochs are there.
        message: for the reader; at most `MESSAGE_LENGTH` of it, and nothing that no database takes.
        weights_sha256: of the final weights, from a trial that is done.
        alone: nothing shared the memory that the attempt ran out of.
    """
    trial = session.get(Trial, trial_id, populate_existing=True)
    if trial is None or trial.attempt != attempt or trial.state != TrialState.running:
        return None
    values: dict[str, Any] = {}
    message = _printable(message)
    if trial.cancel_requested_at is not None:
        to, reason = TrialState.cancelled, Reason.user
    elif reason is None:
        recorded = session.scalar(
            select(func.count()).select_from(Report).where(Report.trial_id == trial_id)
        )
        to, values = TrialState.succeeded, {"weights_sha256": weights_sha256}
        if not trial.epochs_done == trial.epochs == recorded:
            to, reason = TrialState.failed, Reason.error
            message = f"ended after {trial.epochs_done} of {trial.epochs} epochs"
    elif trial.losses < {Reason.lost: MAX_LOST, Reason.stalled: MAX_STALLED}.get(reason, 0):
        to = TrialState.queued
        values = {
            "losses": trial.losses + 1,
            "not_before": db_now() + backoff_seconds(trial.losses + 1),
        }
    elif reason is Reason.oom:
        to, values, message = _out_of_memory(trial, message, alone=alone)
    elif reason is Reason.user:
        to, reason = TrialState.queued, None  # drained or paused: not the trial's fault
    else:
        to = TrialState.failed
    switch(
        session,
        TrialState.running,
        to,
        Trial.id == trial_id,
        Trial.attempt == attempt,
        reason=reason,
        message=message,
        **values,
    )
    session.execute(
        update(Attempt)
        .where(Attempt.trial_id == trial_id, Attempt.attempt == attempt)
        .values(ended_at=db_now(), outcome=reason or to, message=message)
    )
    return to


def finish_all(
    session: Session, done: Mapping[tuple[int, int], str | None]
) -> set[tuple[int, int]]:
    """Settle attempts that say they are done, in a few statements for all.

    Args:
        session: a writing transaction.
        done: (trial, attempt) -> the sum of the final weights.

    Returns:
        Those whose trials have succeeded. The others are stale, cancelled or short of epochs: they
        are untouched, and `settle` says what becomes of each.
    """
    if not done:
        return set()
    recorded = (
        select(func.count()).select_from(Report).where(Report.trial_id == Trial.id)
    ).scalar_subquery()
    moved = switch(
        session,
        TrialState.running,
        TrialState.succeeded,
        tuple_(Trial.id, Trial.attempt).in_(list(done)),
        Trial.cancel_requested_at.is_(None),
        Trial.epochs_done == Trial.epochs,
        Trial.epochs == recorded,
    )
    finished = {(trial.id, trial.attempt) for trial in moved}
    if finished:
        connection = session.connection()
        connection.execute(
            update(Trial.__table__)  # type: ignore[arg-type]
            .where(Trial.id == bindparam("of"))
            .values(weights_sha256=bindparam("weights")),
            [{"of": key[0], "weights": done[key]} for key in finished],
        )
        connection.execute(
            update(Attempt.__table__)  # type: ignore[arg-type]
            .where(Attempt.trial_id == bindparam("of"), Attempt.attempt == bindparam("by"))
            .values(ended_at=db_now(), outcome=TrialState.succeeded, message=None),
            [{"of": trial_id, "by": attempt} for trial_id, attempt in finished],
        )
    return finished


def _printable(message: str | None) -> str | None:
    """An error's text may hold anything: a NUL, or the half of a pair that stands for a byte of a
    file's name."""
    if message is None:
        return None
    return message[:MESSAGE_LENGTH].encode(errors="replace").decode().replace("\0", "\ufffd")


def _out_of_memory(
    trial: Trial, message: str | None, *, alone: bool
) -> tuple[TrialState, dict[str, Any], str]:
    said = (message or "out of memory").rstrip(".")
    if not (alone or trial.alone):
        return TrialState.queued, {"alone": True}, f"{said}; it runs once more, alone on a node"
    return TrialState.failed, {}, f"{said}, though nothing ran beside it: it needs more memory"


def asked_to_stop(session: Session, holder: str) -> list[tuple[int, int, bool]]:
    """(trial, attempt, for good) of this dispatcher's running trials that somebody cancelled, or
    whose sweep was paused."""
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
    """(trial, attempt) -> sweep of what this dispatcher runs, by the database's word."""
    query = select(Trial.id, Trial.attempt, Trial.sweep_id).where(
        Trial.dispatcher_id == holder, Trial.state == TrialState.running
    )
    return {(trial_id, attempt): of for trial_id, attempt, of in session.execute(query)}


def stalled(session: Session, holder: str, seconds: float) -> dict[tuple[int, int], float]:
    """(trial, attempt) -> the limit in seconds of this dispatcher's running trials without a word
    for that long, which is `seconds` at first, and for ten of their own epochs."""
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
