"""Which differences the seeds so far can find, and how many a given one takes."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.power import TTestPower

from service.analysis.arms import summarise
from service.analysis.comparisons import compare
from service.analysis.detecting import detect
from service.analysis.metrics import Metric
from service.analysis.paired import ALPHA
from service.analysis.power import findable_effect, pairs_needed
from service.analysis.resampling import sign_flip

from .cases import arm, pair, trials


def detected(differences, difference=None, arms=None):
    """What is found of an arm `lrd` whose seeds differ so much from its baseline's."""
    observations = [
        *trials("lrd", [0.5 + d for d in differences]),
        *trials("plain", [0.5] * len(differences)),
    ]
    arms = arms or pair()
    return found_in(arms, observations, difference)


def found_in(arms, observations, difference=None):
    return all_in(arms, observations, difference).items


def all_in(arms, observations, difference=None):
    compared = compare(summarise(arms, observations), observations)
    return detect(compared, Metric("test_accuracy"), "last", difference, arms=len(arms))


def test_the_unit_is_that_of_the_metric():
    (found,) = detected([0.01, 0.02, 0.03, 0.01, 0.02, 0.03, 0.02])
    std = np.std([0.01, 0.02, 0.03, 0.01, 0.02, 0.03, 0.02], ddof=1)
    assert found.std == pytest.approx(std)
    oracle = TTestPower().solve_power(nobs=7, alpha=0.05, power=0.8)
    assert found.detectable == pytest.approx(oracle * std, rel=1e-4)


def test_the_upper_limit_of_the_spread_is_above_the_truth_in_80_percent_of_pilots():
    rng = np.random.default_rng(0)
    above = [detected(rng.normal(0, 0.01, 4))[0].std_high > 0.01 for _ in range(1000)]
    assert np.mean(above) == pytest.approx(0.8, abs=4 * math.sqrt(0.8 * 0.2 / 1000))


def test_fewer_pairs_than_could_be_marked_find_nothing_and_still_say_how_many_would():
    (found,) = detected([0.01, 0.02, 0.03], 0.02)
    assert (found.detectable, found.std) == (None, pytest.approx(0.01))
    assert found.seeds == pairs_needed(2.0) == 6
    assert found.seeds_high == pairs_needed(1 / 2.1169364935501847 * 2) > found.seeds


@pytest.mark.parametrize("differences", [[], [0.01], [0.25, 0.25, 0.25]])
def test_without_a_spread_nothing_is_known(differences):
    (found,) = detected(differences, 0.02)
    assert (found.std, found.std_high, found.detectable) == (None, None, None)
    assert (found.seeds, found.seeds_high) == (None, None)


def test_only_the_primary_comparisons_are_a_family():
    arms = [
        arm("p5", keep_prob=0.5),
        arm("p7", keep_prob=0.7),
        replace(arm("p9", keep_prob=0.9), is_primary=False),
        arm("plain", baseline=True),
    ]
    observations = [
        each
        for name in ("p5", "p7", "p9", "plain")
        for each in trials(name, [0.5 + len(name) % 2 * seed**2 / 100 for seed in range(8)])
    ]
    found = all_in(arms, observations, 0.02)
    assert [each.alpha for each in found.items] == [ALPHA / 2, ALPHA / 2, ALPHA]
    assert "p < 0.05 / 2 (Holm's first step), for exploratory ones 0.05, with" in found.notes[1]


@pytest.mark.parametrize("difference", [0, -0.1, math.nan])
def test_a_difference_that_is_none_is_refused(difference):
    with pytest.raises(ValueError, match="above 0"):
        detected([0.01, 0.02], difference)


class TestPairsNeeded:
    @pytest.mark.parametrize("family", [1, 2, 5, 16, 40, 200])
    @pytest.mark.parametrize("effect", [0.1, 0.5, 0.8, 1.0, 1.5, 2.0, 5.0])
    def test_they_find_the_effect_and_one_less_does_not(self, family, effect):
        pairs = pairs_needed(effect, family)
        assert findable_effect(pairs, family) <= effect
        fewer = findable_effect(pairs - 1, family)
        assert fewer is None or fewer > effect

    def test_an_effect_too_small_for_as_many_seeds_as_a_spec_may_have(self):
        assert pairs_needed(0.01) == 78_491
        assert pairs_needed(0.001) is None

    def test_a_family_of_which_none_can_be_marked(self):
        assert pairs_needed(3.0, 500_000) is None

    def test_with_the_fewest_pairs_all_must_point_the_same_way(self):
        assert stats.norm.cdf(findable_effect(6)) ** 6 == pytest.approx(0.8)

    @pytest.mark.parametrize("family", [1, 5, 16])
    @pytest.mark.parametrize("effect", [0.8, 1.0, 1.2, 1.5, 2.0, 3.0])
    def test_the_dagger_is_found_about_as_often_as_promised(self, family, effect):
        # The least is 0.74, for 1.5 in a family of 5; the standard error of 2,000 runs is 0.009.
        rng = np.random.default_rng(1)
        differences = rng.normal(effect, 1, (2000, pairs_needed(effect, family)))
        found = sign_flip(differences, 1e-15 * np.abs(differences).sum(axis=1)) < ALPHA / family
        assert found.mean() > 0.72
