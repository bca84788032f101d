"""What a metric's name implies: which way is better, and how it is written."""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

from lrd_core.choices import METRICS

_OWN = frozenset(
    name.replace("test_", part) for names in METRICS.values() for name in names
    for part in ("test_", "val_")
)  # fmt: skip
_SHARES = ("accuracy", "iou", "precision", "recall", "map", "share")
_SMALLER = ("loss", "error", "seconds", "perplexity", "distance", "entropy", "divergence", "regret")
_SMALLER_WORDS = frozenset(
    ("mse", "rmse", "mae", "mape", "nll", "bce", "ece", "brier", "wer", "cer", "fid", "bpc", "bpb",
     "ppl", "epe", "eer", "err", "errors", "lpips", "kl", "kld", "mmd", "rmsle", "smape", "cost",
     "costs", "risk", "time", "latency")
)  # fmt: skip
"""Short names of metrics that a task of another package may report."""
_PARTS = re.compile("[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
"""The words of a name: of `val-mse`, `testRMSE` and `rmse_2`, too."""

HEADLINES = ("test_accuracy", "val_accuracy", "mean_iou", "reached_share", "val_loss", "test_loss")


def headline(asked: str | None, reported: Sequence[str]) -> str:
    """The metric of a table: the one it asks for, else the first of `HEADLINES` that is reported,
    else the first that is, preferably not one of training."""
    if asked:
        return asked
    evaluated = [name for name in reported if not name.startswith("train_")]
    first = (evaluated or reported or HEADLINES)[0]
    return next((name for name in HEADLINES if name in reported), first)


@dataclass(frozen=True)
class Metric:
    """A reported metric, e.g. `test_accuracy`."""

    name: str

    @property
    def higher_is_better(self) -> bool:
        """False for losses, errors, times and distances."""
        parts = {part.lower() for part in _PARTS.findall(self.name)}
        name = self.name.lower()
        return _SMALLER_WORDS.isdisjoint(parts) and not any(word in name for word in _SMALLER)

    @property
    def best(self) -> str:
        """What the best mean is called: of a metric that is not lrd's own, `lowest` or `highest`,
        because only its name decides, and may be misunderstood."""
        return "best" if self.name in _OWN else "highest" if self.higher_is_better else "lowest"

    @property
    def is_share(self) -> bool:
        """Whether its values are in 0 to 1 and shown in percent."""
        return any(word in self.name.lower().split("_") for word in _SHARES)

    @property
    def is_never_negative(self) -> bool:
        """Whether it is a share, loss, error, time or distance. The negative log-likelihood of a
        density may be below 0 all the same: if a mean is, trust the mean."""
        return self.is_share or not self.higher_is_better

    @property
    def scale(self) -> float:
        """The factor by which a value is multiplied for display."""
        return 100.0 if self.is_share else 1.0

    @property
    def unit(self) -> str:
        """`%` or empty."""
        return "%" if self.is_share else ""

    @property
    def difference_unit(self) -> str:
        """The unit of a difference of two values: `percentage points` or empty."""
        return "percentage points" if self.is_share else ""

    @property
    def words(self) -> str:
        """The name in words: `test accuracy`."""
        return self.name.replace("_", " ")

    @property
    def title(self) -> str:
        """The title of an axis: `test accuracy (%)`."""
        return f"{self.words} ({self.unit})" if self.unit else self.words

    @property
    def difference_title(self) -> str:
        """The title of an axis of differences from a baseline, including which way is better."""
        return f"difference in {self.words}{self._in_unit}, arm − baseline; {self._better_side}"

    @property
    def effect_title(self) -> str:
        """The title of an axis of effects, including which way is better."""
        return f"effect on {self.words}{self._in_unit}; {self._better_side}"

    @property
    def _in_unit(self) -> str:
        return f" ({self.difference_unit})" if self.difference_unit else ""

    @property
    def _better_side(self) -> str:
        return f"better to the {'right' if self.higher_is_better else 'left'}"

    def better(self, difference: float) -> float:
        """`difference` with its sign turned so that positive means better."""
        return difference if self.higher_is_better else -difference


@dataclass(frozen=True)
class NumberFormat:
    """How the values of one metric are written in one table."""

    metric: Metric
    spec: str
    """Specification for `format`."""

    @classmethod
    def fitting(
        cls,
        metric: Metric,
        means: Iterable[float | None],
        spreads: Iterable[float | None] = (),
    ) -> Self:
        """The format for these values: percent with two decimals; for other metrics four decimals,
        or powers of ten where those would mislead.

        Up to two more decimals are added to show the smallest nonzero one of the `spreads`, since
        `± 0.00` would look like none.
        """
        sizes = [abs(mean) for mean in means if mean]
        return cls._of(metric, min(sizes, default=1.0), max(sizes, default=1.0), spreads)

    @classmethod
    def of_differences(
        cls,
        metric: Metric,
        differences: Iterable[float | None],
        spreads: Iterable[float | None] = (),
    ) -> Self:
        """The format for differences, decided by the largest, because some are about 0."""
        largest = max((abs(each) for each in differences if each), default=1.0)
        return cls._of(metric, 10 * largest, largest, spreads)

    @classmethod
    def _of(
        cls, metric: Metric, least: float, largest: float, spreads: Iterable[float | None]
    ) -> Self:
        if not metric.is_share and not (largest < 1e5 and least >= 1e-2):
            return cls(metric, "z.3e")
        decimals = 2 if metric.is_share else 4
        finest = min((metric.scale * spread for spread in spreads if spread), default=1.0)
        return cls(metric, f"z.{min(max(decimals, math.ceil(-math.log10(finest))), decimals + 2)}f")

    def show(self, value: float, sign: bool = False) -> str:
        """`94.61` for 0.9461; with `sign`, `+0.12` or `−0.12`."""
        scaled = value * self.metric.scale
        if not math.isfinite(scaled):
            return str(value)
        text = format(scaled, ("+" if sign else "") + self.spec)
        return "−" + text[1:] if sign and text.startswith("-") else text
