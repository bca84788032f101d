"""Arms against their baselines, paired by seed."""

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from service.analysis.arms import ArmSummary, group_by_arm
from service.analysis.baselines import pair_with_baselines
from service.analysis.data import NON_FINITE, ArmId, Observation
from service.analysis.metrics import Metric
from service.analysis.paired import ALPHA, holm, paired_statistics, sign_test, welch_p
from service.analysis.resampling import EXACT_UP_TO, FLIPS
from service.analysis.shown import shown_p


@dataclass(frozen=True)
class Comparison:
    """An arm against its baseline on the seeds that gave a number in both: d = arm − baseline.

    Differences are in the metric's own unit (accuracies are shares). A field is None if the number
    of pairs or the spread does not define it.
    """

    arm_id: ArmId
    arm: str
    baseline_id: ArmId
    baseline: str
    differs_in: tuple[str, ...]
    """All dotted paths in which the two configurations differ; where an optimizer, a data set or a
    model is another, without the options that come with its name."""
    metric: str
    higher_is_better: bool
    primary: bool
    """Whether it is one of those that the sweep is made for; the others are exploratory."""
    n: int
    """Pairs: seeds that gave a number in both arms."""
    left_out: dict[str, tuple[int, ...]]
    """Why the other seeds make no pair, e.g. `arm: diverged` -> their seeds."""
    wins: int
    """Seeds on which the arm is better. Diverging loses to any number, and both diverging is a tie,
    so wins + ties + losses exceeds n by the seeds on which an arm diverged. A trial that succeeded
    with a non-finite metric counts as diverged."""
    ties: int
    losses: int
    diverged: int
    """Seeds on which the arm diverged and the baseline gave a number."""
    baseline_diverged: int
    """Seeds on which the baseline diverged and the arm gave a number."""
    difference: float | None = None
    """Mean of d; n ≥ 1."""
    ci_low: float | None = None
    """95 % BCa bootstrap interval of the mean of d; n ≥ 2. Too narrow below about 20 pairs: see
    docs/statistics.md."""
    ci_high: float | None = None
    t_low: float | None = None
    """95 % Student t interval of the mean of d; n ≥ 2. The one to use for a handful of seeds."""
    t_high: float | None = None
    std: float | None = None
    """Sample standard deviation of d (divisor n − 1); n ≥ 2."""
    p_sign_flip: float | None = None
    """Two-sided, by sign flips; exact if `flips` is None. Never below 2 / 2^n. None if the seed
    changes nothing in either arm, because n pairs are then one observation, n times."""
    flips: int | None = None
    """Random sign patterns behind `p_sign_flip`, if there were too many pairs to count all."""
    p_holm: float | None = None
    """`p_sign_flip`, adjusted by Holm over all primary comparisons of the metric in the sweep; None
    for the others."""
    p_t: float | None = None
    """Two-sided paired t test; n ≥ 2 and a spread."""
    p_welch: float | None = None
    """Two-sided Welch t test: unpaired, over all numbers of both arms."""
    p_wins: float | None = None
    """Two-sided exact sign test of wins against losses, ties left out: the only test that counts
    seeds that diverged on one side. Not adjusted, and behind no dagger; None with neither wins
    nor losses."""
    d_z: float | None = None
    """Cohen's d of paired differences: mean / std of d."""
    g_z: float | None = None
    """d_z · Γ(f/2) / (sqrt(f/2) Γ((f−1)/2)) with f = n − 1: d_z without its small-sample bias
    (Hedges 1981); n ≥ 3."""
    correlation: float | None = None
    """Pearson's r of the pairs; n ≥ 3. Near 0, pairing by seed bought nothing."""

    @property
    def better(self) -> bool | None:
        """Whether the arm is better than its baseline by the mean; None if equal or unknown."""
        if not self.difference:
            return None
        return (self.difference > 0) == self.higher_is_better

    @property
    def survivors_only(self) -> bool:
        """Whether the side favoured by the mean diverged on seeds that the other side finished.

        Such a difference is between survivors, and is never marked as significant.
        """
        favoured = self.diverged if self.better else self.baseline_diverged
        return self.better is not None and favoured > 0

    @property
    def significant(self) -> bool:
        """Whether p_holm < 0.05 and the better side is not better by survival only."""
        return self.p_holm is not None and self.p_holm < ALPHA and not self.survivors_only

    @property
    def title(self) -> str:
        """The name of its line in a forest plot."""
        return self.arm

    @property
    def seedless(self) -> bool:
        """Whether the n pairs are a single observation repeated, so that nothing is tested."""
        return self.n > 0 and self.p_sign_flip is None

    @property
    def tested(self) -> str:
        """`n = 9, p (Holm) = 0.039`, next to its line in a forest plot; without a pair, how many
        seeds diverged: `n = 0, diverged: arm 9, baseline 2`."""
        if self.n:
            return tested(self.n, self.p_holm) + ", exploratory" * (not self.primary)
        counts = {
            side: sum(len(self.left_out.get(f"{side}: {why}", ())) for why in NON_FINITE)
            for side in ("arm", "baseline")
        }
        said = ", ".join(f"{side} {count}" for side, count in counts.items() if count)
        return f"n = 0, diverged: {said}" if said else "n = 0"

    def to_json(self) -> dict[str, Any]:
        """Flat and JSON-safe, with `better` and `significant`."""
        flat = {field.name: getattr(self, field.name) for field in fields(self)}
        flat["differs_in"] = list(self.differs_in)
        flat["left_out"] = {why: list(seeds) for why, seeds in self.left_out.items()}
        return flat | {
            "better": self.better,
            "significant": self.significant,
            "survivors_only": self.survivors_only,
        }


