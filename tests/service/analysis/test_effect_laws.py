"""What holds of effects whatever the numbers are."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.analysis.data import ArmInfo
from service.analysis.effects import effects_of

from .cases import arm, trials
from .factorial import grid, observed

EIGHTHS = st.integers(-80, 80).map(lambda k: k / 8)
"""Their sums are exact."""


def test_holm_is_over_all_main_effects_and_over_all_interactions_apart() -> None:
    arms = grid("SD", "NG", "NL")
    found = effects_of(arms, observed(arms, 10, lambda on, seed: len(on) + seed / 8))
    mains = [effect for effect in found if effect.kind == "main"]
    assert {effect.p_holm for effect in mains} == {3 * 2 / 2**10}
    assert {effect.p_holm for effect in found[len(mains) :]} == {1.0}  # all add up: p is 1
    assert found == mains + [effect for effect in found if effect.kind == "interaction"]


@pytest.mark.parametrize("lost", [0.0, 0.15])
def test_no_effect_is_marked_too_often(lost: float) -> None:
    """The chance of any false mark in a family, in 300 sweeps without any effect, also where
    trials are missing."""
    rng, arms = np.random.default_rng(0), grid("SD", "NG", "NL")
    marked = {"main": 0, "interaction": 0}
    for _ in range(300):
        noise = rng.normal(0, 1, (8, 10)) + rng.normal(0, 1, 10)
        gone = rng.random((8, 10)) < lost
        observations = [
            trial
            for at, each in enumerate(arms)
            for trial in trials(
                str(each.id),
                ["oom" if gone[at, seed] else float(noise[at, seed]) for seed in range(10)],
            )
        ]
        found = effects_of(arms, observations, metric="score")
        for kind in marked:
            marked[kind] += any(each.significant for each in found if each.kind == kind)
    # 15 at 5 %; 24 or more have a chance of 2 %.
    assert max(marked.values()) < 24


@given(st.lists(EIGHTHS, min_size=12, max_size=12), EIGHTHS)
def test_a_shift_of_everything_changes_nothing(values: list[float], shift: float) -> None:
    arms = grid("SD", "NG")
    at = {str(each.id): number for number, each in enumerate(arms)}

    def value(on: set[str], seed: int) -> float:
        return values[3 * at["+".join(sorted(on, reverse=True)) or "none"] + seed]

    one = effects_of(arms, observed(arms, 3, value), metric="score")
    moved = observed(arms, 3, lambda on, seed: value(on, seed) + shift)
    other = effects_of(arms, moved, metric="score")
    for before, after in zip(one, other, strict=True):
        assert (before.difference, before.std) == pytest.approx((after.difference, after.std))
        assert before.p_sign_flip == after.p_sign_flip


@given(st.lists(EIGHTHS, min_size=12, max_size=12))
def test_the_two_factors_of_an_interaction_may_change_places(values: list[float]) -> None:
    names = {"none": 0, "a": 1, "b": 2, "ab": 3}

    def arms_with(first: str, second: str) -> list[ArmInfo]:
        return [
            arm("none", lr=1.0, batch_size=1),
            arm("a", **{"lr": 1.0, "batch_size": 1} | {first: 2}),
            arm("b", **{"lr": 1.0, "batch_size": 1} | {second: 2}),
            arm("ab", lr=2, batch_size=2),
        ]

    observations = [
        trial for name, at in names.items() for trial in trials(name, values[3 * at : 3 * at + 3])
    ]
    found = [
        effects_of(arms_with(*order), observations, metric="score")[-1]
        for order in (("lr", "batch_size"), ("batch_size", "lr"))
    ]
    assert found[0].difference == found[1].difference
    assert found[0].p_sign_flip == found[1].p_sign_flip


def test_huge_losses_are_no_error() -> None:
    arms = grid("SD", "NG")
    observations = observed(arms, 3, lambda on, seed: 1e308 * (1 - 0.1 * seed))
    found = effects_of(arms, observations, metric="test_loss")
    assert [effect.difference for effect in found] == [0.0, 0.0, 0.0]
    assert json.loads(json.dumps([each.to_json() for each in found], allow_nan=False))


def test_thousands_of_arms_take_no_hours() -> None:
    # Catches: every arm looked at for every pair of levels, 10⁹ of them here.
    arms = [arm(f"{lr} {size}", lr=lr, batch_size=size) for lr in range(60) for size in range(60)]
    observations = [trial for each in arms for trial in trials(str(each.id), [0.5])]
    assert len(effects_of(arms, observations)) == 59 + 59 + 59 * 59
