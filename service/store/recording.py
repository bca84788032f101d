"""Record what an attempt reports while it runs: its environment, and each epoch once.

Every write of an attempt carries the trial's attempt number and checks it in the same statement.
A statement that touches no row comes from a stale attempt, which must stop.
"""

import enum
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import bindparam, insert, update
from sqlalchemy.orm import Session

from lrd_core.trial_folder import Checkpoint
from service.lifecycle import TrialState
from service.store.models import Attempt, Report, Sweep, Trial
from service.store.session import clock, db_now


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
    differs = earlier.sha256 != _sum(epoch.report)
    if earlier.attempt != epoch.attempt:
        _note_recomputed(session.get_one(Attempt, epoch.key), earlier.epoch, differs=differs)
    if differs:
        return Recorded.different
    if epoch.checkpoint is not None:
        earlier.checkpoint = epoch.checkpoint.name
        earlier.checkpoint_sha256 = epoch.checkpoint.sha256
    return Recorded.duplicate


def _note_recomputed(attempt: Attempt, epoch: int, *, differs: bool) -> None:
    attempt.recomputed_from = attempt.recomputed_from or epoch
    attempt.recomputed_to = max(epoch, attempt.recomputed_to or 0)
    if differs:
        attempt.different_epoch = attempt.different_epoch or epoch
