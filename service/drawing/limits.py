"""The range of values in which the curves of a metric are shown.

A loss of 1e29, just before it overflows, would flatten every other curve. So a curve that runs away
is cut off where the others end. Only the view is cut off: no number is changed.

When does a curve run away? A panel is about 160 points high and a line one point wide, so nothing
can be read in a hundredth of the axis. Cutting at that point loses nothing, and nothing is cut
before. The measure is what the lowest quarter of the curves reach, not half of them, since half of
the arms may explode in a sweep over learning rates. A curve that only starts high, or that never
learns, does not run away, so it must also have risen as far above its own start. The exception is a
curve that is ten thousand times beyond the others from the beginning, after an explosion within its
first epoch. Shares are in 0 to 1 and are never cut off.
"""

import math
from collections.abc import Sequence

from service.analysis.curves import Curve
from service.analysis.metrics import Metric

RISEN = 100.0
"""A curve is off scale once it is this many times worse than its start and than the others."""
OFF_SCALE_RATIO = 10_000.0
"""So is one this many times larger than the others, in whichever direction."""
_MARGIN = 0.05
"""Share of the height, as in matplotlib."""


def off_scale_curves(curves: Sequence[Curve], metric: Metric) -> list[Curve]:
    """Curves that would leave too little of the axis to the others; none if there is only one."""
    means = [[value for value in curve.mean if value is not None] for curve in curves]
    reached = sorted(top for some in means if (top := _largest(some)))
    if metric.is_share or not reached:
        return []
    usual = reached[(len(reached) - 1) // 4]
    return [
        curve
        for curve, some in zip(curves, means, strict=True)
        if some
        and (
            max(-metric.better(value) for value in some) > RISEN * max(usual, abs(some[0]))
            or _largest(some) > OFF_SCALE_RATIO * usual
        )
    ]


def limits(curves: Sequence[Curve], metric: Metric) -> tuple[float, float] | None:
    """The lowest and the highest value to show, in the unit of the axis; None to show everything.

    Cut off are curves that go off scale, and the part of a band below 0 if the metric cannot be
    negative and no mean is.
    """
    away = {curve.arm_id for curve in off_scale_curves(curves, metric)}
    points = [
        (mean * metric.scale, (std or 0.0) * metric.scale)
        for curve in curves
        if curve.arm_id not in away
        for mean, std in zip(curve.mean, curve.std, strict=True)
        if mean is not None
    ]
    low = min((mean - std for mean, std in points), default=0.0)
    high = max((mean + std for mean, std in points), default=0.0)
    from_zero = metric.is_never_negative and all(mean >= 0 for mean, _ in points)
    if not away and not (from_zero and low < 0):
        return None
    low = max(0.0, low) if from_zero else low
    margin = _MARGIN * ((high - low) or abs(high) or 1.0)
    low, high = max(0.0, low - margin) if from_zero else low - margin, high + margin
    return (low, high) if math.isfinite(low) and math.isfinite(high) else None


# --- inside ---------------------------------------------------------------------------------------


def _largest(values: Sequence[float]) -> float:
    """The largest distance from 0."""
    return max((abs(value) for value in values), default=0.0)
