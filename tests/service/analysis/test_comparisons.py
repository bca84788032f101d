"""Arms against their baselines: against scipy and statsmodels, by hand, and by laws."""

import gc
import json
import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests

from service.analysis.arms import summarise
from service.analysis.baselines import compared_with
from service.analysis.comparisons import compare
from service.analysis.paired import holm, small_sample_factor
from service.analysis.resampling import EXACT_UP_TO, FLIPS, RESAMPLES, SEED

from .cases import arm, pair, trials

SIXTY_FOURTHS = st.integers(-640, 640).map(lambda k: k / 64)
"""Their sums are exact, so that shifting and swapping leave no rounding behind."""
VALUE = st.one_of(
    SIXTY_FOURTHS, st.sampled_from(["diverged", "oom", "running", "queued", None, math.nan])
)
PAIRS = st.lists(st.tuples(VALUE, VALUE), min_size=1, max_size=9)
MIRRORED = {
    "difference": "difference", "ci_low": "ci_high", "ci_high": "ci_low", "t_low": "t_high",
    "t_high": "t_low", "d_z": "d_z", "g_z": "g_z",
}  # fmt: skip
SWAPPED = {
    "wins": "losses", "losses": "wins", "ties": "ties",
    "diverged": "baseline_diverged", "baseline_diverged": "diverged",
}  # fmt: skip
UNCHANGED = (
    "n", "std", "p_sign_flip", "p_holm", "p_wins", "p_t", "p_welch", "correlation", "significant",
    "survivors_only",
)  # fmt: skip


def comparison(arm_values, baseline_values, *, metric="test_accuracy", swap=False, shuffle=None):
    """`lrd` against `plain`, seeds 0, 1, …; with `swap` the other way round."""
    arms = compared_with(pair(), "lrd" if swap else "plain")
    observations = [*trials("lrd", arm_values), *trials("plain", baseline_values)]
    if shuffle:
        shuffle.shuffle(observations)
    (found,) = compare(summarise(arms, observations), observations, metric=metric)
    return found


def close(one, other):
    """Equal but for rounding; what is no float is equal."""
    if isinstance(one, float) and isinstance(other, float):
        return one == pytest.approx(other, rel=1e-9, abs=1e-9)
    return one == other


def correlated(n, seed):
    """Two correlated samples of accuracies, multiples of 1/4096."""
    rng = np.random.default_rng(seed)
    shared = rng.normal(0, 0.01, n)
    arm_values = 0.93 + shared + rng.normal(0, 0.01, n)
    baseline_values = 0.92 + shared + rng.normal(0, 0.01, n)
    return np.round(arm_values * 4096) / 4096, np.round(baseline_values * 4096) / 4096


