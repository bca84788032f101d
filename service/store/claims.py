"""Claims: planned trials become running attempts."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

from sqlalchemy import func, insert, select
from sqlalchemy.orm import Session

from lrd_core.execution import Execution, Resources
from lrd_core.trial_folder import KEPT, Checkpoint
from service.lifecycle import TrialState
from service.placement import Place
from service.store.models import Arm, Attempt, Report, Sweep, Trial
from service.store.ready import Wanted, next_of_each
from service.store.session import db_now
from service.store.transitions import Moved, switch
from service.store.turns import RESOURCES, Share

_EXECUTION = Sweep.spec["execution"].label("execution")


@dataclass(frozen=True)
class Assignment:
    """A claimed trial with everything needed to run it."""

    trial_id: int
    sweep_id: str
    attempt: int
    spec: dict[str, Any]
    """A `TrialSpec` as plain data."""
    place: Place
    timeout_seconds: float | None
    checkpoints: list[Checkpoint]
    """The newest recorded ones, newest first."""


def claim(session: Session, holder: str, shares: Sequence[Share]) -> list[Assignment]:
    """Claim the planned trials that are still available, in a few statements for all.

    A sweep that another transaction holds is left for the next round, so that a request that hangs
    in the middle of one sweep does not delay the others.
    """
    specs = _lock_free(session, {share.sweep_id for share in shares})
    taken = _take(session, holder, [share for share in shares if share.sweep_id in specs])
    trials = [trial for trial, _ in taken]
    configs, checkpoints = _configs(session, trials), _checkpoints(session, trials)
    return [
        _assignment(
            specs[trial.sweep_id], trial, configs[trial.arm_id], place, checkpoints[trial.id]
        )
        for trial, place in taken
    ]


# --- inside ---------------------------------------------------------------------------------------


def _lock_free(session: Session, sweep_ids: Collection[str]) -> dict[str, "_Spec"]:
    """Lock these sweeps, except those that others hold, or paused or cancelled since the plan."""
    query = (
        select(Sweep.id, RESOURCES, _EXECUTION)
        .where(
            Sweep.id.in_(sorted(sweep_ids)),
            Sweep.paused_at.is_(None),
            Sweep.cancel_requested_at.is_(None),
        )
        .with_for_update(skip_locked=True)
    )
    return {sweep_id: _Spec.of(*parts) for sweep_id, *parts in session.execute(query)}


def _take(session: Session, holder: str, shares: Sequence[Share]) -> list[tuple[Moved, Place]]:
    """Claim the next trials, each with its place, of sweeps that are locked."""
    if not shares:
        return []
    # A separate statement, because PostgreSQL may evaluate a limited subquery of an update more
    # than once, and would claim too many.
    wanted = [Wanted(share.sweep_id, len(share.places), share.alone) for share in shares]
    pairs = [
        pair
        for share, found in zip(shares, next_of_each(session, wanted), strict=True)
        for pair in zip(found, share.places, strict=False)
    ]
    taken: list[tuple[Moved, Place]] = []
    for (cpus, gpus), of_one_size in _by_size(pairs).items():
        trials = switch(
            session,
            TrialState.queued,
            TrialState.running,
            Trial.id.in_(list(of_one_size)),
            attempt=Trial.attempt + 1,
            dispatcher_id=holder,
            cpus=cpus,
            gpus=gpus,
            started_at=func.coalesce(Trial.started_at, db_now()),
            reported_at=db_now(),
        )
        taken += [(trial, of_one_size[trial.id]) for trial in trials]
    if taken:
        session.connection().execute(
            insert(Attempt.__table__).values(started_at=db_now()),  # type: ignore[arg-type]
            [
                {"trial_id": trial.id, "attempt": trial.attempt, "dispatcher_id": holder}
                for trial, _ in taken
            ],
        )
    return sorted(taken, key=lambda pair: pair[0].id)


def _by_size(
    pairs: Iterable[tuple[int, Place]],
) -> dict[tuple[float, float], dict[int, Place]]:
    found: dict[tuple[float, float], dict[int, Place]] = {}
    for trial_id, place in pairs:
        found.setdefault((place.cpus, place.gpus), {})[trial_id] = place
    return found


def _configs(session: Session, trials: Sequence[Moved]) -> dict[int, dict[str, Any]]:
    arms = select(Arm.id, Arm.config).where(Arm.id.in_({trial.arm_id for trial in trials}))
    return dict(map(tuple, session.execute(arms)))


def _checkpoints(session: Session, trials: Sequence[Moved]) -> dict[int, list[Checkpoint]]:
    """Of each trial the newest recorded checkpoints, newest first."""
    found: dict[int, list[Checkpoint]] = {trial.id: [] for trial in trials}
    again = [trial.id for trial in trials if trial.attempt > 1]
    if not again:
        return found
    newest = func.row_number().over(partition_by=Report.trial_id, order_by=Report.epoch.desc())
    ranked = (
        select(
            Report.trial_id,
            Report.epoch,
            Report.checkpoint,
            Report.checkpoint_sha256,
            newest.label("place"),
        )
        .where(Report.trial_id.in_(again), Report.checkpoint.is_not(None))
        .subquery()
    )
    kept = select(ranked).where(ranked.c.place <= KEPT).order_by(ranked.c.trial_id, ranked.c.place)
    for trial_id, epoch, name, sha256, _ in session.execute(kept):
        found[trial_id].append(Checkpoint(epoch, name, sha256))
    return found


class _Spec(NamedTuple):
    """How a sweep's trials run: these parts of its spec, without its maybe thousands of arms."""

    resources: Resources
    execution: Execution

    @classmethod
    def of(cls, resources: dict[str, Any] | None, execution: dict[str, Any] | None) -> Self:
        return cls(
            Resources.model_validate(resources or {}), Execution.model_validate(execution or {})
        )


def _assignment(
    spec: _Spec,
    trial: Moved,
    config: dict[str, Any],
    place: Place,
    checkpoints: list[Checkpoint],
) -> Assignment:
    resources = spec.resources.model_dump(mode="json")
    return Assignment(
        trial_id=trial.id,
        sweep_id=trial.sweep_id,
        attempt=trial.attempt,
        spec={
            **config,
            "seed": trial.seed,
            "execution": spec.execution.model_dump(mode="json"),
            # `num_cpus` stays even if it has a node to itself: its threads decide its numbers.
            "resources": resources | {"num_gpus": place.gpus},
        },
        place=place,
        timeout_seconds=spec.resources.timeout_seconds,
        checkpoints=checkpoints,
    )