def compare(
    summaries: Sequence[ArmSummary],
    observations: Iterable[Observation],
    *,
    metric: str = "test_accuracy",
    baseline: Iterable[str] = ("optimizer.keep_prob",),
) -> list[Comparison]:
    """Compare every arm other than a baseline with its baseline, in the order of the arms.

    `summaries` are those of the same `observations` (`arms.summarise`); `baseline` holds the dotted
    paths of the sweep's baseline (see `baselines.pair_with_baselines`). The primary ones of these
    comparisons are one family for Holm's correction.

    Raises:
        ValueError: an observation names an unknown arm, or an arm has a seed twice.
    """
    arms = [summary.arm for summary in summaries]
    of_arm = group_by_arm(arms, observations)
    summary_of = {summary.arm.id: summary for summary in summaries}
    pairings = pair_with_baselines(arms, baseline)
    pairs = [_pair_up(of_arm[each.arm.id], of_arm[each.baseline.id]) for each in pairings]
    numbers = _numbers(pairs)
    seeds_matter = [
        is_seeded(each.arm.config) or is_seeded(each.baseline.config) for each in pairings
    ]
    for seeded, found in zip(seeds_matter, numbers, strict=True):
        if not seeded:
            found["p_sign_flip"] = None
    primary = [each.arm.is_primary for each in pairings]
    family = [each.get("p_sign_flip") for each in itertools.compress(numbers, primary)]
    of_family = iter(holm(family))
    adjusted = [next(of_family) if each else None for each in primary]
    kind = Metric(metric)
    return [
        Comparison(
            arm_id=pairing.arm.id,
            arm=pairing.arm.label,
            baseline_id=pairing.baseline.id,
            baseline=pairing.baseline.label,
            differs_in=pairing.differs_in,
            metric=metric,
            higher_is_better=kind.higher_is_better,
            primary=pairing.arm.is_primary,
            n=len(pair.arm),
            left_out=pair.left_out,
            **_score(pair, kind, tested=seeded),
            **statistics,
            p_holm=p_holm,
            p_welch=welch_p(summary_of[pairing.arm.id], summary_of[pairing.baseline.id]),
        )
        for pairing, pair, seeded, statistics, p_holm in zip(
            pairings, pairs, seeds_matter, numbers, adjusted, strict=True
        )
    ]


def tested(n: int, p_holm: float | None) -> str:
    """`n = 9, p (Holm) = 0.039`."""
    return f"n = {n}" + ("" if p_holm is None else f", p (Holm) = {shown_p(p_holm)}")


