"""Claims: which queued trials start now, and why the others cannot."""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import exists, func, insert, or_, select, update
from sqlalchemy.orm import Session

from lrd_core.spec import Resources, SweepSpec
from service.lifecycle import TrialState
from service.store.models import Arm, Attempt, Report, Sweep, Trial
from service.store.session import db_now
from service.store.transitions import lock_sweeps, switch

MAX_SWEEPS = 100
"""So many open sweeps are looked at in one round; the others' turn comes when these have none."""


MAX_CLAIMS = 200
"""So many trials are claimed in one round: while 10,000 start, reports are recorded in between."""


@dataclass(frozen=True)
class Node:
    """What one machine of the cluster has, free or not."""

    cpus: float
    gpus: float


@dataclass(frozen=True)
class Share:
    """How many trials of one sweep start now, and what each occupies."""

    sweep_id: str
    count: int
    cpus: float
    gpus: float


@dataclass(frozen=True)
class Assignment:
    """A claimed trial: all that is needed to run it."""

    trial_id: int
    sweep_id: str
    attempt: int
    spec: dict[str, Any]
    """A TrialSpec as plain data."""
    cpus: float
    gpus: float
    timeout_seconds: float | None
    checkpoints: list[tuple[int, str, str]]
    """(epoch, name, sha256) of the newest recorded checkpoints, newest first."""


def plan(session: Session, free: Node, *, has_gpus: bool) -> list[Share]:
    """What fits the free resources now: by priority, and in equal parts where that is equal."""
    turns: list[tuple[int, int, float, str]] = []
    room: dict[str, int] = {}
    needs: dict[str, tuple[float, float]] = {}
    for sweep in _open_sweeps(session):
        needs[sweep.id] = _needs(sweep, has_gpus)
        room[sweep.id] = sweep.queued
        if sweep.max_concurrent is not None:
            room[sweep.id] = min(sweep.queued, sweep.max_concurrent - sweep.running)
        turns.append((-sweep.priority, sweep.running, sweep.created_at, sweep.id))
    heapq.heapify(turns)
    cpus, gpus = free.cpus, free.gpus
    counts: dict[str, int] = {}
    while turns and sum(counts.values()) < MAX_CLAIMS:
        priority, running, created_at, sweep_id = heapq.heappop(turns)
        need = needs[sweep_id]
        if room[sweep_id] <= 0 or not _fits(need, cpus, gpus):
            continue
        if sweep_id not in counts and not _any_ready(session, sweep_id):
            continue
        counts[sweep_id] = counts.get(sweep_id, 0) + 1
        room[sweep_id] -= 1
        cpus, gpus = cpus - need[0], gpus - need[1]
        heapq.heappush(turns, (priority, running + 1, created_at, sweep_id))
    return [Share(sweep_id, count, *needs[sweep_id]) for sweep_id, count in counts.items()]


def claim(session: Session, holder: str, shares: Sequence[Share]) -> list[Assignment]:
    """Claim the planned trials, as far as they are still to be had."""
    lock_sweeps(session, {share.sweep_id for share in shares})
    assignments: list[Assignment] = []
    for share in shares:
        sweep = session.get(Sweep, share.sweep_id, populate_existing=True)
        if sweep is None or sweep.paused_at is not None or sweep.cancel_requested_at is not None:
            continue  # asked for since the plan
        spec = SweepSpec.model_validate(sweep.spec)
        taken = _take(session, holder, share)
        configs = _configs(session, taken)
        assignments += [
            _assignment(session, spec, trial, configs[trial.arm_id], share) for trial in taken
        ]
    return assignments


def note_shortages(
    session: Session, nodes: Sequence[Node], *, has_gpus: bool
) -> dict[str, str | None]:
    """Sweep id -> why none of its trials can ever start here, where that has changed."""
    changed = {}
    for sweep in _open_sweeps(session):
        shortage = _shortage(_needs(sweep, has_gpus), nodes)
        if shortage != sweep.waiting_for:
            changed[sweep.id] = shortage
    return changed


def write_shortages(session: Session, shortages: dict[str, str | None]) -> None:
    """Tell the readers."""
    for sweep_id in sorted(shortages):
        session.execute(
            update(Sweep)
            .where(Sweep.id == sweep_id)
            .values(waiting_for=shortages[sweep_id], version=Sweep.version + 1)
        )


# --- inside ---------------------------------------------------------------------------------------

_ROUNDING = 1e-9
"""Shares such as 0.1 do not add up to 1 in floats."""


