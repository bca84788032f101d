"""Sweeps, their arms and trials: submitting and reading."""

import hashlib
import secrets
from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import func, insert, select, update
from sqlalchemy.orm import Session

from lrd_core.spec import Arm as SpecArm
from lrd_core.spec import SweepSpec, config_hash
from service.errors import Conflict, NotFound, Unprocessable
from service.lifecycle import Reason, TrialState
from service.store.models import Arm, Attempt, Event, Report, Sweep, Trial
from service.store.session import db_now
from service.store.transitions import switch

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # no letters that are read as others


def create(
    session: Session,
    spec: SweepSpec,
    arms: Sequence[SpecArm],
    *,
    code_version: str,
    idempotency_key: str | None = None,
) -> tuple[Sweep, bool]:
    """Store a sweep with all of its arms and trials; (sweep, whether it is new).

    Raises:
        Unprocessable: the idempotency key was used with another spec.
    """
    document = spec.model_dump(mode="json", exclude_unset=True)
    body = hashlib.sha256(spec.model_dump_json().encode()).hexdigest()
    if idempotency_key is not None:
        earlier = session.scalar(select(Sweep).where(Sweep.idempotency_key == idempotency_key))
        if earlier is not None:
            if earlier.body_sha256 != body:
                raise Unprocessable(
                    "this Idempotency-Key was used with another body; use a new key for a new sweep"
                )
            return earlier, False
    now = session.scalar(select(db_now()))
    sweep = Sweep(
        id="".join(secrets.choice(_ALPHABET) for _ in range(12)),
        name=spec.name,
        spec=document,
        code_version=code_version,
        trials_total=len(arms) * len(spec.seeds),
        queued=len(arms) * len(spec.seeds),
        created_at=now,
        idempotency_key=idempotency_key,
        body_sha256=body,
    )
    session.add(sweep)
    session.flush()
    rows = [
        {
            "sweep_id": sweep.id,
            "position": position,
            "label": arm.label,
            "config": (config := arm.config_json()),
            "config_sha256": config_hash(config),
            "is_baseline": arm.is_baseline,
        }
        for position, arm in enumerate(arms)
    ]
    ids = session.scalars(insert(Arm).returning(Arm.id, sort_by_parameter_order=True), rows)
    session.execute(
        insert(Trial),
        [
            {
                "sweep_id": sweep.id,
                "arm_id": arm_id,
                "seed": seed,
                "epochs": arm.config.epochs,
                "created_at": now,
            }
            for arm_id, arm in zip(ids, arms, strict=True)
            for seed in spec.seeds
        ],
    )
    session.add(Event(sweep_id=sweep.id, at=now, kind="submitted"))
    session.flush()
    session.refresh(sweep)
    return sweep, True


def get(session: Session, sweep_id: str) -> Sweep:
    """The sweep.

    Raises:
        NotFound: there is none with this id.
    """
    sweep = session.get(Sweep, sweep_id)
    if sweep is None:
        raise NotFound(f"there is no sweep {sweep_id!r}; GET /api/v1/sweeps lists them")
    return sweep


def get_trial(session: Session, trial_id: int) -> Trial:
    """The trial.

    Raises:
        NotFound: there is none with this id.
    """
    trial = session.get(Trial, trial_id)
    if trial is None:
        raise NotFound(f"there is no trial {trial_id}")
    return trial


def page(session: Session, after: tuple[float, str] | None, size: int) -> list[Sweep]:
    """Sweeps, newest first, below the key `after`."""
    query = select(Sweep).order_by(Sweep.created_at.desc(), Sweep.id.desc()).limit(size)
    if after is not None:
        at, sweep_id = after
        query = query.where(
            (Sweep.created_at < at) | ((Sweep.created_at == at) & (Sweep.id < sweep_id))
        )
    return list(session.scalars(query))


