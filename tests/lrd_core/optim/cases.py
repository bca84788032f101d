"""The catalogue: every optimizer that the laws of learning-rate dropout are held against.

As torch's own OptimizerInfo: one list, so that a new optimizer is one line and meets every law.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.optim import Optimizer


class Lion(Optimizer):
    """Another package's optimizer: the sign of a momentum, decoupled decay, not of torch's make."""

    def __init__(self, params: Any, lr: float = 1e-3, weight_decay: float = 0.0) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for param in group["params"]:
                if param.grad is None:
                    continue
                state = self.state[param]
                if not state:
                    state["momentum"] = torch.zeros_like(param)
                update = state["momentum"].lerp(param.grad, 0.1).sign_()
                param.mul_(1 - group["lr"] * group["weight_decay"])
                param.add_(update, alpha=-group["lr"])
                state["momentum"].lerp_(param.grad, 0.01)
        return loss


@dataclass(frozen=True)
class Case:
    """One optimizer with its arguments."""

    cls: type[Optimizer]
    options: dict[str, Any]

    def make(self, params: list[Tensor]) -> Optimizer:
        return self.cls(params, **self.options)

    def __str__(self) -> str:
        words = [k if v is True else f"{k}={v}" for k, v in self.options.items() if k != "lr"]
        return " ".join([self.cls.__name__, *words])


_FUSED = (torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW, torch.optim.Adagrad)
_BASES: list[tuple[type[Optimizer], dict[str, Any]]] = [
    # the paper's five
    (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9}),
    (torch.optim.RMSprop, {"lr": 0.01}),
    (torch.optim.Adam, {"lr": 0.01}),
    (torch.optim.Adam, {"lr": 0.01, "amsgrad": True}),
    (torch.optim.RAdam, {"lr": 0.03}),
    # others
    (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    (torch.optim.RMSprop, {"lr": 0.01, "momentum": 0.9, "centered": True}),
    (torch.optim.AdamW, {"lr": 0.01}),
    (torch.optim.Adagrad, {"lr": 0.05}),
    (torch.optim.Adadelta, {"lr": 1.0}),
    (torch.optim.NAdam, {"lr": 0.01}),
    (torch.optim.Adamax, {"lr": 0.01}),
    (torch.optim.ASGD, {"lr": 0.05}),
    (torch.optim.Rprop, {"lr": 0.01}),
    (torch.optim.Adafactor, {"lr": 0.05}),
    (Lion, {"lr": 0.01}),
]


def _catalogue() -> Iterator[Case]:
    for cls, options in _BASES:
        decays = [{}] if cls is torch.optim.Rprop else [{}, {"weight_decay": 0.1}]
        for decay in decays:
            yield Case(cls, options | decay)
        if cls is not Lion:
            yield Case(cls, options | decays[-1] | {"foreach": True})
        if cls in _FUSED:
            yield Case(cls, options | decays[-1] | {"fused": True})


CASES = list(_catalogue())
every_optimizer = pytest.mark.parametrize("case", CASES, ids=str)

SIZES = (200, 7, 72)


def parameters(dtype: torch.dtype = torch.float32) -> list[Tensor]:
    """A matrix, a vector and a kernel in channels-last layout."""
    draws = torch.Generator().manual_seed(1)
    shapes = ((40, 5), (7,), (2, 9, 2, 2))
    params = [torch.randn(shape, generator=draws, dtype=torch.float64) for shape in shapes]
    params[2] = params[2].to(memory_format=torch.channels_last)
    return [param.to(dtype).requires_grad_() for param in params]


def set_gradients(params: list[Tensor], step: int) -> None:
    """Gradients that depend on the step alone."""
    draws = torch.Generator().manual_seed(1000 + step)
    for param in params:
        noise = torch.randn(param.shape, generator=draws, dtype=torch.float64)
        param.grad = noise.to(param.dtype)


def steps(optimizer: Optimizer, params: list[Tensor], first: int, last: int) -> None:
    """The steps `first` to `last`, both included."""
    for step in range(first, last + 1):
        set_gradients(params, step)
        optimizer.step()


def values(params: list[Tensor]) -> list[Tensor]:
    return [param.detach().clone() for param in params]


def equal(ours: list[Tensor], theirs: list[Tensor]) -> bool:
    """Whether all bits are the same."""
    return all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
