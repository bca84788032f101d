"""The range of each metric in each panel: the curves of one data set and model share a scale.

A loss of 0.01 on MNIST and one of 4 on CIFAR-100 are of different sizes. On one axis, or compared
with each other as `limits.py` does, all curves of one of them would run out of the panel.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from service.analysis.configurations import flatten
from service.analysis.curves import Curve
from service.analysis.data import ArmId, ArmInfo
from service.analysis.metrics import Metric
from service.drawing.limits import limits, off_scale_curves
from service.drawing.parting import scale_groups


@dataclass(frozen=True)
class View:
    """The view in the panels of one metric, data set and model."""

    ends: tuple[float, float] | None = None
    """The ends of the axis, in its unit; None to show everything."""
    away: frozenset[ArmId] = frozenset()
    """The arms that run out of it. Their bands would fill the panel and are not drawn."""


def views(
    arms: Sequence[ArmInfo], metrics: Mapping[str, Sequence[Curve]]
) -> dict[tuple[str, int], View]:
    """(metric, number of the data set and model) -> the view in its panels."""
    numbers = scale_groups([flatten(arm.config) for arm in arms])
    of_arm = {arm.id: number for arm, number in zip(arms, numbers, strict=True)}
    found: dict[tuple[str, int], View] = {}
    for name, curves in metrics.items():
        metric = Metric(name)
        for number in {0, *numbers}:
            some = [curve for curve in curves if of_arm.get(curve.arm_id, 0) == number]
            away = frozenset(curve.arm_id for curve in off_scale_curves(some, metric))
            found[name, number] = View(limits(some, metric), away)
    return found