class TestNumbers:
    @pytest.mark.parametrize("n", [2, 3, 5, 6, 10, 12, 20])
    def test_agrees_with_scipy(self, n):
        x, y = correlated(n, seed=n)
        found = comparison(x.tolist(), y.tolist())
        d = x - y
        paired = stats.ttest_rel(x, y)
        assert found.n == n
        assert found.difference == pytest.approx(d.mean(), rel=1e-12)
        assert found.std == pytest.approx(d.std(ddof=1), rel=1e-12)
        assert found.p_t == pytest.approx(paired.pvalue, rel=1e-9)
        interval = paired.confidence_interval(0.95)
        assert (found.t_low, found.t_high) == pytest.approx((interval.low, interval.high), rel=1e-9)
        welch = stats.ttest_ind(x, y, equal_var=False)
        assert found.p_welch == pytest.approx(welch.pvalue, rel=1e-9)
        if n > 2:
            assert found.correlation == pytest.approx(stats.pearsonr(x, y).statistic, rel=1e-9)

    @pytest.mark.parametrize("n", [2, 5, 8, 12])
    def test_the_sign_flip_test_agrees_with_scipys_exact_permutation_test(self, n):
        x, y = correlated(n, seed=n)
        oracle = stats.permutation_test(
            (x, y), lambda a, b: np.sum(a - b), permutation_type="samples", n_resamples=np.inf
        )
        found = comparison(x.tolist(), y.tolist())
        assert found.p_sign_flip == pytest.approx(oracle.pvalue, rel=1e-12)
        assert found.flips is None

    @pytest.mark.parametrize("n", [4, 7, 15])
    def test_the_bootstrap_interval_agrees_with_scipys_bca(self, n):
        x, y = correlated(n, seed=n)
        oracle = stats.bootstrap(
            (x - y,), np.mean, method="BCa", n_resamples=RESAMPLES, rng=np.random.default_rng(SEED)
        ).confidence_interval
        found = comparison(x.tolist(), y.tolist())
        assert (found.ci_low, found.ci_high) == pytest.approx((oracle.low, oracle.high), rel=1e-9)

    def test_welch_is_over_all_numbers_of_both_arms_not_the_pairs_alone(self):
        x, y = [0.9, 0.92, 0.95, "diverged", 0.94], [0.91, 0.9, "oom", 0.92, 0.93]
        oracle = stats.ttest_ind([0.9, 0.92, 0.95, 0.94], [0.91, 0.9, 0.92, 0.93], equal_var=False)
        found = comparison(x, y)
        assert found.n == 3
        assert found.p_welch == pytest.approx(oracle.pvalue, rel=1e-9)

    def test_by_hand(self):
        # d = 1, 2, 3: mean 2, std 1, d_z 2, t = 2 sqrt(3); J(2) = Γ(1) / (1 · Γ(1/2)) = 1/sqrt(π).
        found = comparison([2.0, 4.0, 6.0], [1.0, 2.0, 3.0], metric="score")
        assert (found.difference, found.std, found.d_z) == pytest.approx((2.0, 1.0, 2.0))
        assert found.g_z == pytest.approx(2 / math.sqrt(math.pi))
        # t with two degrees of freedom has a closed form: p = 1 − t / sqrt(t² + 2), t² = 12.
        assert found.p_t == pytest.approx(1 - math.sqrt(12 / 14))
        assert found.p_sign_flip == 2 / 8
        assert found.correlation == pytest.approx(1.0)
        assert (found.wins, found.ties, found.losses) == (3, 0, 0)

    @pytest.mark.parametrize(("freedom", "table"), [(2, 0.5642), (4, 0.7979), (9, 0.9139)])
    def test_hedges_factor_is_that_of_his_table(self, freedom, table):
        # Hedges (1981), Table 1, c(m).
        assert small_sample_factor(freedom) == pytest.approx(table, abs=1e-4)
        assert small_sample_factor(freedom) == pytest.approx(1 - 3 / (4 * freedom - 1), abs=0.01)

    def test_hedges_factor_takes_the_bias_away(self):
        # E[d] = δ / J(f) for normal differences: the mean of g over many samples of 5 is δ.
        d = np.random.default_rng(7).normal(1.0, 1.0, (40_000, 5))
        d_z = d.mean(axis=1) / d.std(axis=1, ddof=1)
        error = d_z.std() / math.sqrt(len(d_z))
        assert (d_z * small_sample_factor(4)).mean() == pytest.approx(1.0, abs=5 * error)
        assert d_z.mean() > 1.2

    def test_many_pairs_are_tested_by_random_flips_and_say_so(self):
        n = EXACT_UP_TO + 1
        found = comparison([0.9 + i / 1024 for i in range(n)], [0.8] * n)
        assert found.flips == FLIPS
        assert found.p_sign_flip == 1 / (1 + FLIPS)
        assert found.correlation is None  # a constant arm correlates with nothing

    @pytest.mark.parametrize("metric", ["test_accuracy", "test_loss"])
    def test_which_way_is_better_is_the_metrics(self, metric):
        found = comparison([0.3, 0.4], [0.2, 0.1], metric=metric)
        assert found.difference == pytest.approx(0.2)
        assert found.better is (metric == "test_accuracy")
        assert (found.wins, found.losses) == ((2, 0) if found.better else (0, 2))