def is_seeded(config: Mapping[str, Any]) -> bool:
    """Whether the seed changes the configuration's result.

    A descent starts at fixed points, so that only its masks and regularizers are random; with
    keep_prob 0 it takes no step.
    """
    if config.get("dataset") != "surface":
        return True
    keep_prob = config.get("optimizer", {}).get("keep_prob", 1.0)
    noisy = any(map(_is_by_chance, config.get("regularizers", ())))
    return 0 < keep_prob < 1 or (keep_prob == 1 and noisy)


# --- inside ---------------------------------------------------------------------------------------


def _is_by_chance(regularizer: Mapping[str, Any]) -> bool:
    """Whether a regularizer of a descent is random: NG adds noise, and DG drops some elements."""
    if regularizer["kind"] == "NG":
        return bool(regularizer["eta"] > 0)
    return bool(0 < regularizer["keep_prob"] < 1)


@dataclass(frozen=True)
class _Pairs:
    arm: list[float]
    baseline: list[float]
    left_out: dict[str, tuple[int, ...]]
    diverged: int
    baseline_diverged: int
    both_diverged: int


def _pair_up(arm: Sequence[Observation], baseline: Sequence[Observation]) -> _Pairs:
    """Pair the numbers of the seeds that have one in both arms, by rising seed."""
    one, other = ({trial.seed: trial for trial in trials} for trials in (arm, baseline))
    left_out: dict[str, list[int]] = {}
    values: list[float] = []
    baseline_values: list[float] = []
    diverged = baseline_diverged = both_diverged = 0
    for seed in sorted(one.keys() | other.keys()):
        a, b = one.get(seed), other.get(seed)
        why_a, why_b = (a.missing if a else "not planned"), (b.missing if b else "not planned")
        if a and b and why_a is why_b is None:
            values.append(a.value or 0.0)
            baseline_values.append(b.value or 0.0)
            continue
        for side, why in (("arm", why_a), ("baseline", why_b)):
            if why is not None:
                left_out.setdefault(f"{side}: {why}", []).append(seed)
        diverged += why_a in NON_FINITE and why_b is None
        baseline_diverged += why_b in NON_FINITE and why_a is None
        both_diverged += why_a in NON_FINITE and why_b in NON_FINITE
    return _Pairs(
        arm=values,
        baseline=baseline_values,
        left_out={why: tuple(seeds) for why, seeds in left_out.items()},
        diverged=diverged,
        baseline_diverged=baseline_diverged,
        both_diverged=both_diverged,
    )


def _score(pair: _Pairs, metric: Metric, *, tested: bool) -> dict[str, Any]:
    """Wins, ties and losses over the seeds, and their p by chance if `tested`."""
    above = sum(a > b for a, b in zip(pair.arm, pair.baseline, strict=True))
    below = sum(a < b for a, b in zip(pair.arm, pair.baseline, strict=True))
    wins, losses = (above, below) if metric.higher_is_better else (below, above)
    ties = len(pair.arm) - wins - losses + pair.both_diverged
    wins, losses = wins + pair.baseline_diverged, losses + pair.diverged
    return {
        "wins": wins,
        "ties": ties,
        "losses": losses,
        "p_wins": sign_test(wins, losses) if tested else None,
        "diverged": pair.diverged,
        "baseline_diverged": pair.baseline_diverged,
    }


def _numbers(pairs: Sequence[_Pairs]) -> list[dict[str, Any]]:
    """The statistics of each comparison; equal numbers of pairs are computed at once."""
    found: list[dict[str, Any]] = [{} for _ in pairs]
    of_size: dict[int, list[int]] = {}
    for index, pair in enumerate(pairs):
        of_size.setdefault(len(pair.arm), []).append(index)
    for size, indices in of_size.items():
        if size == 0:
            continue
        columns = paired_statistics(
            np.array([pairs[index].arm for index in indices]),
            np.array([pairs[index].baseline for index in indices]),
        )
        flips = FLIPS if size > EXACT_UP_TO else None
        for name, column in columns.items():
            for index, number in zip(indices, column.tolist(), strict=True):
                found[index][name] = number if math.isfinite(number) else None
        for index in indices:
            found[index]["flips"] = flips
    return found
