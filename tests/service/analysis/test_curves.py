"""Mean learning curves, against numpy and by hand."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.analysis.curves import mean_curves, thin

from .cases import arm, series


def curve(*every, **more):
    (found,) = mean_curves([arm("a")], every, **more)
    return found


class TestMean:
    def test_agrees_with_numpy_at_each_epoch(self):
        values = np.random.default_rng(0).random((5, 8))
        found = curve(*(series("a", seed, row.tolist()) for seed, row in enumerate(values)))
        assert found.epochs == tuple(range(1, 9))
        assert found.mean == pytest.approx(values.mean(axis=0).tolist())
        assert found.std == pytest.approx(values.std(axis=0, ddof=1).tolist())
        assert found.n == (5,) * 8

    def test_n_falls_where_a_trial_diverged_or_has_not_arrived(self):
        found = curve(
            series("a", 0, [0.1, 0.2, 0.3]),
            series("a", 1, [0.3, math.nan], state="failed", reason="diverged"),
            series("a", 2, [0.5], state="running"),
        )
        assert found.n == (3, 1, 1)
        assert found.mean == pytest.approx((0.3, 0.2, 0.3))
        assert found.std[1:] == (None, None)
        assert found.trials == 3
        assert (found.planned, found.diverged) == (3, (1,))

    def test_thinning_hides_no_epoch_with_few_trials(self):
        # Catches: the range of n of the points that are drawn, given as that of all epochs.
        whole = [0.5] * 300
        some = [None if epoch == 150 else math.nan if epoch == 151 else 0.5 for epoch in range(300)]
        found = curve(series("a", 0, whole), series("a", 1, some), points=3)
        assert (found.n_least, found.n_most) == (1, 2)
        assert found.n == (2, 2, 2)

    def test_all_diverged_is_a_least_n_of_0_and_no_report_is_none(self):
        lost = series("a", 0, [1.0], state="failed", reason="diverged")
        assert curve(lost).n_least == 0
        assert curve(series("a", 0, [None, None])).n_least is None

    def test_where_nobody_has_a_finite_value_there_is_a_gap(self):
        found = curve(series("a", 0, [1.0, math.inf, None, 2.0]))
        assert found.mean == (1.0, None, None, 2.0)
        assert found.n == (1, 0, 0, 1)
        json.dumps(found.to_json(), allow_nan=False)

    def test_an_arm_without_reports_has_an_empty_curve(self):
        found = curve(series("a", 0, [], state="queued"))
        assert (found.trials, found.epochs, found.mean) == (0, (), ())

    def test_arms_keep_their_order_and_their_own_trials(self):
        arms = [arm("b", "B"), arm("a", "A")]
        found = mean_curves(arms, [series("a", 0, [1.0]), series("b", 0, [2.0])])
        assert [(each.label, each.mean) for each in found] == [("B", (2.0,)), ("A", (1.0,))]

    def test_an_unknown_arm_is_an_error(self):
        with pytest.raises(ValueError, match="no arm b"):
            mean_curves([arm("a")], [series("b", 0, [1.0])])


class TestSeconds:
    def test_time_runs_by_the_mean_duration_of_each_epoch(self):
        found = curve(
            series("a", 0, [0.1, 0.2], seconds=2.0), series("a", 1, [0.1, 0.2], seconds=4.0),
            by="seconds",
        )  # fmt: skip
        assert found.x == (3.0, 6.0)
        assert found.epochs == (1, 2)

    def test_time_never_runs_back_when_the_slow_trials_leave(self):
        found = curve(
            series("a", 0, [0.1, 0.2, 0.3], seconds=1.0), series("a", 1, [0.1], seconds=100.0),
            by="seconds",
        )  # fmt: skip
        assert found.x == (50.5, 51.5, 52.5)


class TestThinning:
    def test_short_curves_stay_whole(self):
        found = curve(series("a", 0, [0.1, 0.2, 0.3]), points=3)
        assert found.thinned_from is None
        assert len(found.x) == 3

    def test_a_long_curve_says_how_long_it_was(self):
        found = curve(series("a", 0, [i / 1000 for i in range(1000)]), points=50)
        assert len(found.x) == len(found.mean) == len(found.std) == len(found.n) == 50
        assert found.thinned_from == 1000

    @pytest.mark.parametrize("place", [1, 17, 250, 498])
    def test_a_spike_survives(self, place):
        y = [0.5] * 500
        y[place] = 9.0
        assert place in thin(range(500), y, 20)

    def test_gaps_are_bridged_for_measuring(self):
        y = [None, 1.0, None, None, 2.0, math.nan, 1.0, None]
        kept = thin(range(8), y, 4)
        assert (kept[0], kept[-1], len(kept)) == (0, 7, 4)
        assert len(thin(range(50), [None] * 50, 5)) == 5

    @given(
        st.lists(st.one_of(st.none(), st.floats(-1e200, 1e200)), min_size=2, max_size=200),
        st.integers(2, 50),
    )
    def test_the_ends_stay_and_the_order_too(self, y, points):
        kept = thin(range(len(y)), y, points)
        assert kept == sorted(set(kept))
        assert (kept[0], kept[-1]) == (0, len(y) - 1)
        assert len(kept) == min(points, len(y))

    def test_fewer_than_two_points_are_an_error(self):
        with pytest.raises(ValueError, match="at least 2 points, got 1"):
            curve(series("a", 0, [0.1, 0.2]), points=1)
