"""One arm over its seeds, against scipy and by hand."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from service.analysis.arms import describe, statistics_of, summarise

from .cases import REASONS, arm, trials

NUMBERS = st.floats(-1e6, 1e6, allow_nan=False)
SAMPLES = st.lists(NUMBERS, min_size=1, max_size=12)


def summary(values, **more):
    return summarise([arm("a")], trials("a", values, **more))[0]


class TestNumbers:
    @pytest.mark.parametrize("n", [2, 3, 4, 5, 8, 9, 30])
    def test_agrees_with_scipy(self, n):
        x = np.random.default_rng(n).normal(0.9, 0.01, n)
        found = summary(x.tolist())
        low, high = stats.t.interval(0.95, n - 1, loc=x.mean(), scale=stats.sem(x))
        assert found.n == n
        assert found.mean == pytest.approx(x.mean(), rel=1e-12)
        assert found.std == pytest.approx(np.std(x, ddof=1), rel=1e-12)
        assert found.standard_error == pytest.approx(stats.sem(x), rel=1e-12)
        assert (found.ci_low, found.ci_high) == pytest.approx((low, high), rel=1e-12)
        assert found.median == np.median(x)
        assert found.iqm == pytest.approx(stats.trim_mean(x, 0.25), rel=1e-12)
        assert (found.min, found.max) == (x.min(), x.max())

    def test_by_hand(self):
        # 1, 2, 3, 6: mean 3, squares 4 + 1 + 0 + 9 = 14 over 3; t(0.975, 3) = 3.18245.
        found = summary([2.0, 6.0, 1.0, 3.0])
        assert (found.mean, found.median, found.iqm) == (3.0, 2.5, 2.5)
        assert found.std == pytest.approx(math.sqrt(14 / 3))
        assert found.ci_high == pytest.approx(3 + 3.182446 * math.sqrt(14 / 3) / 2, rel=1e-6)

    def test_one_seed_has_a_mean_and_no_spread(self):
        found = summary([0.9])
        assert (found.n, found.mean, found.median, found.iqm) == (1, 0.9, 0.9, 0.9)
        assert found.std is found.standard_error is found.ci_low is found.ci_high is None

    def test_no_seed_has_no_number_at_all(self):
        found = summary([])
        assert (found.planned, found.n, found.mean, found.min, found.epoch) == (0, 0, *[None] * 3)
        assert found.status == "n=0/0"

    @pytest.mark.parametrize("value", [0.1, 0.9397, 1e300, 5e-324, 0.0])
    def test_equal_values_have_no_spread_and_are_their_own_mean(self, value):
        found = summary([value] * 7)
        assert found.mean == found.iqm == found.median == found.ci_low == found.ci_high == value
        assert found.std == 0.0

    @pytest.mark.parametrize("scale", [1e-200, 1e200])
    def test_squares_neither_overflow_nor_vanish(self, scale):
        found = summary([1 * scale, 2 * scale, 3 * scale])
        assert found.std == pytest.approx(scale)
        assert found.ci_high == pytest.approx(2 * scale + 4.302653 * scale / math.sqrt(3))

    def test_an_interval_beyond_the_floats_is_undefined(self):
        found = summary([-1.7e308, 1.7e308])
        assert found.mean == 0.0
        assert found.ci_low is found.ci_high is None
        json.dumps(found.to_json(), allow_nan=False)

    @given(SAMPLES, st.randoms())
    def test_the_order_of_seeds_changes_nothing(self, values, random):
        shuffled = random.sample(values, len(values))
        assert statistics_of([values]) == statistics_of([shuffled])

    @given(SAMPLES)
    def test_everything_lies_where_it_must(self, values):
        found = {name: column[0] for name, column in describe(np.array([values])).items()}
        slack = 1e-9 * max(1.0, *map(abs, values))
        for name in ("mean", "median", "iqm"):
            assert found["min"] - slack <= found[name] <= found["max"] + slack
        if len(values) > 1:
            assert found["ci_low"] <= found["mean"] <= found["ci_high"]
            assert 0 <= found["std"] <= found["max"] - found["min"] + slack

    @given(SAMPLES.filter(lambda values: len(values) > 1), st.floats(-1e3, 1e3))
    def test_shifting_shifts_the_place_and_leaves_the_spread(self, values, by):
        one, other = describe(np.array([values])), describe(np.array([values]) + by)
        slack = 1e-9 * max(1.0, abs(by), *map(abs, values))
        for name in ("mean", "median", "iqm", "min", "max", "ci_low", "ci_high"):
            assert other[name][0] == pytest.approx(one[name][0] + by, abs=20 * slack)
        assert other["std"][0] == pytest.approx(one["std"][0], abs=slack)

    @given(st.lists(SAMPLES, max_size=6))
    def test_arms_do_not_touch_each_other(self, samples):
        assert statistics_of(samples) == [statistics_of([sample])[0] for sample in samples]


class TestStatus:
    def test_complete(self):
        assert summary([0.9, 0.8]).status == "n=2/2"
        assert summary([0.9, 0.8]).count == "2"

    def test_four_of_five_with_one_failed_says_so_and_names_the_seed(self):
        found = summary([0.9, 0.8, "diverged", 0.7, 0.9])
        assert found.status == "n=4/5, 1 failed (seed 2 diverged)"
        assert (found.planned, found.n, found.failed, found.diverged) == (5, 4, 1, 1)
        assert found.count == "4/5"

    def test_every_fate_at_once(self):
        values = ["oom", 0.9, "diverged", "running", "queued", "cancelled", "oom", "diverged"]
        assert summary(values).status == (
            "n=1/8, 4 failed (seeds 0, 6 oom; seeds 2, 7 diverged), "
            "1 running, 1 queued, 1 cancelled (seed 5)"
        )

    def test_a_number_that_is_none_is_named(self):
        found = summary([0.9, math.nan, math.inf, None])
        assert found.status == "n=1/4, 2 not finite (seeds 1, 2), 1 not reported (seed 3)"
        assert found.mean == 0.9

    def test_many_seeds_are_counted_and_the_first_named(self):
        assert summary(["diverged"] * 7).status == (
            "n=0/7, 7 failed (seeds 0, 1, 2, 3, 4, … diverged)"
        )

    def test_what_a_running_trial_reported_is_not_its_result(self):
        assert summary([0.9, "running"]).n == 1

    @given(
        st.lists(
            st.sampled_from([0.5, math.nan, None, "running", "queued", "cancelled", *REASONS]),
            max_size=12,
        )
    )
    def test_every_seed_is_counted_exactly_once(self, values):
        found = summary(values)
        seeds = [seed for seeds in found.missing.values() for seed in seeds]
        assert len(seeds) == len(set(seeds))
        assert found.n + len(seeds) == found.planned == len(values)
        assert found.failed == sum(value in REASONS for value in values)


class TestCosts:
    def test_failed_trials_cost_too(self):
        found = summary([0.9, "diverged"], seconds=30.0, gpus=0.5, cpus=4.0)
        assert (found.seconds, found.gpu_seconds, found.cpu_seconds) == (60.0, 30.0, 240.0)

    def test_the_epoch_is_the_median_of_those_read(self):
        observations = [
            *trials("a", [0.9], epoch=7), *[t for t in trials("a", [0, 0.8], epoch=9) if t.seed],
        ]  # fmt: skip
        assert summarise([arm("a")], observations)[0].epoch == 8
        assert summary([0.9, 0.8], epochs_done=5).epoch == 5


class TestSummarise:
    def test_keeps_the_order_of_arms_and_needs_none_of_trials(self):
        arms = [arm("b"), arm("a")]
        observations = [*trials("a", [1.0, 2.0]), *trials("b", [3.0])]
        found = summarise(arms, reversed(observations))
        assert [(each.arm.id, each.mean) for each in found] == [("b", 3.0), ("a", 1.5)]

    def test_an_unknown_arm_is_an_error(self):
        with pytest.raises(ValueError, match="no arm b"):
            summarise([arm("a")], trials("b", [1.0]))

    def test_a_seed_that_stands_twice_is_an_error(self):
        with pytest.raises(ValueError, match="twice"):
            summarise([arm("a")], trials("a", [1.0]) * 2)

    @settings(max_examples=30)
    @given(st.lists(st.floats(), min_size=1, max_size=5))
    def test_json_carries_it_whatever_the_values(self, values):
        json.dumps(summary(values).to_json(), allow_nan=False)

    def test_json_names_the_arm(self):
        found = summary([0.5, "diverged"]).to_json()
        assert found["arm_id"] == found["label"] == "a"
        assert found["missing"] == {"diverged": [1]}
        assert found["status"] == "n=1/2, 1 failed (seed 1 diverged)"
