"""A copy of an optimizer trains as the optimizer does: torch leaves hooks out, and these stay."""

import copy
import io
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.optim import Optimizer

from lrd_core.optim import learning_rate_dropout, remove_learning_rate_dropout
from lrd_core.optim.fused import FusedAdam
from lrd_core.regularizers import gradient_dropout, gradient_noise
from tests.lrd_core.optim.cases import equal, parameters, steps, values


def through_pickle(pair: Any) -> Any:
    return pickle.loads(pickle.dumps(pair))


def through_torch(pair: Any) -> Any:
    file = io.BytesIO()
    torch.save(pair, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


every_copy = pytest.mark.parametrize("duplicate", [copy.deepcopy, through_pickle, through_torch])


@every_copy
def test_a_copy_has_learning_rate_dropout_too(duplicate: Callable[[Any], Any]) -> None:
    # Catches: a copy that is plain without a word.
    params = parameters()
    optimizer = learning_rate_dropout(torch.optim.Adam(params, lr=0.1), 0.5, seed=3)
    steps(optimizer, params, 1, 3)
    their_params, theirs = duplicate((params, optimizer))
    assert type(theirs) is torch.optim.Adam
    steps(optimizer, params, 4, 6)
    steps(theirs, their_params, 4, 6)
    assert equal(values(params), values(their_params))
    plain = remove_learning_rate_dropout(theirs)
    assert "keep_prob" not in plain.param_groups[0]
    assert "keep_prob" in optimizer.param_groups[0]


def universal(params: Any) -> Optimizer:
    return learning_rate_dropout(torch.optim.Adam(params, lr=0.1), 0.5, seed=3)


def fused(params: Any) -> Optimizer:
    return FusedAdam(params, lr=0.1, keep_prob=0.5, seed=3)


@every_copy
@pytest.mark.parametrize("make", [universal, fused])
def test_a_copy_has_noisy_and_dropped_gradients_too(
    duplicate: Callable[[Any], Any], make: Callable[[Any], Optimizer]
) -> None:
    # Catches: a copy without noise; noise before the dropout, and not on it.
    params = parameters()
    optimizer = make(params)
    gradient_dropout(optimizer, 0.5, seed=1)
    gradient_noise(optimizer, seed=2)
    steps(optimizer, params, 1, 3)
    their_params, theirs = duplicate((params, optimizer))
    steps(optimizer, params, 4, 6)
    steps(theirs, their_params, 4, 6)
    assert equal(values(params), values(their_params))
    assert theirs.param_groups[0]["ng_step"] == 6


def test_a_copy_of_a_copy_is_like_the_first() -> None:
    params = parameters()
    optimizer = universal(params)
    gradient_noise(optimizer, seed=2)
    first = copy.deepcopy((params, optimizer))
    second = copy.deepcopy(first)
    for their_params, theirs in (first, second):
        steps(theirs, their_params, 1, 3)
    assert equal(values(first[0]), values(second[0]))


def test_without_learning_rate_dropout_a_copy_keeps_its_noise() -> None:
    params = parameters()
    optimizer = universal(params)
    gradient_noise(optimizer, seed=2)
    remove_learning_rate_dropout(optimizer)
    _, theirs = copy.deepcopy((params, optimizer))
    assert len(theirs._optimizer_step_pre_hooks) == 1
    assert not theirs._optimizer_step_post_hooks
