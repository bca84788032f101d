"""The regularizers that the paper compares with: SD, NL, NG and DG (sections 4.5 and 4.6).

Each draws from a stream of its own, seeded by the trial: switching one on changes no other.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lrd_core.configuration import DG, NG
from lrd_core.optim.mask import keep_mask

_DG_STREAM, _SD_STREAM = 1, 2
_U63 = (1 << 63) - 1


class StandardDropout(nn.Module):
    """SD: keeps each hidden unit with `keep_prob` while training and scales it by 1/keep_prob.

    The mask is a function of (seed, count of training passes, position); the count travels in
    `state_dict`.
    """

    passes: Tensor

    def __init__(self, keep_prob: float, seed: int) -> None:
        super().__init__()
        self.keep_prob, self.seed = keep_prob, seed
        self.register_buffer("passes", torch.zeros((), dtype=torch.int64, device="cpu"))

    def forward(self, x: Tensor) -> Tensor:
        """`x` of any shape."""
        if not self.training or self.keep_prob == 1:
            return x
        self.passes += 1
        kept = keep_mask(
            self.seed, int(self.passes), x.numel(), self.keep_prob,
            stream=_SD_STREAM, device=x.device,
        )  # fmt: skip
        return x * kept.view(x.shape) / self.keep_prob


def noisy_labels(labels: Tensor, num_classes: int, prob: float, seed: int) -> Tensor:
    """NL: each of the `(n,)` labels is replaced, with `prob`, by another one drawn uniformly."""
    draws = torch.Generator().manual_seed(seed & _U63)
    replaced = torch.rand(labels.shape, generator=draws) < prob
    shift = torch.randint(1, num_classes, labels.shape, generator=draws)
    return torch.where(replaced, (labels + shift) % num_classes, labels)


def gradient_noise(
    optimizer: Optimizer, eta: float = 0.1, gamma: float = 0.55, seed: int = 0
) -> None:
    """NG: before step t, adds N(0, eta / (1 + t)^gamma) to every gradient (the paper's [24])."""

    @torch.no_grad()
    def before(optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        step = _count(optimizer, "ng_step")
        std = (eta / (1 + step) ** gamma) ** 0.5
        generators: dict[torch.device, torch.Generator] = {}
        for parameter in _with_gradient(optimizer):
            device = parameter.device
            if device not in generators:
                word = (seed * 0x9E3779B97F4A7C15 + step) & _U63
                generators[device] = torch.Generator(device).manual_seed(word)
            noise = torch.empty_like(parameter).normal_(0, std, generator=generators[device])
            parameter.grad.add_(noise)  # type: ignore[union-attr]

    optimizer.register_step_pre_hook(before)


def gradient_dropout(optimizer: Optimizer, keep_prob: float = 0.5, seed: int = 0) -> None:
    """DG: before each step, keeps each element of the gradient with `keep_prob`; no rescaling."""

    @torch.no_grad()
    def before(optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        step, offset = _count(optimizer, "dg_step"), 0
        for parameter in _with_gradient(optimizer):
            count, device = parameter.numel(), parameter.device
            kept = keep_mask(
                seed, step, count, keep_prob, offset=offset, stream=_DG_STREAM, device=device
            )
            parameter.grad.mul_(kept.view(parameter.shape))  # type: ignore[union-attr]
            offset += count

    optimizer.register_step_pre_hook(before)


def apply_gradient_regularizers(
    optimizer: Optimizer, regularizers: Sequence[Any], seed: int
) -> None:
    """Install DG, then NG, where the specs ask for them: noise falls on the dropped gradient."""
    for spec in regularizers:
        if isinstance(spec, DG):
            gradient_dropout(optimizer, spec.keep_prob, seed)
    for spec in regularizers:
        if isinstance(spec, NG):
            gradient_noise(optimizer, spec.eta, spec.gamma, seed)


def _count(optimizer: Optimizer, name: str) -> int:
    """Steps so far, this one included; kept in the parameter groups, so that it is saved."""
    for group in optimizer.param_groups:
        group[name] = group.get(name, 0) + 1
    return int(optimizer.param_groups[0][name])


def _with_gradient(optimizer: Optimizer) -> list[Tensor]:
    return [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
