"""What the text on methods says of tests: which, of what, against which baseline."""

from dataclasses import replace

from .cases import arm, trials
from .test_baselines import TUNED
from .test_methods import of, said

BETTER = [0.9 + seed / 100 for seed in range(8)]


def paragraph(arms, samples, **more):
    observations = [trial for each in arms for trial in trials(each.id, samples[each.id])]
    return of(said(arms, observations, **more))["Tests"]


def test_what_else_differs_between_an_arm_and_its_baseline_is_told() -> None:
    text = paragraph(TUNED, {each.id: BETTER for each in TUNED})
    assert "Arms are compared with the baseline (without LRD) on the same seeds" in text
    assert "differs in more than keep_prob: Adam+ (lr), SGDM+ (lr)." in text


def test_effects_name_their_test_if_nothing_did_before() -> None:
    """Catches: "tested in the same way" in a text that names no test."""
    arms = [replace(each, is_baseline=False) for each in TUNED]
    text = paragraph(arms, {each.id: BETTER for each in arms})
    assert "same way" not in text
    assert "by the exact two-sided sign-flip test, with whole seeds as the units" in text
    assert text.endswith("; p < 0.05 is called significant.")


def test_arms_without_a_baseline_are_named_though_nothing_is_compared() -> None:
    arms = [*TUNED[::2], arm("other", name="radam", keep_prob=0.5)]
    text = paragraph(arms, {each.id: BETTER for each in arms})
    assert text.startswith("Without a baseline to compare with: other.")