class TestWhatIsNotDefined:
    def test_no_pair_has_no_number(self):
        found = comparison(["oom", "running"], [0.9, 0.8])
        names = (
            "difference", "ci_low", "t_low", "std", "p_sign_flip", "p_holm", "p_t", "d_z", "g_z",
        )  # fmt: skip
        assert found.n == 0
        assert [getattr(found, name) for name in names] == [None] * len(names)
        assert found.better is None
        assert not found.significant

    def test_one_pair_has_a_difference_and_p_one(self):
        found = comparison([0.9], [0.8])
        assert found.difference == pytest.approx(0.1)
        assert (found.p_sign_flip, found.p_holm) == (1.0, 1.0)
        assert found.std is found.ci_low is found.t_low is found.p_t is found.d_z is None

    def test_two_pairs_have_no_correlation_and_no_g(self):
        found = comparison([0.9, 0.8], [0.7, 0.75])
        assert found.correlation is found.g_z is None
        assert found.d_z is not None

    def test_equal_differences_have_no_spread_even_if_rounding_says_otherwise(self):
        # 0.3 − 0.2, 0.2 − 0.1 and 1.1 − 1.0 are three different floats.
        found = comparison([0.3, 0.2, 1.1], [0.2, 0.1, 1.0], metric="score")
        assert found.std == 0.0
        assert found.p_t is found.d_z is found.g_z is None
        assert found.ci_low == found.ci_high == found.t_low == found.difference
        assert found.p_sign_flip == 2 / 8

    def test_equal_arms_tie_everywhere(self):
        found = comparison([0.9, 0.8, 0.7], [0.9, 0.8, 0.7])
        assert (found.wins, found.ties, found.losses) == (0, 3, 0)
        assert (found.difference, found.p_sign_flip, found.better) == (0.0, 1.0, None)

    def test_no_spread_in_either_arm_leaves_welch_undefined(self):
        assert comparison([0.9, 0.9], [0.8, 0.8]).p_welch is None
        assert comparison([0.9, 0.9], [0.8, 0.7]).p_welch is not None

    @pytest.mark.parametrize("scale", [1e-200, 1e200])
    def test_losses_of_any_size_are_compared(self, scale):
        x, y = [3.0, 5.0, 9.0], [2.0, 1.0, 4.0]
        found = comparison([v * scale for v in x], [v * scale for v in y], metric="test_loss")
        small = comparison(x, y, metric="test_loss")
        assert found.difference == pytest.approx(small.difference * scale)
        assert found.ci_high == pytest.approx(small.ci_high * scale)
        assert found.p_t == pytest.approx(small.p_t)
        assert found.correlation == pytest.approx(small.correlation)

    @settings(max_examples=50)
    @given(st.lists(st.tuples(st.floats(), st.floats()), min_size=1, max_size=5))
    def test_json_carries_it_whatever_the_values(self, values):
        found = comparison([a for a, _ in values], [b for _, b in values])
        json.dumps(found.to_json(), allow_nan=False)


class TestSeeds:
    def test_only_seeds_with_a_number_on_both_sides_are_paired(self):
        found = comparison([0.9, "oom", 0.7, None], [0.8, 0.8, "running", 0.5])
        assert found.n == 1
        assert found.difference == pytest.approx(0.1)
        assert found.left_out == {
            "arm: failed: oom": (1,), "baseline: running": (2,), "arm: not reported": (3,),
        }  # fmt: skip

    def test_a_seed_on_one_side_only_is_left_out_and_named(self):
        found = comparison([0.9, 0.8, 0.7], [0.8, 0.6])
        assert found.n == 2
        assert found.left_out == {"baseline: not planned": (2,)}

    def test_a_seed_that_failed_on_both_sides_is_named_for_both(self):
        found = comparison(["oom", 0.9], ["diverged", 0.8])
        assert found.left_out == {"arm: failed: oom": (0,), "baseline: diverged": (0,)}

    def test_pairs_go_by_seed_not_by_place(self):
        observations = [
            *trials("lrd", [0.9, "oom", 0.7]), *trials("plain", [0.1, 0.2, 0.3]),
        ]  # fmt: skip
        (found,) = compare(summarise(pair(), observations), observations)
        assert found.difference == pytest.approx((0.8 + 0.4) / 2)

    @given(PAIRS)
    def test_every_seed_is_a_pair_or_named(self, values):
        found = comparison([a for a, _ in values], [b for _, b in values])
        named = {seed for seeds in found.left_out.values() for seed in seeds}
        assert found.n + len(named) == len(values)


