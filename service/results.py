"""From rows to numbers: the rows of one sweep are put through the analysis."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, Literal, TypeVar

from lrd_core.choices import TASK_OF, metrics_of
from lrd_core.report import BESIDE_METRICS, decode_number, encode_number
from service.analysis.arms import ArmSummary, summarise
from service.analysis.comparison_table import ComparisonTable
from service.analysis.comparisons import Comparison, compare
from service.analysis.curves import Curve, mean_curves
from service.analysis.data import ArmId, ArmInfo, Observation, Series
from service.analysis.detecting import Detected, detect
from service.analysis.effect_table import EffectTable
from service.analysis.effects import Effect, effects_of
from service.analysis.factors import Design, designs
from service.analysis.methods import Methods, Ran, describe
from service.analysis.metrics import Metric, headline
from service.analysis.mixtures import warnings
from service.analysis.readings import observe
from service.analysis.speed import Reach, Speed, compare_speed, reach
from service.analysis.subjects import subject
from service.analysis.tables import Table, build_table
from service.analysis.twins import same_networks
from service.analysis.unreported import about_expected, about_the_table
from service.rows import Rows
from service.store.sweeps import TrialRow

Wanted = TypeVar("Wanted")


class Results:
    """The numbers of one sweep, computed from its rows without the database.

    Curves and speed need `Part.EPOCHS`; whatever warns of mixed code, data or devices (comparisons,
    effects, the table) `Part.MADE`; the methods also `Part.HISTORY`; the provenance
    `Part.ENVIRONMENTS`.
    """

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._observed: dict[str, list[Observation]] = {}

    @property
    def at(self) -> str:
        """The place read: `last`, `best` or `epoch:N`."""
        return self._rows.at

    @property
    def arms(self) -> list[ArmInfo]:
        """The arms in order, their baselines marked."""
        return self._rows.arms

    @property
    def trials(self) -> list[TrialRow]:
        """The columns of each trial that the statistics need."""
        return self._rows.trials

    @cached_property
    def metrics(self) -> list[str]:
        """The metrics that the trials report, in the order of the reports."""
        names: dict[str, None] = {}
        for trial in self.trials:
            names |= dict.fromkeys(trial.last_report or ())
        return [name for name in names if name not in BESIDE_METRICS]

    @property
    def headline(self) -> str:
        """The metric of the sweep's table, known even before the first report."""
        return headline(self._rows.spec.table.metric, self.metrics or self._promised)

    @property
    def learning_metrics(self) -> list[str]:
        """The metrics in the panels of the paper's figures, if the trials report them."""
        paper = ("train_loss", "train_accuracy", "test_accuracy", "val_accuracy")
        return [name for name in paper if name in self.metrics] or self.metrics[:3]

    @property
    def provenance(self) -> dict[str, str]:
        """The provenance of these numbers, for a comment in a paper's source."""
        rows = self._rows
        return {
            "sweep": f"{rows.name} ({rows.sweep_id})",
            "code": rows.code_version,
            "read at": rows.at,
            "environment": "; ".join(_needed(rows.environments)) or "not known yet",
        }

    def summaries(self, metric: str) -> list[ArmSummary]:
        """The statistics of each arm."""
        return summarise(self.arms, self._observations(metric))

    def comparisons(self, metric: str, summaries: Sequence[ArmSummary]) -> list[Comparison]:
        """Each arm against its baseline; `summaries` are those of the same metric."""
        if not any(arm.is_baseline for arm in self.arms):
            return []
        observations = self._observations(metric)
        return compare(summaries, observations, metric=metric, baseline=self._rows.baseline)

    def comparison_table(self, metric: str | None = None) -> ComparisonTable:
        """The same as a listing, with the notes a reader needs."""
        metric = metric or self.headline
        summaries = self.summaries(metric)
        compared = self.comparisons(metric, summaries)
        return ComparisonTable(
            tuple(compared),
            tuple(summaries),
            Metric(metric),
            self.at,
            tuple(self._rows.baseline),
            (*self._same_networks(compared), *self._mixtures()),
        )

    def effects(self, metric: str) -> list[Effect]:
        """The effect of each factor, and the interaction of every two."""
        observations = self._observations(metric)
        return effects_of(self.arms, observations, metric=metric, baseline=self._rows.baseline)

    @property
    def designs(self) -> list[Design]:
        """The arms of each data set and model, as points of a grid of factors."""
        return designs(self.arms, self._rows.baseline)

    def effect_table(self, metric: str | None = None) -> EffectTable:
        """The same as a listing, with the notes a reader needs."""
        metric = metric or self.headline
        about = subject([arm.config for arm in self.arms])
        mixed = tuple(self._mixtures())
        return EffectTable(
            tuple(self.effects(metric)),
            Metric(metric),
            self.at,
            about,
            mixed,
            tuple(self.designs),
        )

    def table(self, metric: str | None = None) -> Table:
        """The sweep's table, laid out as its spec asks."""
        metric = metric or self.headline
        summaries = self.summaries(metric)
        compared = self.comparisons(metric, summaries)
        table = build_table(
            summaries,
            compared,
            layout=self._rows.spec.table,
            metric=metric,
            at=self.at,
            baseline=self._rows.baseline,
            expected=self._rows.spec.expected,
        )
        advice = (
            *table.advice,
            *self._same_networks(compared),
            *about_expected(self._rows.spec.expected, self.metrics),
            *self._mixtures(),
        )
        table = replace(table, advice=advice)
        if any(summary.mean is not None for summary in summaries):
            return table
        return replace(table, notes=(*about_the_table(metric, self.metrics), *table.notes))

    def methods(self, metric: str | None = None) -> Methods:
        """How the numbers of a metric were obtained, for a paper's section on methods."""
        metric = metric or self.headline
        summaries = self.summaries(metric)
        ran = Ran(
            seeds=tuple(sorted({trial.seed for trial in self.trials})),
            precision=self._rows.spec.execution.get("precision", "fp32"),
            reused=sum(trial.reused_from is not None for trial in self.trials),
            repeated=sum(trial.attempt > 1 for trial in self.trials),
            extended=tuple(_needed(self._rows.extensions)),
            has_primary=bool(self._rows.spec.primary),
            made=tuple(_needed(self._rows.made)),
            recomputed=_needed(self._rows.recomputed),
            devices=tuple(_needed(self._rows.devices)),
        )
        return describe(
            summaries,
            self.comparisons(metric, summaries),
            ran,
            effects=self.effects(metric),
            metric=metric,
            at=self.at,
            baseline=self._rows.baseline,
        )

    def curves(
        self, metric: str, *, by: Literal["epoch", "seconds"] = "epoch", points: int | None = None
    ) -> list[Curve]:
        """The mean of `metric` for each arm at each epoch, with its spread and n."""
        return mean_curves(self.arms, self.series(metric), by=by, points=points)

    def speed(self, metric: str, threshold: float) -> tuple[list[Reach], list[Speed]]:
        """How soon each arm reaches `threshold`, and how that compares with its baseline."""
        series = self.series(metric)
        reached = reach(self.arms, series, metric=metric, threshold=threshold)
        if not any(arm.is_baseline for arm in self.arms):
            return reached, []
        against = compare_speed(
            self.arms, series, metric=metric, threshold=threshold, baseline=self._rows.baseline
        )
        return reached, against

    def power(self, metric: str, difference: float | None = None) -> Detected:
        """Which differences the seeds so far can find, and how many find the one asked about."""
        compared = self.comparisons(metric, self.summaries(metric))
        return detect(compared, Metric(metric), self.at, difference, arms=len(self.arms))

    def series(self, metric: str) -> list[Series]:
        """The metric of every trial, epoch by epoch."""
        return [self._series(trial, metric) for trial in self.trials]

    def arm_views(self) -> list[dict[str, Any]]:
        """The arms, each with the outcome of its seeds and the statistics of every metric."""
        views: dict[ArmId, dict[str, Any]] = {
            arm.id: {
                "id": arm.id,
                "label": arm.label,
                "config": arm.config,
                "is_baseline": arm.is_baseline,
                "is_primary": arm.is_primary,
                "n": 0,
                "planned": 0,
                "failed": 0,
                "diverged": 0,
                "status": "",
                "missing": {},
                "metrics": {},
            }
            for arm in self.arms
        }
        for metric in self.metrics or [self.headline]:
            for summary in self.summaries(metric):
                flat = summary.to_json()
                view = views[summary.arm.id]
                if metric == self.headline or not view["planned"]:
                    view |= {name: flat[name] for name in _OF_THE_ARM}
                view["metrics"][metric] = {name: flat[name] for name in _OF_A_METRIC}
            self._observed.pop(metric, None)  # half a gigabyte for a million trials
        return list(views.values())

    # --- inside -----------------------------------------------------------------------------------

    @property
    def _promised(self) -> list[str]:
        """The metrics that the arms will report; empty if a plugin decides that."""
        names: dict[str, None] = {}
        for arm in self.arms:
            dataset = arm.config.get("dataset") or ""
            task = arm.config.get("task") or TASK_OF.get(dataset, "classification")
            holdout = "holdout" in (arm.config.get("data") or {})
            names |= dict.fromkeys(metrics_of(dataset, task, holdout=holdout) or ())
        return list(names)

    def _same_networks(self, compared: Sequence[Comparison]) -> Iterator[str]:
        """What to say of arms that made the same networks."""
        made: dict[ArmId, dict[int, str | None]] = {}
        for trial in self.trials:
            if trial.state == "succeeded":
                made.setdefault(trial.arm_id, {})[trial.seed] = trial.weights_sha256
        return same_networks(self.arms, made, {each.arm_id for each in compared})

    def _mixtures(self) -> Iterator[str]:
        rows = self._rows
        return warnings(self.arms, _needed(rows.made), _needed(rows.recomputed))

    def _observations(self, metric: str) -> list[Observation]:
        if metric not in self._observed:
            self._observed[metric] = self._observe(metric)
        return self._observed[metric]

    def _observe(self, metric: str) -> list[Observation]:
        if self.at != "last":
            kind = Metric(metric)
            return [
                observe(self._series(trial, metric), kind, self.at, trial.gpus, trial.cpus)
                for trial in self.trials
            ]
        return [
            Observation(
                trial_id=str(trial.id),
                arm_id=trial.arm_id,
                seed=trial.seed,
                state=trial.state,
                reason=trial.reason,
                value=_number(trial.last_report or {}, metric),
                seconds=trial.seconds,
                epochs_done=trial.epochs_done,
                gpus=trial.gpus,
                cpus=trial.cpus,
            )
            for trial in self.trials
        ]

    def _series(self, trial: TrialRow, metric: str) -> Series:
        reports = _needed(self._rows.epochs).get(trial.id, [])
        return Series(
            trial_id=str(trial.id),
            arm_id=trial.arm_id,
            seed=trial.seed,
            state=trial.state,
            reason=trial.reason,
            epochs=tuple(report["epoch"] for report in reports),
            values=tuple(_number(report, metric) for report in reports),
            seconds=tuple(report["seconds"] for report in reports),
        )


_OF_THE_ARM = (
    "n", "planned", "failed", "diverged", "status", "missing", "seconds", "gpu_seconds",
    "cpu_seconds",
)  # fmt: skip
_OF_A_METRIC = (
    "n", "mean", "std", "standard_error", "ci_low", "ci_high", "median", "iqm", "min", "max",
    "epoch",
)  # fmt: skip


def _needed(part: Wanted | None) -> Wanted:
    assert part is not None, "whoever reads the rows names the parts that these results need"
    return part


def _number(report: dict[str, Any], metric: str) -> float | None:
    value = report.get(metric)
    return None if value is None else decode_number(value)


def json_safe(value: Any) -> Any:
    """`value` with every NaN and infinity spelled out, as in the epoch reports."""
    if isinstance(value, float):
        return encode_number(value)
    if isinstance(value, dict):
        return {name: json_safe(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_safe(item) for item in value]
    return value
