"""One arm over its seeds: how many there are, what became of each, and their statistics."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import special

from service.analysis.data import NON_FINITE, ArmId, ArmInfo, Floats, Observation

CONFIDENCE = 0.95
SEEDS_NAMED = 5
"""Seeds named in a status; the rest are elided."""


@dataclass(frozen=True)
class ArmSummary:
    """One arm, one metric, all of its seeds.

    The statistics are over the n trials that succeeded with a finite value. All others are counted
    and named in `missing`; none is dropped silently. Values are in the metric's own unit
    (accuracies are shares, 0 to 1).
    """

    arm: ArmInfo
    planned: int
    """All trials of the arm, whatever their state."""
    n: int
    """Trials that succeeded with a finite value: the n of every statistic below."""
    failed: int
    """Trials in state `failed`, diverged ones included."""
    diverged: int
    """Trials whose training loss stopped being finite."""
    missing: dict[str, tuple[int, ...]]
    """Reason why the other planned − n trials give no number -> their seeds, in order."""
    mean: float | None
    std: float | None
    """Sample standard deviation (divisor n − 1); None for n = 1."""
    standard_error: float | None
    """std / sqrt(n)."""
    ci_low: float | None
    """95 % Student t interval of the mean: mean ± t(0.975, n − 1) · standard error; n ≥ 2."""
    ci_high: float | None
    median: float | None
    iqm: float | None
    """Interquartile mean: floor(n / 4) values are cut at each end (scipy's `trim_mean(x, 0.25)`,
    as in Agarwal et al. 2021). Below n = 4 nothing is cut and it is the mean."""
    min: float | None
    max: float | None
    epoch: float | None
    """Median epoch at which the n numbers were read; of interest for `at=best`."""
    seconds: float
    """Wall-clock seconds of all trials, failed ones included."""
    gpu_seconds: float
    """Seconds times GPUs held, summed in the same way."""
    cpu_seconds: float

    @property
    def half_width(self) -> float | None:
        """Half the width of the t interval, which is symmetric about the mean; None without one."""
        return None if self.ci_high is None or self.mean is None else self.ci_high - self.mean

    @property
    def survivors_only(self) -> bool:
        """Whether the statistics leave out seeds whose numbers stopped being finite."""
        return not NON_FINITE.isdisjoint(self.missing)

    @property
    def complete(self) -> bool:
        """Whether every planned trial gave a number."""
        return self.n == self.planned

    @property
    def count(self) -> str:
        """As shown in a cell: `5`, or `4/5` if a planned trial gave no number."""
        return str(self.n) if self.complete else f"{self.n}/{self.planned}"

    @property
    def status(self) -> str:
        """`n=3/5, 1 failed (seed 3 diverged), 1 running`."""
        parts, failures, others = [f"n={self.n}/{self.planned}"], [], []
        for why, seeds in self.missing.items():
            if why == "diverged" or why.startswith("failed: "):
                failures.append(f"{name_seeds(seeds)} {why.removeprefix('failed: ')}")
            elif why in ("queued", "running"):
                others.append(f"{len(seeds)} {why}")
            else:
                others.append(f"{len(seeds)} {why} ({name_seeds(seeds)})")
        if failures:
            parts.append(f"{self.failed} failed ({'; '.join(failures)})")
        return ", ".join(parts + others)

    def to_json(self) -> dict[str, Any]:
        """Flat and JSON-safe; the arm as `arm_id` and `label`."""
        arm = self.arm
        flat = {field.name: getattr(self, field.name) for field in fields(self)[1:]}
        flat["missing"] = {why: list(seeds) for why, seeds in self.missing.items()}
        head = {"arm_id": arm.id, "label": arm.label, "is_baseline": arm.is_baseline}
        return {**head, **flat, "status": self.status}


def summarise(arms: Sequence[ArmInfo], observations: Iterable[Observation]) -> list[ArmSummary]:
    """One summary per arm, in the order of `arms`; the order of `observations` does not matter.

    Raises:
        ValueError: an observation names an unknown arm.
    """
    of_arm = group_by_arm(arms, observations)
    statistics = statistics_of([usable_values(of_arm[arm.id]) for arm in arms])
    return [
        _summary(arm, of_arm[arm.id], numbers)
        for arm, numbers in zip(arms, statistics, strict=True)
    ]


def group_by_arm(
    arms: Sequence[ArmInfo], observations: Iterable[Observation]
) -> dict[ArmId, list[Observation]]:
    """Arm id -> its observations by rising seed, for every arm.

    Raises:
        ValueError: an observation names an unknown arm, or an arm has a seed twice.
    """
    of_arm: dict[ArmId, list[Observation]] = {arm.id: [] for arm in arms}
    for observation in observations:
        try:
            of_arm[observation.arm_id].append(observation)
        except KeyError:
            raise ValueError(f"trial {observation.trial_id}: no arm {observation.arm_id}") from None
    for arm_id, trials in of_arm.items():
        trials.sort(key=lambda trial: trial.seed)
        if len({trial.seed for trial in trials}) < len(trials):
            raise ValueError(f"arm {arm_id}: a seed stands twice")
    return of_arm


def usable_values(trials: Sequence[Observation]) -> list[float]:
    """The numbers that count, in the order of `trials`."""
    # `missing` is None exactly where `value` is a finite number; the second test is for mypy.
    return [trial.value for trial in trials if trial.missing is None and trial.value is not None]


def name_seeds(seeds: Sequence[int]) -> str:
    """`seed 3`, `seeds 1, 2`, `seeds 0, 1, 2, 3, 4, …`."""
    names = [str(seed) for seed in seeds[:SEEDS_NAMED]]
    names += ["…"] if len(seeds) > SEEDS_NAMED else []
    return f"seed{'s' if len(seeds) > 1 else ''} {', '.join(names)}"


def statistics_of(samples: Sequence[Sequence[float]]) -> list[dict[str, float | None]]:
    """The statistics of each sample; samples of equal size are computed together.

    A statistic is None if the sample is too small for it, or if no float can hold it (an interval
    beyond 1e308).
    """
    results: list[dict[str, float | None]] = [dict.fromkeys(_NAMES) for _ in samples]
    of_size: dict[int, list[int]] = {}
    for index, sample in enumerate(samples):
        of_size.setdefault(len(sample), []).append(index)
    for size, indices in of_size.items():
        if size == 0:
            continue
        columns = describe(np.array([samples[index] for index in indices], dtype=np.float64))
        names, rows = list(columns), zip(*(c.tolist() for c in columns.values()), strict=True)
        for index, row in zip(indices, rows, strict=True):
            for name, number in zip(names, row, strict=True):
                results[index][name] = number if math.isfinite(number) else None
    return results


def t_quantile(freedom: int) -> float:
    """Half the width of a Student t interval of CONFIDENCE, in standard errors."""
    return float(special.stdtrit(freedom, (1 + CONFIDENCE) / 2))


def describe(values: Floats) -> dict[str, Floats]:
    """The statistics of each row of `values` (k, n), n ≥ 1; those of the spread only for n ≥ 2."""
    n = values.shape[1]
    values = np.sort(values, axis=1)  # sums no longer depend on the order of the trials
    exponent = scale_of(values)
    values = np.ldexp(values, -exponent[:, None])
    low, high = values[:, 0], values[:, -1]
    cut = n // 4
    # The mean of equal values is that value: rounding must not invent a spread.
    constant = low == high
    mean = np.where(constant, low, values.mean(axis=1))
    found = {
        "mean": mean,
        "median": np.median(values, axis=1),
        "iqm": np.where(constant, low, values[:, cut : n - cut].mean(axis=1)),
        "min": low,
        "max": high,
    }
    if n > 1:
        std = np.where(constant, 0.0, values.std(axis=1, ddof=1))
        error = std / np.sqrt(n)
        half = t_quantile(n - 1) * error
        found |= {
            "std": std, "standard_error": error, "ci_low": mean - half, "ci_high": mean + half,
        }  # fmt: skip
    with np.errstate(over="ignore", under="ignore"):
        return {name: np.ldexp(column, exponent) for name, column in found.items()}


def scale_of(values: Floats) -> npt.NDArray[np.intc]:
    """For each row the power of two that brings its largest number into [0.5, 1).

    Dividing by it is exact, and squares of a loss of 1e200 or 1e-200 stay within the floats.
    """
    exponent: npt.NDArray[np.intc] = np.frexp(np.abs(values).max(axis=1))[1]
    return exponent


# --- inside ---------------------------------------------------------------------------------------

_NAMES = (
    "mean", "std", "standard_error", "ci_low", "ci_high", "median", "iqm", "min", "max",
)  # fmt: skip


def _summary(
    arm: ArmInfo, trials: Sequence[Observation], statistics: dict[str, float | None]
) -> ArmSummary:
    missing: dict[str, list[int]] = {}
    epochs = []
    for trial in trials:
        if trial.missing is None:
            epochs.append(trial.epoch or trial.epochs_done)
        else:
            missing.setdefault(trial.missing, []).append(trial.seed)
    return ArmSummary(
        arm=arm,
        planned=len(trials),
        n=len(epochs),
        failed=sum(trial.state == "failed" for trial in trials),
        diverged=len(missing.get("diverged", ())),
        missing={why: tuple(seeds) for why, seeds in missing.items()},
        epoch=median(epochs) if epochs else None,
        seconds=math.fsum(trial.seconds for trial in trials),
        gpu_seconds=math.fsum(trial.seconds * trial.gpus for trial in trials),
        cpu_seconds=math.fsum(trial.seconds * trial.cpus for trial in trials),
        **statistics,
    )
