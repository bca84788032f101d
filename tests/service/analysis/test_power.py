"""What a number of seeds can show: against scipy's noncentral t, and as the design promises."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats
from statsmodels.stats.power import TTestPower

from service.analysis.arms import summarise
from service.analysis.comparisons import compare
from service.analysis.paired import holm
from service.analysis.power import (
    detectable_effect,
    power_of,
    seeds_needed,
    smallest_p,
    within_reach,
)
from service.analysis.resampling import EXACT_UP_TO, FLIPS

from .cases import pair, trials


def clearest_p(n):
    """The p of the clearest result that n pairs can show, from the test itself."""
    observations = [*trials("lrd", [0.9 + i / 1024 for i in range(n)]), *trials("plain", [0.1] * n)]
    (found,) = compare(summarise(pair(), observations), observations)
    return found.p_sign_flip


class TestSmallestP:
    @pytest.mark.parametrize(
        ("seeds", "least"), [(0, 1.0), (1, 1.0), (3, 0.25), (5, 0.0625), (6, 0.03125), (9, 2 / 512)]
    )
    def test_is_two_over_two_to_the_n(self, seeds, least):
        assert smallest_p(seeds) == least

    @pytest.mark.parametrize("n", [1, 2, 5, 6, 10, 11, EXACT_UP_TO, EXACT_UP_TO + 1])
    def test_is_what_the_test_gives_for_the_clearest_data(self, n):
        assert clearest_p(n) == smallest_p(n)

    @pytest.mark.parametrize("n", [3, 5, 6, 8])
    def test_wilcoxons_signed_rank_test_is_bound_by_it_too(self, n):
        found = stats.wilcoxon([1.0 + i for i in range(n)], method="exact")
        assert found.pvalue == smallest_p(n)

    def test_random_flips_are_bound_by_their_number(self):
        assert smallest_p(1000) == 1 / (1 + FLIPS)


class TestSeedsNeeded:
    @pytest.mark.parametrize(("comparisons", "seeds"), [(0, 6), (1, 6), (2, 7), (5, 8), (10, 9)])
    def test_under_holm(self, comparisons, seeds):
        assert seeds_needed(comparisons) == seeds

    @given(st.integers(1, 400_000))
    def test_they_are_enough_and_one_less_is_not(self, comparisons):
        seeds = seeds_needed(comparisons)
        assert comparisons * smallest_p(seeds) < 0.05 <= comparisons * smallest_p(seeds - 1)

    def test_p_equal_to_alpha_is_not_below_it(self):
        assert seeds_needed(1, alpha=0.0625) == 6

    def test_no_number_helps_too_large_a_family(self):
        assert seeds_needed(500_000) is None


class TestWithinReach:
    @given(
        st.lists(st.tuples(st.none() | st.integers(0, 30), st.floats(0, 1)), min_size=1),
    )
    def test_whatever_is_out_of_reach_is_rejected_by_no_data(self, family):
        pairs = [n for n, _ in family]
        able = within_reach(pairs)
        at_best = [None if n is None else smallest_p(n) for n in pairs]
        worse = [
            None if p is None else p + share * (1 - p)
            for p, (_, share) in zip(at_best, family, strict=True)
        ]
        for p_values in (at_best, worse):
            rejected = [p is not None and p < 0.05 for p in holm(p_values)]
            assert all(can for can, is_rejected in zip(able, rejected, strict=True) if is_rejected)
        assert able == [p is not None and p < 0.05 for p in holm(at_best)]

    def test_others_that_are_rejected_first_help(self):
        # Catches: the multiplier of the first step, 5, for six pairs that the last step suffices.
        assert within_reach([12, 12, 12, 12, 6]) == [True] * 5
        assert within_reach([12, 12, 12, 6, 6]) == [True] * 3 + [False] * 2


class TestPower:
    @pytest.mark.parametrize(
        ("seeds", "alpha"), [*itertools.product([2, 3, 5, 10, 50], [0.05, 0.005, 0.0005])]
    )
    def test_the_detectable_effect_is_found_with_the_power_promised(self, seeds, alpha):
        # P(|Z + shift| > critical · χ / sqrt(f)), integrated over χ: scipy's noncentral t gives NaN
        # in the lower tail for few seeds.
        freedom, shift = seeds - 1, detectable_effect(seeds, alpha) * seeds**0.5
        critical = stats.t.ppf(1 - alpha / 2, freedom)

        def rejected(chi):
            limit = critical * chi / freedom**0.5
            both_sides = stats.norm.sf(limit - shift) + stats.norm.cdf(-limit - shift)
            return both_sides * stats.chi.pdf(chi, freedom)

        power, _ = integrate.quad(rejected, 0, 60, points=[0.01, 0.1, 1, 10], limit=500)
        assert power == pytest.approx(0.8, abs=2e-6)

    def test_two_seeds_at_a_tiny_alpha_are_asked_for_ten_times_as_much_at_a_tenth_of_it(self):
        # Catches: NaN, taken for power enough: the same 71,738 for each alpha below 5e-6.
        effects = [detectable_effect(2, alpha) for alpha in (5e-4, 5e-5, 5e-6, 5e-7, 5e-8)]
        for effect, next_effect in itertools.pairwise(effects):
            assert next_effect / effect == pytest.approx(10, rel=1e-4)

    @pytest.mark.parametrize("seeds", [5, 10, 50])
    def test_statsmodels_finds_the_same_effect(self, seeds):
        oracle = TTestPower().solve_power(nobs=seeds, alpha=0.05, power=0.8)
        assert detectable_effect(seeds) == pytest.approx(oracle, rel=1e-4)

    @pytest.mark.parametrize(("seeds", "effect"), [(3, 3.26), (5, 1.68), (6, 1.43), (10, 1.00)])
    def test_known_values(self, seeds, effect):
        assert detectable_effect(seeds) == pytest.approx(effect, abs=0.006)

    def test_below_two_seeds_there_is_no_test(self):
        assert detectable_effect(1) is detectable_effect(0) is None

    def test_more_seeds_find_smaller_effects(self):
        effects = [detectable_effect(n) for n in range(2, 40)]
        assert effects == sorted(effects, reverse=True)


class TestPlan:
    def test_five_seeds_cannot_and_six_can(self):
        assert not power_of(5).can_reject
        assert power_of(6).can_reject
        assert power_of(5).sentence == (
            "5 pairs cannot reach p < 0.05, whatever the data: the paired sign-flip test gives at "
            "least 0.0625; 6 seeds can."
        )

    def test_ten_comparisons_under_holm_need_nine(self):
        assert not power_of(8, comparisons=10).can_reject
        assert power_of(9, comparisons=10).can_reject
        assert power_of(8, comparisons=10).sentence == (
            "8 pairs cannot reach p < 0.05 under Holm over 10 comparisons, whatever the data: the "
            "paired sign-flip test gives at least 0.0781; 9 seeds can."
        )

    def test_enough_seeds_are_told_what_they_can_find(self):
        found = power_of(10)
        assert found.sentence == (
            "10 pairs can reach p < 0.05; a paired t test has 80% power for a difference of 1.00 "
            "standard deviations of the paired difference, the sign-flip test behind † has less."
        )

    def test_one_seed_and_a_family_beyond_help(self):
        assert power_of(1).sentence.startswith("1 pair cannot")
        assert power_of(3, comparisons=500_000).sentence.endswith("at least 1; no number can.")

    def test_a_sweep_without_comparisons_is_planned_for_one(self):
        assert power_of(6, comparisons=0) == power_of(6, comparisons=1)

    @given(st.integers(0, EXACT_UP_TO), st.integers(1, 2000))
    def test_it_promises_exactly_what_holm_delivers(self, seeds, comparisons):
        found = power_of(seeds, comparisons)
        assert found.can_reject == (min(1.0, comparisons * smallest_p(seeds)) < 0.05)
        assert found.can_reject == (seeds >= found.seeds_needed)
        assert found.to_json()["sentence"] == found.sentence

    def test_too_few_random_flips_are_not_blamed_on_the_seeds(self):
        found = power_of(100, comparisons=1000)
        assert not found.can_reject
        assert found.sentence.endswith("; more than 9,999 random sign flips would be needed.")
