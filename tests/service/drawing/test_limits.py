"""Between which values curves are shown: what explodes is cut off, and nothing else ever is."""

import math

import pytest

from service.analysis.curves import Curve, mean_curves
from service.analysis.metrics import Metric
from service.drawing.limits import limits, off_scale_curves
from tests.service.analysis.cases import arm, series

LOSS = Metric("train_loss")
REWARD = Metric("reward")


def falling(start: float, end: float, epochs: int = 20) -> list[float]:
    return [start * (end / start) ** (epoch / (epochs - 1)) for epoch in range(epochs)]


def drawn(*lines: list[float | None]) -> list[Curve]:
    """An arm of one seed for each."""
    arms = [arm(str(at)) for at in range(len(lines))]
    return mean_curves(arms, [series(str(at), 0, line) for at, line in enumerate(lines)])


def away(metric: Metric, *lines: list[float | None]) -> list[str]:
    return [str(curve.arm_id) for curve in off_scale_curves(drawn(*lines), metric)]


EXPLODES: list[float | None] = [2.3, 40.0, 1e6, 1e29, math.nan, None]


def test_one_arm_that_explodes_leaves_the_others_their_axis() -> None:
    """Catches: an axis to 4e29, on which every other curve is a flat line at 0."""
    curves = drawn(falling(2.3, 0.001), falling(2.0, 0.01), EXPLODES, falling(1.5, 0.1))
    assert [curve.arm_id for curve in off_scale_curves(curves, LOSS)] == ["2"]
    assert limits(curves, LOSS) == (0.0, pytest.approx(2.3, rel=0.06))


def test_two_arms_are_enough_and_one_is_not() -> None:
    """Catches: a median that lies among the exploded; a curve cut off for nobody's sake."""
    assert away(LOSS, EXPLODES, falling(2.3, 0.1)) == ["0"]
    assert limits(drawn(EXPLODES), LOSS) is None


def test_most_arms_may_explode() -> None:
    """Catches: the median as the measure, of a sweep over learning rates that are too high."""
    behaving = [falling(2.3, 0.1), falling(2.0, 0.1)]
    assert away(LOSS, *behaving, *[EXPLODES] * 5) == ["2", "3", "4", "5", "6"]


def test_an_arm_may_explode_within_its_first_epoch() -> None:
    """Catches: only curves that rise being looked for."""
    assert away(LOSS, falling(2.3, 0.1), [1e12, math.nan], falling(2.0, 0.1)) == ["1"]


@pytest.mark.parametrize(
    "lines",
    [
        [falling(2.3, 0.001), falling(10.0, 0.001), falling(2.3, 0.5)],
        [falling(10.0, 0.001), falling(0.2, 0.0001), falling(0.1, 0.0001)],
        [falling(0.5, 0.1), falling(0.5, 0.1), falling(2.5, 0.5)],
        [falling(0.02, 0.001), falling(0.02, 0.001), falling(0.02, 0.001), [2.303] * 20],
        [falling(0.05, 0.01), falling(0.05, 0.01), [0.06, 0.05, *[2.303] * 18]],
        [falling(2.3, 1e-6), [*falling(2.3, 0.01), 2.3, 0.05]],
        [falling(12_000.0, 40.0), falling(12_000.0, 900.0)],
        [[0.3, 0.2, 0.4, 0.9, 2.0], falling(0.3, 0.25)],
        [[0.0] * 5, [0.0] * 5, [0.0] * 5, [0.0, 0.5, 1.0]],
        [[math.nan], []],
        [],
    ],
    ids=["from 10", "slow", "5 times worse", "never learns", "collapses", "spike", "perplexity",
         "overfits", "zeros", "no number", "nothing"],
)  # fmt: skip
def test_no_curve_of_an_ordinary_sweep_is_cut_off(lines: list[list[float | None]]) -> None:
    assert limits(drawn(*lines), LOSS) is None


def test_a_share_is_never_cut_off() -> None:
    """Catches: the one arm that learns, among others of almost 0 %."""
    lines = [[1e-6] * 5, [1e-6] * 5, [1e-6] * 5, [1e-6, 0.1, 0.9]]
    assert limits(drawn(*lines), Metric("test_accuracy")) is None


def test_what_is_far_better_is_not_cut_off_and_what_is_far_worse_is() -> None:
    """Catches: the direction left out: the arm that wins, out of its panel."""
    assert away(REWARD, [1.0, 2.0], [1.0, 700.0], [1.0, 1.5]) == []
    assert away(REWARD, [1.0, 2.0], [1.0, -700.0], [1.0, 1.5]) == ["1"]
    low, high = limits(drawn([1.0, 2.0], [1.0, -700.0], [1.0, 1.5]), REWARD) or (0, 0)
    assert 0.9 < low < 1.0 < 2.0 < high < 2.1


def test_what_explodes_does_so_in_a_metric_whose_direction_nobody_knows() -> None:
    assert away(Metric("gradient_norm"), [1.0, 2.0], [1.0, 1e29]) == ["1"]


def spread(metric: str, *values: list[float]) -> tuple[float, float] | None:
    curves = mean_curves([arm("a")], [series("a", seed, some) for seed, some in enumerate(values)])
    return limits(curves, Metric(metric))


def test_a_band_does_not_take_the_axis_below_0() -> None:
    """Catches: a loss of −0.4; a top that cuts off the band."""
    low, high = spread("test_loss", [2.0, 0.1], [2.2, 0.1], [2.1, 2.0]) or (1, 0)
    assert low == 0
    assert high > 2.2
    assert spread("test_loss", [2.0, 0.5], [2.2, 0.6]) is None


def test_a_share_is_limited_in_the_unit_of_its_axis() -> None:
    low, high = spread("test_accuracy", [0.1, 0.9], [0.0, 0.9], [0.0, 0.9]) or (1, 0)
    assert (low, high) == (0, pytest.approx(94.5))


@pytest.mark.parametrize(("metric", "values"), [("reward", [0.1, 2.0]), ("test_nll", [-0.1, -2.0])])
def test_what_may_be_negative_keeps_its_band(metric: str, values: list[float]) -> None:
    assert spread(metric, *[[value] for value in values]) is None


def test_equal_values_still_have_an_axis_of_some_height() -> None:
    low, high = limits(drawn([2.0, 2.0], EXPLODES), LOSS) or (0, 0)
    assert low < 2.0 < high


def test_what_no_float_can_hold_is_left_to_who_draws() -> None:
    assert spread("test_loss", [1.7e308], [0.0]) is None