def _open_sweeps(session: Session) -> Sequence[Sweep]:
    return session.scalars(
        select(Sweep)
        .where(Sweep.queued > 0, Sweep.paused_at.is_(None), Sweep.cancel_requested_at.is_(None))
        .order_by(Sweep.priority.desc(), Sweep.running, Sweep.created_at)
        .limit(MAX_SWEEPS)
    ).all()


def _needs(sweep: Sweep, has_gpus: bool) -> tuple[float, float]:
    resources = Resources.model_validate(sweep.spec.get("resources", {}))
    gpus = resources.num_gpus
    return resources.num_cpus, float(has_gpus) if gpus == "auto" else gpus


def _fits(need: tuple[float, float], cpus: float, gpus: float) -> bool:
    return need[0] <= cpus + _ROUNDING and need[1] <= gpus + _ROUNDING


def _shortage(need: tuple[float, float], nodes: Sequence[Node]) -> str | None:
    if any(_fits(need, node.cpus, node.gpus) for node in nodes):
        return None
    if not nodes:
        return "the cluster has no node at present"
    cpus, gpus = need
    most_cpus, most_gpus = (max(getattr(n, name) for n in nodes) for name in ("cpus", "gpus"))
    if cpus > most_cpus:
        return f"a trial needs {cpus:g} CPUs on one node; the largest node has {most_cpus:g}"
    if gpus > most_gpus:
        return f"a trial needs {gpus:g} GPUs on one node; the largest node has {most_gpus:g}"
    return f"a trial needs {cpus:g} CPUs and {gpus:g} GPUs together; no single node has both"


def _ready() -> Any:
    due = or_(Trial.not_before.is_(None), Trial.not_before <= db_now())
    return (Trial.state == TrialState.queued) & due


def _any_ready(session: Session, sweep_id: str) -> bool:
    found = session.scalar(select(exists().where(Trial.sweep_id == sweep_id, _ready())))
    return bool(found)


def _take(session: Session, holder: str, share: Share) -> list[Trial]:
    # A statement of its own: within the update, PostgreSQL may evaluate the limited and locking
    # query more than once, and claims more than asked for.
    ready = session.scalars(
        select(Trial.id)
        .where(Trial.sweep_id == share.sweep_id, _ready())
        .order_by(Trial.id)
        .limit(share.count)
        .with_for_update(skip_locked=True)
    ).all()
    taken = switch(
        session,
        TrialState.queued,
        TrialState.running,
        Trial.id.in_(ready),
        attempt=Trial.attempt + 1,
        dispatcher_id=holder,
        cpus=share.cpus,
        gpus=share.gpus,
        started_at=func.coalesce(Trial.started_at, db_now()),
        reported_at=db_now(),
    )
    if taken:
        session.connection().execute(
            insert(Attempt.__table__).values(started_at=db_now()),  # type: ignore[arg-type]
            [
                {"trial_id": trial.id, "attempt": trial.attempt, "dispatcher_id": holder}
                for trial in taken
            ],
        )
    return sorted(taken, key=lambda trial: trial.id)


def _configs(session: Session, trials: Sequence[Trial]) -> dict[int, dict[str, Any]]:
    arms = select(Arm.id, Arm.config).where(Arm.id.in_({trial.arm_id for trial in trials}))
    return dict(map(tuple, session.execute(arms)))


def _assignment(
    session: Session, spec: SweepSpec, trial: Trial, config: dict[str, Any], share: Share
) -> Assignment:
    saved: Sequence[Any] = []
    if trial.attempt > 1:
        saved = session.execute(
            select(Report.epoch, Report.checkpoint, Report.checkpoint_sha256)
            .where(Report.trial_id == trial.id, Report.checkpoint.is_not(None))
            .order_by(Report.epoch.desc())
            .limit(2)
        ).all()
    resources = spec.resources.model_dump(mode="json")
    return Assignment(
        trial_id=trial.id,
        sweep_id=trial.sweep_id,
        attempt=trial.attempt,
        spec={
            **config,
            "seed": trial.seed,
            "execution": spec.execution.model_dump(mode="json"),
            "resources": resources | {"num_cpus": share.cpus, "num_gpus": share.gpus},
        },
        cpus=share.cpus,
        gpus=share.gpus,
        timeout_seconds=spec.resources.timeout_seconds,
        checkpoints=[(epoch, str(name), str(sha)) for epoch, name, sha in saved],
    )
