"""Pairs are independent where the seed changes something; else they are one observation alone."""

from service.analysis.arms import summarise
from service.analysis.comparisons import Comparison, compare

from .cases import arm, trials


def compared(lrd: float, plain: float, **changes: object) -> Comparison:
    """Six seeds of two arms that differ in the learning rate."""
    arms = [arm("plain", baseline=True, **changes), arm("lrd", lr=0.2, **changes)]
    observations = [*trials("lrd", [lrd] * 6), *trials("plain", [plain] * 6)]
    (found,) = compare(summarise(arms, observations), observations, baseline=["optimizer"])
    return found


def test_arms_that_no_seed_changes_are_not_tested() -> None:
    # Catches: one descent counted as six, and marked as significant.
    found = compared(0.3018, 0.2391, dataset="surface")
    assert found.p_sign_flip is found.p_holm is found.p_t is None
    assert not found.significant
    assert found.wins == 6


def test_runs_that_stand_still_are_one_observation_whatever_would_be_drawn() -> None:
    noise = [{"kind": "NG", "eta": 0.1, "gamma": 0.55}]
    for regularizers in ([], noise):
        found = compared(1.0, 0.0, dataset="surface", keep_prob=0.0, regularizers=regularizers)
        assert found.p_sign_flip is None


def test_equal_numbers_of_seeds_that_matter_are_tested() -> None:
    # Catches: masks or noise that drove every seed to the same end, taken for no chance at all.
    assert compared(1.0, 0.0).p_sign_flip == 2 / 64
    assert compared(1.0, 0.0, dataset="surface", keep_prob=0.5).p_sign_flip == 2 / 64
    noise = [{"kind": "NG", "eta": 0.1, "gamma": 0.55}]
    assert compared(1.0, 0.0, dataset="surface", regularizers=noise).p_sign_flip == 2 / 64


def test_an_arm_by_chance_is_tested_against_a_baseline_without() -> None:
    """Catches: a descent with masks, held against the plain one, that is never tested."""
    arms = [
        arm("plain", baseline=True, dataset="surface"),
        arm("lrd", dataset="surface", keep_prob=0.5),
    ]
    observations = [*trials("lrd", [1.0] * 6), *trials("plain", [0.0] * 6)]
    (found,) = compare(summarise(arms, observations), observations, baseline=["optimizer"])
    assert found.p_sign_flip == 2 / 64
