"""What must hold after any faults: nothing lost, nothing double, every number as undisturbed."""

import statistics
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from sqlalchemy import select

from lrd_core.checkpoint import weights_sha256
from lrd_core.environment import pin
from lrd_core.spec import TrialSpec
from lrd_core.training import TrainState, train
from service.store.models import Arm, Attempt, Report, Sweep, Trial
from service.store.session import Database
from tests.chaos.faults import Fault

Outcome = tuple[list[dict[str, Any]], str]
"""A trial's reports without what a clock had a part in, and the sum of its final weights."""


@dataclass
class Verdict:
    """The figures of one run; `wrong` is empty if every promise was kept."""

    seed: int
    seconds: float
    faults: dict[str, int]
    faults_total: int
    sweeps: int
    trials: int
    epochs: int
    attempts: int
    recomputed_epochs: int
    recovery_p50_s: float | None
    """Seconds from a fault to the next epoch that any trial recorded."""
    recovery_p95_s: float | None
    wrong: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def golden(spec: TrialSpec) -> Outcome:
    """The trial, undisturbed, in this process."""
    threads = torch.get_num_threads()
    try:
        pin(spec)
        state = TrainState.create(spec, torch.device("cpu"))
        reports = [_numbers(report.to_json()) for report in train(spec, state)]
        return reports, weights_sha256(state.model)
    finally:
        torch.set_num_threads(threads)


def audit(
    database: Database,
    storage: Path,
    accepted: Mapping[str, str],
    faults: Sequence[Fault],
    seed: int,
    seconds: float,
) -> Verdict:
    """Hold the database against the promises; `accepted`: each key that got a 2xx -> its sweep."""
    wrong: list[str] = []
    known: dict[tuple[str, int], Outcome] = {}
    recomputed = 0
    # Read at once: PostgreSQL ends a transaction in the middle of which somebody trains.
    with database.read() as session:
        sweeps = list(session.scalars(select(Sweep)))
        rows = session.execute(select(Trial, Arm).join(Arm, Arm.id == Trial.arm_id)).all()
        reports = list(session.scalars(select(Report).order_by(Report.epoch)))
        attempts = len(session.scalars(select(Attempt)).all())
    if {sweep.id for sweep in sweeps} != set(accepted.values()):
        wrong.append(f"accepted {dict(accepted)}, stored {[sweep.id for sweep in sweeps]}")
    if len(rows) != sum(sweep.trials_total for sweep in sweeps):
        wrong.append(f"{len(rows)} trials of {sum(sweep.trials_total for sweep in sweeps)}")
    of_trial: defaultdict[int, list[Report]] = defaultdict(list)
    for report in reports:
        of_trial[report.trial_id].append(report)
    for trial, arm in rows:
        name, its = f"trial {trial.id}", of_trial[trial.id]
        if trial.state != "succeeded":
            wrong.append(f"{name} is {trial.state}: {trial.reason} {trial.message}")
        key = (arm.config_sha256, trial.seed)
        if key not in known:
            known[key] = golden(TrialSpec.parse(arm.config | {"seed": trial.seed}))
        if [_numbers(report.report) for report in its] != known[key][0]:
            wrong.append(f"{name}: its numbers are not those of the undisturbed run")
        if trial.weights_sha256 != known[key][1]:
            wrong.append(f"{name}: its weights are not those of the undisturbed run")
        logs = (storage / "trials" / str(trial.id)).glob("attempt-*.log")
        computed = sum(path.read_text(errors="replace").count("  train_loss ") for path in logs)
        recomputed += max(0, computed - len(its))
    recorded_at = sorted(report.recorded_at for report in reports)
    waits = sorted(
        next((at for at in recorded_at if at > fault.at), fault.at) - fault.at
        for fault in faults
        if recorded_at and fault.at < recorded_at[-1]
    )
    return Verdict(
        seed=seed,
        seconds=round(seconds, 1),
        faults=dict(Counter(fault.kind for fault in faults)),
        faults_total=len(faults),
        sweeps=len(sweeps),
        trials=len(rows),
        epochs=len(reports),
        attempts=attempts,
        recomputed_epochs=recomputed,
        recovery_p50_s=round(statistics.median(waits), 2) if waits else None,
        recovery_p95_s=round(waits[int(0.95 * (len(waits) - 1))], 2) if waits else None,
        wrong=wrong,
    )


def _numbers(report: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in report.items() if name != "seconds"}
