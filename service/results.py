"""From rows to the table: what the store holds, through the analysis, for one sweep."""

from typing import Any

from sqlalchemy.orm import Session

from lrd_core.report import decode_number, encode_number
from lrd_core.spec import SweepSpec
from service.analysis.arms import ArmSummary, summarise
from service.analysis.data import ArmInfo, Observation
from service.analysis.tables import Table, build_table
from service.store import sweeps as store
from service.store.models import Sweep

METRICS = ("train_loss", "train_accuracy", "test_loss", "test_accuracy")


def summaries(session: Session, sweep: Sweep, metric: str) -> list[ArmSummary]:
    """The statistics of each arm at its last epoch."""
    arms = [
        ArmInfo(str(arm.id), arm.label, arm.config, arm.is_baseline)
        for arm in store.arms(session, sweep.id)
    ]
    observations = []
    for trial, _ in store.trials(session, sweep.id):
        value = (trial.last_report or {}).get(metric)
        observations.append(
            Observation(
                trial_id=str(trial.id),
                arm_id=str(trial.arm_id),
                seed=trial.seed,
                state=trial.state,
                reason=trial.reason,
                value=None if value is None else decode_number(value),
                seconds=trial.seconds,
                epochs_done=trial.epochs_done,
            )
        )
    return summarise(arms, observations)


def table(session: Session, sweep: Sweep) -> Table:
    """The sweep's table, laid out as its spec asks."""
    spec = SweepSpec.model_validate(sweep.spec)
    metric = spec.table.metric or "test_accuracy"
    return build_table(
        summaries(session, sweep, metric),
        layout=spec.table,
        metric=metric,
        baseline=list(spec.baseline),
        expected=spec.expected,
    )


def arm_views(session: Session, sweep: Sweep) -> list[dict[str, Any]]:
    """The arms with n, failed, and the mean and spread of every metric."""
    views: dict[str, dict[str, Any]] = {}
    for metric in METRICS:
        for summary in summaries(session, sweep, metric):
            view = views.setdefault(
                summary.arm.id,
                {
                    "id": int(summary.arm.id),
                    "label": summary.arm.label,
                    "config": summary.arm.config,
                    "is_baseline": summary.arm.is_baseline,
                    "n": summary.n,
                    "planned": summary.planned,
                    "failed": summary.failed,
                    "diverged": summary.diverged,
                    "metrics": {},
                },
            )
            numbers = {"mean": summary.mean, "std": summary.std}
            view["metrics"][metric] = {
                name: None if number is None else encode_number(number)
                for name, number in numbers.items()
            }
    return list(views.values())


def mean_curves(session: Session, sweep: Sweep, metric: str) -> list[dict[str, Any]]:
    """For each arm: epochs, and the mean and n of the finite values there."""
    points: dict[int, dict[int, list[float]]] = {}
    for arm_id, report in store.sweep_reports(session, sweep.id):
        if metric in report and isinstance(report[metric], int | float):
            points.setdefault(arm_id, {}).setdefault(report["epoch"], []).append(report[metric])
    return [
        {
            "arm_id": arm.id,
            "label": arm.label,
            "epochs": list(of_arm := points.get(arm.id, {})),
            "mean": [sum(values) / len(values) for values in of_arm.values()],
            "n": [len(values) for values in of_arm.values()],
        }
        for arm in store.arms(session, sweep.id)
    ]
