"""How differences and their p are written: once for tables, listings, figures and the page."""

from collections.abc import Sequence
from typing import Protocol

from service.analysis.metrics import Metric, NumberFormat
from service.analysis.paired import ALPHA

_MOST_DIGITS = 6
"""A p that still reads as ALPHA with so many digits is ALPHA but for rounding."""


class Interval(Protocol):
    """Whatever has a difference and its t interval; None where they are undefined."""

    @property
    def difference(self) -> float | None: ...
    @property
    def t_low(self) -> float | None: ...
    @property
    def t_high(self) -> float | None: ...


def number_of(metric: Metric, differences: Sequence[Interval]) -> NumberFormat:
    """The number format for all differences of a table or a listing."""
    widths = [
        each.t_high - each.t_low
        for each in differences
        if each.t_high is not None and each.t_low is not None
    ]
    return NumberFormat.of_differences(metric, [each.difference for each in differences], widths)


def signed(
    number: NumberFormat, one: float | None, other: float | None = None, between: str = ""
) -> str:
    """`+0.75`, or with a second number `+0.50 to +1.00`; a dash if one is unknown."""
    if one is None or (between and other is None):
        return "–"
    ends = [one] if other is None else [one, other]
    return between.join(number.show(end, sign=True) for end in ends)


def shown_p(p: float | None) -> str:
    """`0.0039`; a dash if nothing is tested. Two digits, or as many as show on which side of ALPHA
    it is: `0.0498` and `0.0503`, where 0.05 would leave open why only one of them is marked."""
    if p is None:
        return "–"
    texts = [f"{p:.{digits}g}" for digits in range(2, _MOST_DIGITS + 1)]
    sides = (text for text in texts if float(text) != ALPHA)
    return next(sides, texts[0])
