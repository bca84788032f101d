"""What the text on methods says of tests: which, of what, against which baseline."""

from dataclasses import replace

import pytest

from lrd_core.titles import KEEP_PROB
from service.analysis.baselines import compared_with

from .cases import arm, trials
from .test_baselines import TUNED
from .test_methods import of, said

BETTER = [0.9 + seed / 100 for seed in range(8)]


def paragraph(arms, samples, baseline=(KEEP_PROB,), **more):
    observations = [trial for each in arms for trial in trials(each.id, samples[each.id])]
    return of(said(arms, observations, baseline=baseline, **more))["Tests"]


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


class TestPrimaryComparisons:
    ARMS = (
        replace(arm("plain", baseline=True), is_primary=False),
        replace(arm("p3", keep_prob=0.3), is_primary=False),
        arm("p5", keep_prob=0.5),
        replace(arm("p7", keep_prob=0.7), is_primary=False),
    )
    SAMPLES = {each.id: BETTER for each in ARMS}

    @pytest.mark.parametrize("asked", ["p3", "p5"])
    def test_they_are_those_with_the_sweeps_own_baseline(self, asked: str) -> None:
        """Catches: "The primary comparisons, named before the trials ran, are those of p5", or of
        nothing, where the baseline was chosen afterwards."""
        arms = compared_with(self.ARMS, asked)
        text = paragraph(arms, self.SAMPLES, baseline=(), has_primary=True)
        assert f"with the baseline ({asked})" in text
        assert "Holm-adjusted over 3 comparisons; p" in text
        assert "This baseline was chosen when the results were read; the primary" in text
        assert "do not apply." in text
        assert "exploratory" not in text
        without = paragraph(arms, self.SAMPLES, baseline=())
        assert "This baseline was chosen when the results were read." in without

    def test_without_a_baseline_of_their_own_none_is_named(self) -> None:
        """Catches: "are those of ;"."""
        other = {"name": "radam", "dataset": "mnist"}
        arms = [*self.ARMS[:2], replace(self.ARMS[2], config=arm("", **other).config)]
        text = paragraph(arms, self.SAMPLES)
        assert "No primary comparison, named before the trials ran, has a baseline; all" in text
        assert "those of" not in text
