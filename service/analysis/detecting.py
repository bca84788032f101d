"""Which differences a sweep's seeds can find, in the metric's own unit, by the spread seen so far.

`power` answers before any trial has run, in standard deviations. Once a few seeds have run, the
standard deviation s of the paired differences is known, roughly: with n pairs it may well be larger
than it looks, so the number of seeds is also given for the upper 80 % confidence limit of s, as
Browne (1995) advises for pilot studies.

The difference that is asked about must come from the researcher: which one would matter? The one
observed is no answer, because a power computed from it only restates its p (Hoenig and Heisey
2001).
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from scipy import special

from service.analysis.comparison_table import why_none
from service.analysis.comparisons import Comparison
from service.analysis.data import ArmId
from service.analysis.metrics import Metric
from service.analysis.paired import ALPHA
from service.analysis.power import POWER, findable_effect, pairs_needed
from service.analysis.subjects import place_read

CAUTION = 0.8
"""Confidence of the upper limit of s (Browne 1995)."""


@dataclass(frozen=True)
class Detectable:
    """What the pairs of one comparison can find, and how many pairs a given difference takes.

    "Find" means with 80 % power, by a paired t test at `alpha`, with enough pairs for † to be
    possible at all. A field is None if the pairs so far do not define it.
    """

    arm_id: ArmId
    arm: str
    baseline_id: ArmId
    baseline: str
    primary: bool
    n: int
    """Pairs so far."""
    alpha: float
    """0.05 over the number of primary comparisons (Holm's first threshold); 0.05 for one that is
    not primary."""
    std: float | None
    """s, the sample standard deviation of the paired differences; n ≥ 2."""
    std_high: float | None
    """The upper 80 % confidence limit of the standard deviation: s · √((n − 1) / χ²), χ² the 0.2
    quantile with n − 1 degrees of freedom."""
    detectable: float | None
    """The smallest difference that n pairs find if s is right; None too if no data of n pairs could
    be marked."""
    seeds: int | None = None
    """Pairs that find the difference asked about if s is right."""
    seeds_high: int | None = None
    """The same if the standard deviation is `std_high`."""


@dataclass(frozen=True)
class Detected:
    """What all comparisons of one metric, read at one place, can find."""

    arms: int
    """Arms of the sweep."""
    metric: Metric
    at: str
    """`last`, `best` or `epoch:N`."""
    difference: float | None
    """The difference asked about, in the metric's own unit."""
    items: tuple[Detectable, ...]
    """One per comparison, in the order of the arms."""

    @property
    def notes(self) -> list[str]:
        """What the numbers mean, for the reader of the list."""
        if not self.items:
            return [why_none(self.arms)]
        family = sum(each.primary for each in self.items)
        level = f"{ALPHA:g}" if family <= 1 else f"{ALPHA:g} / {family} (Holm's first step)"
        if 1 < family < len(self.items):
            level += f", for exploratory ones {ALPHA:g}"
        notes = [
            f"{self.metric.words[:1].upper()}{self.metric.words[1:]}, {place_read(self.at)}: arm "
            f"minus its baseline, paired by seed. s: standard deviation of these differences"
            + (f", in {self.metric.difference_unit}." if self.metric.unit else "."),
            f"Found: with {POWER:.0%} power, by a paired t test at p < {level}, with enough pairs "
            "for †. Ask about a difference that would matter, not about the one observed.",
        ]
        if self.difference is not None:
            notes.append(
                "n pairs know s only roughly: with as many seeds as the last number says, the "
                f"difference is also found if s is really at its upper {CAUTION:.0%} confidence "
                "limit. Only seeds that give a number in both arms count."
            )
        return notes

    def to_json(self) -> dict[str, Any]:
        """All of it as plain data, numbers in the metric's own unit."""
        return {
            "metric": self.metric.name,
            "at": self.at,
            "difference": self.difference,
            "unit": self.metric.difference_unit,
            "scale": self.metric.scale,
            "notes": self.notes,
            "items": [asdict(each) for each in self.items],
        }


def detect(
    compared: Sequence[Comparison],
    metric: Metric,
    at: str,
    difference: float | None = None,
    *,
    arms: int,
) -> Detected:
    """What each comparison can find by now.

    Args:
        compared: all comparisons of the metric in a sweep of so many `arms`; the primary ones are
            one family.
        metric: what they compare.
        at: the place at which it was read.
        difference: the size of a difference that would matter, in the metric's own unit.

    Raises:
        ValueError: `difference` is not above 0.
    """
    if difference is not None and not difference > 0:
        raise ValueError(f"a difference to be found is above 0, got {difference}")
    family = max(1, sum(each.primary for each in compared))
    items = (_detect(each, family if each.primary else 1, difference) for each in compared)
    return Detected(arms, metric, at, difference, tuple(items))


# --- inside ---------------------------------------------------------------------------------------


def _detect(each: Comparison, family: int, difference: float | None) -> Detectable:
    known = bool(each.std) and not each.seedless  # no spread, or no chance: nothing to find
    std = each.std if known else None
    std_high = std * _caution(each.n) if std else None
    effect = findable_effect(each.n, family)

    def needed(spread: float | None) -> int | None:
        if spread is None or difference is None:
            return None
        return pairs_needed(difference / spread, family)

    return Detectable(
        arm_id=each.arm_id,
        arm=each.arm,
        baseline_id=each.baseline_id,
        baseline=each.baseline,
        primary=each.primary,
        n=each.n,
        alpha=ALPHA / family,
        std=std,
        std_high=std_high,
        detectable=effect * std if std and effect else None,
        seeds=needed(std),
        seeds_high=needed(std_high),
    )


def _caution(n: int) -> float:
    """`std_high` / s for n ≥ 2 pairs: 3.95 for two, 1.29 for ten."""
    return float(((n - 1) / special.chdtri(n - 1, CAUTION)) ** 0.5)
