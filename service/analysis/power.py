"""What a number of seeds can show, in standard deviations: known before a single trial is run."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

from scipy import special

from service.analysis.paired import ALPHA, holm
from service.analysis.resampling import EXACT_UP_TO, FLIPS
from service.formatting import count

POWER = 0.8
MOST_PAIRS = 100_000
"""As many seeds as a spec can have."""


@dataclass(frozen=True)
class Power:
    """What `seeds` pairs can show, in a family of `comparisons`."""

    seeds: int
    comparisons: int
    alpha: float
    smallest_p: float
    """The smallest p that the two-sided sign-flip test can give, whatever the data."""
    smallest_p_holm: float
    """The same after Holm's correction, if this comparison is the clearest of the family."""
    seeds_needed_alone: int | None
    """Smallest number of seeds at which a single comparison can give p < alpha."""
    seeds_needed: int | None
    """Smallest number of seeds at which the clearest of the family can give p_holm < alpha; None
    where no number can (above some 400,000 comparisons at 0.05)."""
    detectable_effect: float | None
    """Difference of means, in standard deviations of the paired difference, that a paired t test
    at alpha finds with 80 % power; None below 2 seeds."""
    detectable_effect_holm: float | None
    """The same at alpha / comparisons, Holm's first threshold."""
    seeded: bool = True
    """Whether the seed changes anything in any of the arms compared. If not, n pairs are the same
    observation n times, and nothing is tested."""

    @property
    def can_reject(self) -> bool:
        """Whether any data could give p_holm < alpha."""
        return self.seeded and self.smallest_p_holm < self.alpha

    @property
    def sentence(self) -> str:
        """What a researcher should know before spending the GPU hours."""
        if not self.seeded:
            return "No seed changes anything in what is compared: one is enough, nothing is tested."
        pairs = count(self.seeds, "pair")
        family = "" if self.comparisons <= 1 else f" under Holm over {self.comparisons} comparisons"
        if not self.can_reject:
            least = self.smallest_p if self.comparisons <= 1 else self.smallest_p_holm
            remedy = f"{self.seeds_needed} seeds can" if self.seeds_needed else "no number can"
            if (
                self.seeds > EXACT_UP_TO
            ):  # fewer seeds would do, because their sign patterns are enumerated
                remedy = f"more than {FLIPS:,} random sign flips would be needed"
            return (
                f"{pairs} cannot reach p < {self.alpha:g}{family}, whatever the data: the "
                f"paired sign-flip test gives at least {least:.3g}; {remedy}."
            )
        effect = self.detectable_effect_holm or 0.0
        return (
            f"{pairs} can reach p < {self.alpha:g}{family}; a paired t test has {POWER:.0%} power "
            f"for a difference of {effect:.2f} standard deviations of the paired difference, the "
            "sign-flip test behind † has less."
        )

    def to_json(self) -> dict[str, Any]:
        """All fields, with `can_reject` and `sentence`."""
        return asdict(self) | {"can_reject": self.can_reject, "sentence": self.sentence}


def power_of(
    seeds: int, comparisons: int = 1, alpha: float = ALPHA, *, seeded: bool = True
) -> Power:
    """What `seeds` paired seeds can show in a family of `comparisons` (0 counts as 1)."""
    family = max(1, comparisons)
    return Power(
        seeds=seeds,
        comparisons=family,
        alpha=alpha,
        smallest_p=smallest_p(seeds),
        smallest_p_holm=min(1.0, family * smallest_p(seeds)),
        seeds_needed_alone=seeds_needed(1, alpha),
        seeds_needed=seeds_needed(family, alpha),
        detectable_effect=detectable_effect(seeds, alpha),
        detectable_effect_holm=detectable_effect(seeds, alpha / family),
        seeded=seeded,
    )


def smallest_p(seeds: int) -> float:
    """The smallest two-sided p of the sign-flip test: 2 / 2^n, and 1 without a pair.

    The same bound holds for Wilcoxon's signed-rank test and for the sign test. With too many sign
    patterns to enumerate, p is estimated and cannot be below 1 / (1 + FLIPS), about 1 / 10,000.
    """
    return 1 / (1 + FLIPS) if seeds > EXACT_UP_TO else min(1.0, 2.0 ** (1 - seeds))


