"""What the dispatcher reads and writes: the lease, claims, epoch reports, ends.

Every write of an attempt carries the trial's attempt number and checks it in the same statement;
a statement that touches no row comes from a stale attempt, which must stop.
"""

import enum
import hashlib
import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy import exists, func, insert, or_, select, update
from sqlalchemy.orm import Session

from lrd_core.spec import Resources, SweepSpec
from service.lifecycle import MAX_LOST, Reason, TrialState, backoff_seconds
from service.store.models import Arm, Attempt, Lease, Report, Sweep, Trial
from service.store.session import db_now
from service.store.transitions import switch

DISPATCH = "dispatch"


@dataclass(frozen=True)
class Assignment:
    """A claimed trial: all that is needed to run it."""

    trial_id: int
    sweep_id: str
    attempt: int
    spec: dict[str, Any]
    """A TrialSpec as plain data."""
    resources: Resources
    checkpoints: list[tuple[int, str, str]]
    """(epoch, name, sha256) of the newest recorded checkpoints, newest first."""


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


def take_lease(session: Session, holder: str, host: str, pid: int, seconds: float) -> bool:
    """Take or renew the right to dispatch; False while another holds it."""
    now = session.execute(select(db_now())).scalar_one()
    lease = session.get(Lease, DISPATCH, with_for_update=True)
    if lease is None:
        lease = Lease(
            name=DISPATCH,
            holder=holder,
            host=host,
            pid=pid,
            term=1,
            acquired_at=now,
            expires_at=now,
        )
        session.add(lease)
    elif lease.holder != holder:
        if lease.expires_at > now:
            return False
        lease.holder, lease.host, lease.pid = holder, host, pid
        lease.term, lease.acquired_at = lease.term + 1, now
    lease.expires_at = now + seconds
    return True


def drop_lease(session: Session, holder: str) -> None:
    """Let another dispatcher take over at once."""
    session.execute(
        update(Lease).where(Lease.name == DISPATCH, Lease.holder == holder).values(expires_at=0)
    )


def reap(session: Session) -> int:
    """Requeue the running trials whose dispatcher has let its lease lapse; how many."""
    held = exists().where(Lease.holder == Trial.dispatcher_id, Lease.expires_at > db_now())
    lost = session.scalars(select(Trial).where(Trial.state == TrialState.running, ~held)).all()
    for trial in lost:
        settle(session, trial.id, trial.attempt, Reason.lost, "its dispatcher vanished")
    return len(lost)


def claim(
    session: Session, holder: str, free_cpus: float, free_gpus: float, has_gpus: bool
) -> list[Assignment]:
    """Claim as many trials as fit the free resources now: by priority, then fairly."""
    open_sweeps = session.scalars(
        select(Sweep)
        .where(Sweep.queued > 0, Sweep.paused_at.is_(None), Sweep.cancel_requested_at.is_(None))
        .order_by(Sweep.priority.desc(), Sweep.running, Sweep.created_at)
        .limit(100)
    ).all()
    assignments: list[Assignment] = []
    for sweep in open_sweeps:
        spec = SweepSpec.model_validate(sweep.spec)
        cpus = spec.resources.num_cpus
        gpus = spec.resources.num_gpus
        gpus = float(has_gpus) if gpus == "auto" else gpus
        room = int(free_cpus / cpus)
        if gpus:
            room = min(room, int(free_gpus / gpus))
        if sweep.max_concurrent is not None:
            room = min(room, sweep.max_concurrent - sweep.running)
        if room <= 0:
            continue
        taken = _take(session, holder, sweep.id, room, cpus, gpus)
        resources = Resources(num_cpus=cpus, num_gpus=gpus)
        assignments += [_assignment(session, spec, trial, resources) for trial in taken]
        free_cpus -= cpus * len(taken)
        free_gpus -= gpus * len(taken)
    return assignments


def _take(
    session: Session, holder: str, sweep_id: str, count: int, cpus: float, gpus: float
) -> list[Trial]:
    ready = (
        select(Trial.id)
        .where(
            Trial.sweep_id == sweep_id,
            Trial.state == TrialState.queued,
            or_(Trial.not_before.is_(None), Trial.not_before <= db_now()),
        )
        .order_by(Trial.id)
        .limit(count)
        .with_for_update(skip_locked=True)
    )
    taken = switch(
        session,
        TrialState.queued,
        TrialState.running,
        Trial.id.in_(ready),
        attempt=Trial.attempt + 1,
        dispatcher_id=holder,
        cpus=cpus,
        gpus=gpus,
        started_at=func.coalesce(Trial.started_at, db_now()),
        reported_at=db_now(),
    )
    for trial in taken:
        session.execute(
            insert(Attempt).values(
                trial_id=trial.id,
                attempt=trial.attempt,
                dispatcher_id=holder,
                started_at=db_now(),
            )
        )
    return sorted(taken, key=lambda trial: trial.id)


