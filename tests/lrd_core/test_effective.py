"""Settings that change nothing: what is said of them is what training does."""

from typing import Any

import pytest
import torch

from lrd_core.effective import advice, effective
from lrd_core.spec import SweepSpec, TrialSpec, expand_arms
from lrd_core.training import TrainState, train
from tests.conftest import small_sweep

BASE = {
    "dataset": "digits", "model": "fcnet", "optimizer": {"name": "adam", "keep_prob": 0.5},
    "epochs": 3, "batch_size": 512,
}  # fmt: skip

SURFACE = {"dataset": "surface", "data": {"surface": "toy"}, "model": "point"}


def config(changes: dict[str, Any]) -> dict[str, Any]:
    return TrialSpec.parse(BASE | changes).config()


def trained(changes: dict[str, Any]) -> tuple[list[Any], list[torch.Tensor]]:
    """The metrics of each epoch, and the final weights."""
    spec = TrialSpec.parse(BASE | changes)
    state = TrainState.create(spec)
    metrics = [report.metrics for report in train(spec, state)]
    return metrics, [each.clone() for each in state.model.parameters()]


def schedule(milestones: list[int], gamma: float = 0.1) -> dict[str, Any]:
    return {"schedule": {"milestones": milestones, "gamma": gamma}}


def regularizer(kind: str, **options: float) -> dict[str, Any]:
    return {"regularizers": [{"kind": kind, **options}]}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({}, schedule([], 0.5)),
        ({}, schedule([3, 100])),
        ({}, schedule([1], 1.0)),
        (schedule([2]), schedule([2, 3])),
        ({}, regularizer("NL", prob=0)),
        ({}, regularizer("NG", eta=0)),
        ({}, regularizer("DG", keep_prob=1)),
        ({}, regularizer("SD", keep_prob=1)),
        ({}, {"task": "classification"}),
        ({"epochs": 1}, {"epochs": 1, "schedule": {"power": 0.9}}),
        (SURFACE, SURFACE | {"batch_size": 7}),
    ],
)
def test_what_is_called_equal_trains_to_the_same_bits(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    """Catches: an arm that is called superfluous, and is not."""
    assert effective(config(one)) == effective(config(other))
    (metrics, weights), (others, other_weights) = trained(one), trained(other)
    assert metrics == others
    assert all(map(torch.equal, weights, other_weights))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({}, schedule([2])),
        (schedule([2]), schedule([2], 0.5)),
        (schedule([1]), schedule([2])),
        ({}, {"schedule": {"power": 1.0}}),
        ({}, regularizer("NL", prob=0.05)),
        (regularizer("SD", keep_prob=0.9), regularizer("SD", keep_prob=0.8)),
        ({}, {"epochs": 2}),
        ({}, {"batch_size": 256}),
        ({"epochs": 2}, {"epochs": 2, "schedule": {"power": 0.9}}),
    ],
)
def test_what_changes_something_is_not_called_equal(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    assert effective(config(one)) != effective(config(other))


def said(**changes: Any) -> list[str]:
    arms = expand_arms(SweepSpec.parse(small_sweep(**changes)))
    return list(advice([arm.label for arm in arms], [arm.config_json() for arm in arms]))


def test_each_set_of_equal_arms_is_named_once() -> None:
    grid = {"schedule.gamma": [0.1, 0.5], "optimizer.keep_prob": [1.0, 0.5]}
    found = said(grid=grid)
    assert len(found) == 2
    for sentence, arm in zip(found, ("without LRD", "LRD (keep_prob = 0.5)"), strict=True):
        assert sentence.count(arm) == 2
        assert "differ only in settings that change nothing" in sentence
    assert said() == []


def test_milestones_that_a_short_trial_never_reaches_are_named() -> None:
    base = small_sweep()["base"]
    (found,) = said(base=base | schedule([100, 150]))
    assert found == (
        "no trial reaches a milestone of its schedule (100, 150): with 2 epochs, the learning rate "
        "never falls"
    )
    assert said(base=base | schedule([1, 150])) == []
