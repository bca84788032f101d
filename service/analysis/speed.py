"""How soon an arm reaches a given value of a metric: the paper's claim about speed.

A trial has *reached* the threshold at its first epoch with a value at least as good. A trial that
ended (succeeded or diverged) without such an epoch will *never* reach it. A trial that is queued,
running, cancelled or failed for another reason is *undecided*, unless it reached the threshold
before.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from statistics import median, median_high, median_low
from typing import Any

from lrd_core.report import encode_number
from service.analysis.baselines import pair_with_baselines
from service.analysis.data import ArmId, ArmInfo, Series
from service.analysis.metrics import Metric


@dataclass(frozen=True)
class Reach:
    """How soon the trials of one arm reach the threshold."""

    arm_id: ArmId
    label: str
    trials: int
    reached: int
    never: tuple[int, ...]
    """Seeds that ended without reaching it."""
    undecided: tuple[int, ...]
    """Seeds not yet decided; in neither median."""
    epochs: float | None
    """Median epochs over reached and never, where never counts as later than any epoch: None if
    half of them or more never do. Dropping those instead would flatter an arm that fails."""
    seconds: float | None
    """The same median in wall-clock seconds of training and evaluation."""

    def to_json(self) -> dict[str, Any]:
        """All fields; tuples become lists in JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Speed:
    """An arm against its baseline, over the seeds decided in both."""

    arm_id: ArmId
    arm: str
    baseline_id: ArmId
    baseline: str
    n: int
    faster: int
    """Seeds on which the arm needs fewer epochs; reaching beats never reaching."""
    ties: int
    slower: int
    epoch_ratio: float | None
    """Median over the seeds of baseline's epochs / arm's epochs: 2 is twice as fast. A seed on
    which only the arm gets there counts as infinite, one on which only the baseline does as 0; one
    on which neither does is left out. 0 or infinite if most seeds are; None if just half are, or
    if there are none."""
    second_ratio: float | None

    def to_json(self) -> dict[str, Any]:
        """All fields; an infinite ratio is spelt out."""
        ratios = {"epoch_ratio": self.epoch_ratio, "second_ratio": self.second_ratio}
        known = {name: encode_number(ratio) for name, ratio in ratios.items() if ratio is not None}
        return asdict(self) | known


def reach(
    arms: Sequence[ArmInfo], series: Iterable[Series], *, metric: str, threshold: float
) -> list[Reach]:
    """How soon each arm gets there, in the order of `arms`; `threshold` in the metric's own unit.

    Raises:
        ValueError: a series names an unknown arm.
    """
    of_arm = _by_arm(arms, series, Metric(metric), threshold)
    return [_reach(arm, of_arm[arm.id]) for arm in arms]


def compare_speed(
    arms: Sequence[ArmInfo],
    series: Iterable[Series],
    *,
    metric: str,
    threshold: float,
    baseline: Iterable[str] = ("optimizer.keep_prob",),
) -> list[Speed]:
    """Every arm against its baseline, with the pairs of seeds that `comparisons.compare` forms.

    Raises:
        ValueError: a series names an unknown arm.
    """
    of_arm = _by_arm(arms, series, Metric(metric), threshold)
    return [
        _speed(pairing.arm, pairing.baseline, of_arm[pairing.arm.id], of_arm[pairing.baseline.id])
        for pairing in pair_with_baselines(arms, baseline)
    ]


# --- inside ---------------------------------------------------------------------------------------

_Time = tuple[float, float]
"""Epochs and seconds; infinite if the threshold is never reached."""
_NEVER = (math.inf, math.inf)


def _by_arm(
    arms: Sequence[ArmInfo], series: Iterable[Series], metric: Metric, threshold: float
) -> dict[ArmId, dict[int, _Time | None]]:
    """Arm id -> seed -> when the threshold is reached; None if undecided."""
    of_arm: dict[ArmId, dict[int, _Time | None]] = {arm.id: {} for arm in arms}
    for each in sorted(series, key=lambda one: one.seed):
        if each.arm_id not in of_arm:
            raise ValueError(f"trial {each.trial_id}: no arm {each.arm_id}")
        of_arm[each.arm_id][each.seed] = _when(each, metric, threshold)
    return of_arm


def _when(series: Series, metric: Metric, threshold: float) -> _Time | None:
    spent = 0.0
    for epoch, value, seconds in zip(series.epochs, series.values, series.seconds, strict=True):
        spent += seconds
        if value is None or not math.isfinite(value):
            continue
        if metric.better(value) >= metric.better(threshold):
            return float(epoch), spent
    ended = series.state == "succeeded" or series.reason == "diverged"
    return _NEVER if ended else None


def _reach(arm: ArmInfo, times: dict[int, _Time | None]) -> Reach:
    decided = [time for time in times.values() if time is not None]
    return Reach(
        arm_id=arm.id,
        label=arm.label,
        trials=len(times),
        reached=sum(time != _NEVER for time in decided),
        never=tuple(seed for seed, time in times.items() if time == _NEVER),
        undecided=tuple(seed for seed, time in times.items() if time is None),
        epochs=_median([epochs for epochs, _ in decided]),
        seconds=_median([seconds for _, seconds in decided]),
    )


def _speed(
    arm: ArmInfo,
    baseline: ArmInfo,
    arm_times: dict[int, _Time | None],
    baseline_times: dict[int, _Time | None],
) -> Speed:
    pairs = [
        (mine, theirs)
        for seed, mine in arm_times.items()
        if mine is not None and (theirs := baseline_times.get(seed)) is not None
    ]
    return Speed(
        arm_id=arm.id,
        arm=arm.label,
        baseline_id=baseline.id,
        baseline=baseline.label,
        n=len(pairs),
        faster=sum(mine[0] < theirs[0] for mine, theirs in pairs),
        ties=sum(mine[0] == theirs[0] for mine, theirs in pairs),
        slower=sum(mine[0] > theirs[0] for mine, theirs in pairs),
        epoch_ratio=_middle([_ratio(theirs[0], mine[0]) for mine, theirs in pairs]),
        second_ratio=_middle([_ratio(theirs[1], mine[1]) for mine, theirs in pairs]),
    )


def _ratio(baseline: float, arm: float) -> float:
    if arm == 0:  # the clock is too coarse
        return 1.0 if baseline == 0 else math.inf
    return baseline / arm


def _middle(ratios: Sequence[float]) -> float | None:
    """The median without NaN (never over never), possibly infinite; None if there is none, or if it
    would fall between a speed and never (0 or infinity), which no seed had."""
    known = [ratio for ratio in ratios if not math.isnan(ratio)]
    if not known:
        return None
    low, high = median_low(known), median_high(known)
    if low != high and (low == 0 or math.isinf(high)):
        return None
    return median(known)


def _median(times: Sequence[float]) -> float | None:
    """The median; None if there is none or it is infinite."""
    middle = median(times) if times else math.inf
    return middle if math.isfinite(middle) else None