class TestDivergence:
    def test_a_diverged_seed_is_a_loss_and_no_pair(self):
        found = comparison([0.9, "diverged", 0.9], [0.8, 0.8, 0.8])
        assert (found.n, found.wins, found.losses, found.diverged) == (2, 2, 1, 1)
        assert found.left_out == {"arm: diverged": (1,)}

    def test_a_diverged_baseline_is_a_win(self):
        found = comparison([0.9, 0.8], [0.8, "diverged"])
        assert (found.wins, found.losses, found.baseline_diverged) == (2, 0, 1)

    def test_both_diverged_is_a_tie(self):
        found = comparison([0.9, "diverged"], [0.8, "diverged"])
        assert (found.wins, found.ties, found.losses) == (1, 1, 0)
        assert (found.diverged, found.baseline_diverged) == (0, 0)

    def test_a_metric_that_is_not_finite_loses_like_a_diverged_trial(self):
        found = comparison([0.1, math.inf], [0.2, 0.2], metric="test_loss")
        assert (found.wins, found.losses, found.diverged) == (1, 1, 1)
        assert found.survivors_only

    def test_running_out_of_memory_says_nothing_about_who_is_better(self):
        found = comparison([0.9, "oom"], [0.8, 0.8])
        assert (found.wins, found.losses, found.diverged) == (1, 0, 0)

    def test_better_among_survivors_only_is_never_significant(self):
        x, y = [0.9 + i / 64 for i in range(8)], [0.5] * 8
        assert comparison(x, y).significant
        found = comparison([*x, "diverged"], [*y, 0.5])
        assert found.p_holm < 0.05
        assert found.survivors_only
        assert not found.significant

    def test_better_although_the_other_side_diverged_is_no_survival(self):
        x, y = [0.9 + i / 64 for i in range(8)], [0.5] * 8
        found = comparison([*x, 0.9], [*y, "diverged"])
        assert found.significant
        assert not found.survivors_only

    def test_a_baseline_that_is_better_among_survivors_only_is_not_significant_either(self):
        x, y = [0.9 + i / 64 for i in range(8)], [0.5] * 8
        found = comparison([*y, 0.5], [*x, "diverged"])
        assert found.survivors_only
        assert not found.significant

    @given(PAIRS)
    def test_every_seed_decided_on_both_sides_is_counted_once(self, values):
        found = comparison([a for a, _ in values], [b for _, b in values])
        lost = ("diverged", math.nan)
        decided = sum(all(isinstance(v, float) or v in lost for v in each) for each in values)
        assert found.wins + found.ties + found.losses == decided

    @given(PAIRS)
    def test_what_only_survived_is_never_marked(self, values):
        found = comparison([a for a, _ in values], [b for _, b in values])
        assert not (found.significant and found.survivors_only)


