"""Wrong forms of learning-rate dropout, each of them near enough to be written by mistake.

The law of `test_reference` must see every one, for every optimizer of the paper: else it is no law.
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.optim import Optimizer

from lrd_core.optim import learning_rate_dropout
from lrd_core.optim.mask import keep_mask
from tests.lrd_core.optim.test_reference import CASES, Apply, law

Change = Callable[[Tensor, Tensor, Tensor, Optimizer], Tensor]
"""(new, old, kept) to what the parameter becomes."""


def after_the_step(change: Change, **wrong: Any) -> Apply:
    def apply(optimizer: Optimizer, keep_prob: float, seed: int) -> Optimizer:
        olds: list[Tensor] = []
        step = 0

        def params() -> list[Tensor]:
            return [p for group in optimizer.param_groups for p in group["params"]]

        def before(optimizer: Optimizer, args: Any, kwargs: Any) -> None:
            olds[:] = [param.detach().clone() for param in params()]

        def after(optimizer: Optimizer, args: Any, kwargs: Any) -> None:
            nonlocal step
            step += 1
            offset = 0
            for param, old in zip(params(), olds, strict=True):
                kept = keep_mask(
                    seed, wrong.get("step", step), old.numel(), keep_prob, offset=offset
                ).view(old.shape)
                param.data.copy_(change(param.detach(), old, kept, optimizer))
                offset += 0 if wrong.get("one_position") else old.numel()

        optimizer.register_step_pre_hook(before)
        optimizer.register_step_post_hook(after)
        return optimizer

    return apply


def right(new: Tensor, old: Tensor, kept: Tensor, optimizer: Optimizer) -> Tensor:
    return torch.where(kept, new, old)


def rescaled(new: Tensor, old: Tensor, kept: Tensor, optimizer: Optimizer) -> Tensor:
    return torch.where(kept, old + (new - old) / 0.4, old)


def inverted(new: Tensor, old: Tensor, kept: Tensor, optimizer: Optimizer) -> Tensor:
    return torch.where(kept, old, new)


def decay_outside(new: Tensor, old: Tensor, kept: Tensor, optimizer: Optimizer) -> Tensor:
    group = optimizer.param_groups[0]
    return torch.where(kept, new, old * (1 - group["lr"] * group["weight_decay"]))


def on_the_gradient(optimizer: Optimizer, keep_prob: float, seed: int) -> Optimizer:
    step = 0

    def before(optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        nonlocal step
        step += 1
        offset = 0
        for param in optimizer.param_groups[0]["params"]:
            kept = keep_mask(seed, step, param.numel(), keep_prob, offset=offset)
            param.grad *= kept.view(param.shape)
            offset += param.numel()

    optimizer.register_step_pre_hook(before)
    return optimizer


def on_the_moments_too(optimizer: Optimizer, keep_prob: float, seed: int) -> Optimizer:
    learning_rate_dropout(optimizer, keep_prob, seed)

    def after(optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        step, offset = optimizer.param_groups[0]["lrd_step"], 0
        for param, state in optimizer.state.items():
            kept = keep_mask(seed, step, param.numel(), keep_prob, offset=offset)
            for value in state.values():
                if value.shape == param.shape:
                    value *= kept.view(param.shape)
            offset += param.numel()

    optimizer.register_step_post_hook(after)
    return optimizer


MUTANTS: dict[str, Apply] = {
    "no mask": lambda optimizer, keep_prob, seed: optimizer,
    "mask on the gradient": on_the_gradient,
    "mask on the moments too": on_the_moments_too,
    "rescaled by 1/p": after_the_step(rescaled),
    "mask before weight decay": after_the_step(decay_outside),
    "inverted": after_the_step(inverted),
    "one mask for all steps": after_the_step(right, step=1),
    "one mask for all tensors": after_the_step(right, one_position=True),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("mutant", MUTANTS.values(), ids=MUTANTS.keys())
def test_the_law_sees_the_mutant(mutant: Apply, name: str) -> None:
    # In float32, whose tolerance is the wider one.
    with pytest.raises(AssertionError, match="not close"):
        law(name, torch.float32, 2e-5, 0.05, mutant)


@pytest.mark.parametrize("name", CASES)
def test_the_mutants_frame_without_a_mutation_keeps_the_law(name: str) -> None:
    # Else the mutants might be seen for another reason than their fault.
    law(name, torch.float32, 2e-5, 0.05, after_the_step(right))