def within_reach(pairs: Sequence[int | None], alpha: float = ALPHA) -> list[bool]:
    """Which comparisons of a family some data could mark, by the number of pairs of each; None
    where nothing is tested.

    Holm's multipliers fall from step to step, so others that are rejected first help a comparison
    with few pairs. No adjusted p rises as any p of the family falls. So a comparison can be
    rejected if, and only if, it is rejected when all of the family have their smallest possible p.
    """
    clearest = holm([None if n is None else smallest_p(n) for n in pairs])
    return [p is not None and p < alpha for p in clearest]


def seeds_needed(comparisons: int = 1, alpha: float = ALPHA) -> int | None:
    """The smallest n with comparisons · 2 / 2^n < alpha: 6 for one comparison, 9 for ten."""
    family = max(1, comparisons)
    enough = (n for n in range(1, EXACT_UP_TO + 1) if family * smallest_p(n) < alpha)
    return next(enough, None)


def findable_effect(pairs: int, comparisons: int = 1, alpha: float = ALPHA) -> float | None:
    """Cohen's d_z for which † is found with 80 % power; None if no data of so few pairs are marked.

    The effect is that of the t test, which the sign-flip test needs too, except with the fewest
    pairs that can be marked: there all differences must have the same sign, which has the
    probability Φ(d_z)^n. (docs/statistics.md has the simulated power.)
    """
    least = seeds_needed(comparisons, alpha)
    if least is None or pairs < least:
        return None
    effect = detectable_effect(pairs, alpha / max(1, comparisons)) or 0.0
    return max(effect, _one_sided(pairs)) if pairs == least else effect


def pairs_needed(effect: float, comparisons: int = 1, alpha: float = ALPHA) -> int | None:
    """The smallest number of pairs whose `findable_effect` is at most `effect`; None above
    MOST_PAIRS."""
    least = seeds_needed(comparisons, alpha)
    if least is None:
        return None
    critical = alpha / max(1, comparisons)

    def find(pairs: int) -> bool:
        limit = special.stdtrit(pairs - 1, 1 - critical / 2)
        return _power(pairs, effect, limit) >= POWER

    if find(least):
        return least if effect >= _one_sided(least) else least + 1
    low, high = least, least
    while not find(high):
        if high >= MOST_PAIRS:
            return None
        low, high = high, min(2 * high, MOST_PAIRS)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if find(middle) else (middle, high)
    return high


@lru_cache(maxsize=1024)
def detectable_effect(seeds: int, alpha: float = ALPHA, power: float = POWER) -> float | None:
    """Cohen's d_z that a two-sided paired t test at `alpha` finds with `power`; None below 2 seeds.

    The power comes from the noncentral t distribution; the effect is found by bisection.
    """
    if seeds < 2:
        return None
    critical = special.stdtrit(seeds - 1, 1 - alpha / 2)
    low, high = 0.0, 1.0
    while _power(seeds, high, critical) < power:
        high *= 2
    while high - low > 1e-9 * high:
        middle = (low + high) / 2
        if _power(seeds, middle, critical) < power:
            low = middle
        else:
            high = middle
    return high


def _one_sided(pairs: int) -> float:
    """The d_z that gives so many normal differences its sign with 80 % probability."""
    return float(special.ndtri(POWER ** (1 / pairs)))


def _power(seeds: int, effect: float, critical: float) -> float:
    """P(T > critical) for noncentral t with n − 1 degrees of freedom.

    Only the likelier side is computed: at a power of 0.8 the other adds less than a millionth, and
    scipy's distribution gives NaN there. It also gives NaN far out, e.g. for 2 seeds at an alpha of
    5e-6: at a shift of 10,000 only the noise of the estimated deviation matters, hence the
    chi-squared approximation.
    """
    freedom, shift = seeds - 1, effect * seeds**0.5
    power = float(1 - special.nctdtr(freedom, shift, critical))
    if math.isnan(power):
        power = float(special.chdtr(freedom, freedom * (shift / critical) ** 2))
    return power