class TestLaws:
    @settings(max_examples=60)
    @given(PAIRS)
    def test_swapping_arm_and_baseline_mirrors_the_signs_and_keeps_p(self, values):
        one = comparison([a for a, _ in values], [b for _, b in values])
        other = comparison([b for _, b in values], [a for a, _ in values])
        swapped = comparison([a for a, _ in values], [b for _, b in values], swap=True)
        for found in (other, swapped):
            for name, counterpart in MIRRORED.items():
                mirror = getattr(found, counterpart)
                assert close(getattr(one, name), None if mirror is None else -mirror), name
            for name, counterpart in SWAPPED.items():
                assert getattr(one, name) == getattr(found, counterpart), name
            for name in UNCHANGED:
                assert close(getattr(one, name), getattr(found, name)), name

    @settings(max_examples=60)
    @given(PAIRS, SIXTY_FOURTHS)
    def test_shifting_both_arms_leaves_the_comparison(self, values, by):
        def shifted(values):
            return [value + by if isinstance(value, float) else value for value in values]

        x, y = [a for a, _ in values], [b for _, b in values]
        one, other = comparison(x, y).to_json(), comparison(shifted(x), shifted(y)).to_json()
        for name, value in one.items():
            assert close(value, other[name]), name

    @given(PAIRS, st.randoms())
    def test_the_order_of_trials_does_not_matter(self, values, random):
        x, y = [a for a, _ in values], [b for _, b in values]
        assert comparison(x, y) == comparison(x, y, shuffle=random)

    @settings(max_examples=30)
    @given(st.lists(st.tuples(SIXTY_FOURTHS, SIXTY_FOURTHS), min_size=3, max_size=8))
    def test_the_scale_of_the_metric_changes_no_test(self, values):
        x, y = [a for a, _ in values], [b for _, b in values]
        assume(len({a - b for a, b in values}) > 1)
        one, other = comparison(x, y), comparison([8 * a for a in x], [8 * b for b in y])
        for name in ("p_sign_flip", "p_t", "d_z", "g_z", "wins", "losses"):
            assert close(getattr(one, name), getattr(other, name)), name
        assert other.difference == 8 * one.difference
        assert other.ci_low == pytest.approx(8 * one.ci_low)

    @settings(max_examples=20)
    @given(st.lists(st.tuples(SIXTY_FOURTHS, SIXTY_FOURTHS), min_size=2, max_size=6))
    def test_comparisons_computed_together_do_not_touch_each_other(self, values):
        arms = [arm("plain", baseline=True)]
        arms += [arm(f"a{k}", keep_prob=p) for k, p in enumerate((0.3, 0.5, 0.7))]
        samples = {each.id: [a + k * b for a, b in values] for k, each in enumerate(arms)}
        observations = [t for key, sample in samples.items() for t in trials(key, sample)]
        together = compare(summarise(arms, observations), observations)
        for found in together:
            alone = comparison(samples[found.arm_id], samples["plain"])
            for name in ("difference", "ci_low", "t_high", "p_sign_flip", "p_t", "p_welch", "g_z"):
                assert close(getattr(found, name), getattr(alone, name)), name


class TestHolm:
    def test_by_hand(self):
        # Holm (1979): 4 · 0.01, 3 · 0.02 → 0.06, 2 · 0.03 = 0.06, 0.04 stays at 0.06.
        assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])

    @settings(max_examples=20)
    @given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
    def test_agrees_with_statsmodels(self, p_values):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(gc, "collect", lambda: None)  # half a second each, in one run
            oracle = multipletests(p_values, method="holm")[1]
        assert holm(p_values) == pytest.approx(oracle.tolist(), rel=1e-12, abs=1e-300)

    def test_a_missing_p_stays_missing_and_counts_as_one(self):
        assert holm([0.01, None, 0.02]) == [pytest.approx(0.03), None, pytest.approx(0.04)]

    def test_no_family_is_no_adjustment(self):
        assert holm([]) == []
        assert holm([0.2]) == [0.2]

    def test_the_family_is_every_comparison_of_the_sweep(self):
        arms = [arm("plain", baseline=True)]
        arms += [arm(f"p{p}", keep_prob=p) for p in (0.3, 0.5, 0.7)]
        observations = trials("plain", [0.5] * 6)
        observations += trials("p0.3", [0.9 + i / 64 for i in range(6)])
        observations += trials("p0.5", ["running"] * 6)
        observations += trials("p0.7", [0.5, 0.6, 0.4, 0.5, 0.6, 0.4])
        found = compare(summarise(arms, observations), observations)
        assert [each.p_holm for each in found] == [3 * 2 / 64, None, 1.0]
        assert found[0].p_sign_flip < 0.05
        assert not found[0].significant


def test_json_says_what_a_reader_needs():
    found = comparison([0.9, 0.8, "diverged"], [0.8, 0.6, 0.7]).to_json()
    assert found["arm_id"] == "lrd"
    assert found["baseline"] == "plain"
    assert found["differs_in"] == ["optimizer.keep_prob"]
    assert found["left_out"] == {"arm: diverged": [2]}
    assert (found["better"], found["significant"], found["survivors_only"]) == (True, False, True)