def _assignment(
    session: Session, spec: SweepSpec, trial: Trial, resources: Resources
) -> Assignment:
    config = session.get_one(Arm, trial.arm_id).config
    saved = session.execute(
        select(Report.epoch, Report.checkpoint, Report.checkpoint_sha256)
        .where(Report.trial_id == trial.id, Report.checkpoint.is_not(None))
        .order_by(Report.epoch.desc())
        .limit(2)
    )
    return Assignment(
        trial_id=trial.id,
        sweep_id=trial.sweep_id,
        attempt=trial.attempt,
        spec={
            **config,
            "seed": trial.seed,
            "execution": spec.execution.model_dump(mode="json"),
            "resources": resources.model_dump(mode="json"),
        },
        resources=resources,
        checkpoints=[(epoch, str(name), str(sha)) for epoch, name, sha in saved],
    )


def record_environment(
    session: Session, trial_id: int, attempt: int, environment: dict[str, Any]
) -> None:
    """What the attempt runs on."""
    session.execute(
        update(Attempt)
        .where(Attempt.trial_id == trial_id, Attempt.attempt == attempt)
        .values(environment=environment)
    )


def record(
    session: Session,
    trial_id: int,
    attempt: int,
    report: dict[str, Any],
    checkpoint: tuple[str, str] | None,
) -> Recorded:
    """Record one epoch, once, if the attempt still holds the trial."""
    epoch = report["epoch"]
    numbers = {name: value for name, value in report.items() if name != "seconds"}
    sha256 = hashlib.sha256(json.dumps(numbers, sort_keys=True).encode()).hexdigest()
    advanced = session.execute(
        update(Trial)
        .where(
            Trial.id == trial_id,
            Trial.attempt == attempt,
            Trial.state == TrialState.running,
            Trial.epochs_done == epoch - 1,
        )
        .values(
            epochs_done=epoch,
            last_report=report,
            seconds=Trial.seconds + report["seconds"],
            reported_at=db_now(),
        )
        .returning(Trial.sweep_id)
    ).scalar()
    if advanced is None:
        return _refused(session, trial_id, attempt, epoch, sha256, checkpoint)
    name, checkpoint_sha256 = checkpoint or (None, None)
    session.execute(
        insert(Report).values(
            trial_id=trial_id,
            epoch=epoch,
            attempt=attempt,
            report=report,
            sha256=sha256,
            checkpoint=name,
            checkpoint_sha256=checkpoint_sha256,
            recorded_at=db_now(),
        )
    )
    session.execute(update(Sweep).where(Sweep.id == advanced).values(version=Sweep.version + 1))
    return Recorded.new


def _refused(
    session: Session,
    trial_id: int,
    attempt: int,
    epoch: int,
    sha256: str,
    checkpoint: tuple[str, str] | None,
) -> Recorded:
    trial = session.get(Trial, trial_id, populate_existing=True)
    if trial is None or trial.attempt != attempt or trial.state != TrialState.running:
        return Recorded.stale
    earlier = session.get(Report, (trial_id, epoch))
    if earlier is None:
        return Recorded.gap
    trial.reported_at = session.scalar(select(db_now()))
    if earlier.sha256 != sha256:
        return Recorded.different
    if checkpoint is not None:
        earlier.checkpoint, earlier.checkpoint_sha256 = checkpoint
    return Recorded.duplicate


def settle(
    session: Session, trial_id: int, attempt: int, reason: Reason | None, message: str | None = None
) -> TrialState | None:
    """End an attempt; the trial's state then, or None if the attempt was stale.

    Args:
        session: a writing transaction.
        trial_id: the trial.
        attempt: the attempt that ended.
        reason: None if the trial says that it is done; it succeeded only if all epochs are there.
        message: for the reader.
    """
    trial = session.get(Trial, trial_id, populate_existing=True)
    if trial is None or trial.attempt != attempt or trial.state != TrialState.running:
        return None
    values: dict[str, Any] = {}
    if trial.cancel_requested_at is not None:
        to, reason = TrialState.cancelled, Reason.user
    elif reason is None:
        recorded = session.scalar(
            select(func.count()).select_from(Report).where(Report.trial_id == trial_id)
        )
        to = TrialState.succeeded
        if not trial.epochs_done == trial.epochs == recorded:
            to, reason = TrialState.failed, Reason.error
            message = f"ended after {trial.epochs_done} of {trial.epochs} epochs"
    elif reason in (Reason.lost, Reason.stalled) and trial.losses < MAX_LOST:
        to = TrialState.queued
        values = {
            "losses": trial.losses + 1,
            "not_before": db_now() + backoff_seconds(trial.losses + 1),
        }
    elif reason is Reason.user:
        to, reason = TrialState.queued, None  # drained: not the trial's fault
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


def to_stop(session: Session, holder: str) -> list[tuple[int, int]]:
    """(trial, attempt) of this dispatcher's running trials that somebody asked to cancel."""
    query = select(Trial.id, Trial.attempt).where(
        Trial.dispatcher_id == holder,
        Trial.state == TrialState.running,
        Trial.cancel_requested_at.is_not(None),
    )
    return [(trial_id, attempt) for trial_id, attempt in session.execute(query)]


def has_work(session: Session) -> bool:
    """Whether any sweep may have a trial to claim."""
    query = select(Sweep.id).where(
        Sweep.queued > 0, Sweep.paused_at.is_(None), Sweep.cancel_requested_at.is_(None)
    )
    return session.scalar(query.limit(1)) is not None
