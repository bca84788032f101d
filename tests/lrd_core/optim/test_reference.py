"""Algorithm 1 in the paper's letters equals torch's optimizers under learning-rate dropout."""

from collections.abc import Callable
from itertools import islice
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.optim import Optimizer

from lrd_core.optim import learning_rate_dropout, reference
from lrd_core.optim.mask import keep_mask

STEPS = 100
SEED, KEEP_PROB = 5, 0.4
SHAPES = ((6, 5), (4,))
POSITIONS = (0, 30)

Make = Callable[[list[Tensor], float], Optimizer]
Apply = Callable[[Optimizer, float, int], Optimizer]

CASES: dict[str, tuple[reference.Method, float, Make]] = {
    "sgdm": (
        reference.sgdm,
        0.01,
        lambda p, wd: torch.optim.SGD(p, lr=0.01, momentum=0.9, weight_decay=wd),
    ),
    "rmsprop": (
        reference.rmsprop,
        0.01,
        lambda p, wd: torch.optim.RMSprop(p, lr=0.01, weight_decay=wd),
    ),
    "adam": (reference.adam, 0.01, lambda p, wd: torch.optim.Adam(p, lr=0.01, weight_decay=wd)),
    "amsgrad": (
        reference.amsgrad,
        0.01,
        lambda p, wd: torch.optim.Adam(p, lr=0.01, weight_decay=wd, amsgrad=True),
    ),
    "radam": (reference.radam, 0.03, lambda p, wd: torch.optim.RAdam(p, lr=0.03, weight_decay=wd)),
}


def starts(dtype: torch.dtype) -> list[Tensor]:
    draws = torch.Generator().manual_seed(2)
    return [torch.randn(shape, generator=draws, dtype=torch.float64).to(dtype) for shape in SHAPES]


def gradients(index: int, dtype: torch.dtype) -> Callable[[Tensor], Tensor]:
    """Of a bowl seen through noise that depends on the step alone."""
    draws = torch.Generator().manual_seed(3 + index)
    noise = torch.randn((STEPS, *SHAPES[index]), generator=draws, dtype=torch.float64).to(dtype)
    steps = iter(noise)
    return lambda weights: 0.3 * weights + next(steps)


def by_the_letter(method: reference.Method, alpha: float, wd: float, dtype: torch.dtype) -> Any:
    """The weights of each tensor after each step."""
    runs = []
    for index, weights in enumerate(starts(dtype)):

        def mask(t: int, place: int = POSITIONS[index], like: Tensor = weights) -> Tensor:
            return keep_mask(SEED, t, like.numel(), KEEP_PROB, offset=place).view(like.shape)

        run = reference.algorithm_1(weights, gradients(index, dtype), method, alpha, mask, wd)
        runs.append(list(islice(run, STEPS)))
    return runs


def by_torch(make: Make, wd: float, dtype: torch.dtype, apply: Apply) -> Any:
    params = [start.requires_grad_() for start in starts(dtype)]
    optimizer = apply(make(params, wd), KEEP_PROB, SEED)
    noise = [gradients(index, dtype) for index in range(len(params))]
    runs: list[list[Tensor]] = [[] for _ in params]
    for _ in range(STEPS):
        for param, gradient in zip(params, noise, strict=True):
            param.grad = gradient(param.detach())
        optimizer.step()
        for param, run in zip(params, runs, strict=True):
            run.append(param.detach().clone())
    return runs


@pytest.mark.parametrize("weight_decay", [0.0, 0.05])
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 2e-5)], ids=["f64", "f32"]
)
@pytest.mark.parametrize("name", CASES)
def test_the_paper_s_letters_equal_torch_over_100_steps(
    name: str, dtype: torch.dtype, tolerance: float, weight_decay: float
) -> None:
    # What it catches is shown in test_mutants.
    law(name, dtype, tolerance, weight_decay, learning_rate_dropout)


def law(name: str, dtype: torch.dtype, tolerance: float, weight_decay: float, apply: Apply) -> None:
    method, alpha, make = CASES[name]
    slow = by_the_letter(method, alpha, weight_decay, dtype)
    fast = by_torch(make, weight_decay, dtype, apply)
    for ours, theirs in zip(slow, fast, strict=True):
        for step in range(STEPS):
            torch.testing.assert_close(ours[step], theirs[step], rtol=tolerance, atol=tolerance)
