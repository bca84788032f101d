"""What a metric's name tells: which way is better, and how it is written."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

_SHARES = ("accuracy", "iou", "precision", "recall", "map", "share")
_SMALLER = ("loss", "error", "seconds", "perplexity", "distance", "entropy", "divergence", "regret")
_SMALLER_WORDS = frozenset(
    ("mse", "rmse", "mae", "mape", "nll", "bce", "ece", "brier", "wer", "cer", "fid", "bpc", "bpb",
     "ppl", "epe", "time", "latency")
)  # fmt: skip
"""What a task of another package may report by its short name."""

HEADLINES = ("test_accuracy", "val_accuracy", "mean_iou", "reached_share", "val_loss", "test_loss")


def headline(asked: str | None, reported: Sequence[str]) -> str:
    """The metric of a table: the one that it asks for, else the first of `HEADLINES` that is
    reported, else the first that is, if possible of no training."""
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
        name = self.name.lower()
        short = not _SMALLER_WORDS.isdisjoint(name.split("_"))
        return not short and not any(word in name for word in _SMALLER)

    @property
    def is_share(self) -> bool:
        """Whether it lies in 0 to 1 and is shown in percent."""
        return any(word in self.name.lower().split("_") for word in _SHARES)

    @property
    def is_never_negative(self) -> bool:
        """Whether it is a share, loss, error, time or distance. The log-likelihood of a density may
        be negative all the same: where a mean is, believe the mean."""
        return self.is_share or not self.higher_is_better

    @property
    def scale(self) -> float:
        """What a value is multiplied by to be shown."""
        return 100.0 if self.is_share else 1.0

    @property
    def unit(self) -> str:
        """`%` or nothing."""
        return "%" if self.is_share else ""

    @property
    def difference_unit(self) -> str:
        """Of the difference of two values: `percentage points` or nothing."""
        return "percentage points" if self.is_share else ""

    @property
    def words(self) -> str:
        """As it is spoken: `test accuracy`."""
        return self.name.replace("_", " ")

    @property
    def title(self) -> str:
        """As it stands on an axis: `test accuracy (%)`."""
        return f"{self.words} ({self.unit})" if self.unit else self.words

    @property
    def difference_title(self) -> str:
        """On the axis of differences from a baseline, which way is better included."""
        return f"difference in {self.words}{self._in_unit}, arm − baseline; {self._better_side}"

    @property
    def effect_title(self) -> str:
        """On the axis of effects, likewise."""
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
    """For `format`."""

    @classmethod
    def fitting(
        cls,
        metric: Metric,
        means: Iterable[float | None],
        spreads: Iterable[float | None] = (),
    ) -> Self:
        """Percent with two decimals; else four decimals, or powers of ten where those mislead. Up
        to two decimals more show the least of the `spreads` that is one: `± 0.00` is none."""
        sizes = [abs(mean) for mean in means if mean]
        return cls._of(metric, min(sizes, default=1.0), max(sizes, default=1.0), spreads)

    @classmethod
    def of_differences(
        cls,
        metric: Metric,
        differences: Iterable[float | None],
        spreads: Iterable[float | None] = (),
    ) -> Self:
        """The same for differences, some of which are about 0: the largest decides."""
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