def trials(
    session: Session, sweep_id: str, *, after: int = 0, size: int | None = None
) -> list[tuple[Trial, dict[str, Any]]]:
    """The sweep's trials above id `after`, each with its arm's configuration."""
    query = (
        select(Trial, Arm.config)
        .join(Arm, Arm.id == Trial.arm_id)
        .where(Trial.sweep_id == sweep_id, Trial.id > after)
        .order_by(Trial.id)
        .limit(size)
    )
    return [(trial, config) for trial, config in session.execute(query)]


def arms(session: Session, sweep_id: str) -> list[Arm]:
    """The sweep's arms in order."""
    return list(session.scalars(select(Arm).where(Arm.sweep_id == sweep_id).order_by(Arm.position)))


def reports(session: Session, trial_id: int, *, after_epoch: int = 0) -> list[Report]:
    """The trial's epochs after `after_epoch`, in order."""
    query = select(Report).where(Report.trial_id == trial_id, Report.epoch > after_epoch)
    return list(session.scalars(query.order_by(Report.epoch)))


class TrialRow(NamedTuple):
    """What the statistics need of a trial: a plain row, so that 100,000 of them are cheap."""

    id: int
    arm_id: int
    seed: int
    state: str
    reason: str | None
    epochs_done: int
    seconds: float
    cpus: float
    gpus: float
    last_report: dict[str, Any] | None


def trial_rows(session: Session, sweep_id: str) -> list[TrialRow]:
    """Every trial of the sweep, in order."""
    columns = [getattr(Trial, name) for name in TrialRow._fields]
    query = select(*columns).where(Trial.sweep_id == sweep_id).order_by(Trial.id)
    return [TrialRow(*row) for row in session.execute(query)]


def reports_by_trial(session: Session, sweep_id: str) -> dict[int, list[dict[str, Any]]]:
    """Trial id -> its epoch reports in order."""
    query = (
        select(Report.trial_id, Report.report)
        .join(Trial, Report.trial_id == Trial.id)
        .where(Trial.sweep_id == sweep_id)
        .order_by(Report.trial_id, Report.epoch)
    )
    found: dict[int, list[dict[str, Any]]] = {}
    for trial_id, report in session.execute(query):
        found.setdefault(trial_id, []).append(report)
    return found


def environments(session: Session, sweep_id: str) -> list[str]:
    """Each environment that an attempt of the sweep ran in, as one line; distinct, in order."""
    query = (
        select(Attempt.environment)
        .join(Trial, Trial.id == Attempt.trial_id)
        .where(Trial.sweep_id == sweep_id, Attempt.environment.is_not(None))
        .order_by(Attempt.trial_id, Attempt.attempt)
    )
    lines: dict[str, None] = {}
    for environment in session.scalars(query):
        parts = [
            f"{name} {value}"
            for name, value in (environment or {}).items()
            if name not in ("node", "pid") and value is not None
        ]
        lines[", ".join(parts)] = None
    return list(lines)


def cancel(session: Session, sweep_id: str) -> Sweep:
    """Ask for the end of a sweep: queued trials end now, running ones as soon as they stop.

    Raises:
        Conflict: it has ended already with other results.
    """
    sweep = get(session, sweep_id)
    if sweep.queued == sweep.running == 0 and not sweep.cancelled:
        raise Conflict(f"sweep {sweep_id} has ended; there is nothing to cancel")
    switch(
        session,
        TrialState.queued,
        TrialState.cancelled,
        Trial.sweep_id == sweep_id,
        reason=Reason.user,
    )
    session.execute(
        update(Trial)
        .where(Trial.sweep_id == sweep_id, Trial.state == TrialState.running)
        .values(cancel_requested_at=func.coalesce(Trial.cancel_requested_at, db_now()))
    )
    session.execute(
        update(Sweep)
        .where(Sweep.id == sweep_id)
        .values(cancel_requested_at=func.coalesce(Sweep.cancel_requested_at, db_now()))
    )
    session.expire_all()
    return get(session, sweep_id)
