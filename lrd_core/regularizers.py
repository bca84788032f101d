"""The regularizers that the paper compares with: SD, NL, NG and DG (sections 4.5 and 4.6).

Each draws from its own stream, seeded by the trial: switching one on changes no other.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lrd_core.configuration import DG, NG
from lrd_core.errors import PluginError
from lrd_core.optim import build_optimizer
from lrd_core.optim.copies import keep_in_copies
from lrd_core.optim.mask import Draw, keep_mask, mixed
from lrd_core.optim.restore import erase
from lrd_core.optim.steps import (
    Arguments,
    is_inner_step,
    is_skipped,
    refuse_sparse,
    with_gradients,
)
from lrd_core.seeds import derive
from lrd_core.spec import TrialSpec

# Streams of `mixed`; learning-rate dropout has stream 0.
_DG_STREAM, _SD_STREAM, _NG_STREAM = 1, 2, 3
_U63 = (1 << 63) - 1


class StandardDropout(nn.Module):
    """SD: keeps each hidden unit with `keep_prob` while training and scales it by 1/keep_prob.

    The mask is a function of (seed, count of training passes, position); `state_dict` holds the
    count.
    """

    passes: Tensor

    def __init__(self, keep_prob: float, seed: int) -> None:
        super().__init__()
        if not 0.0 < keep_prob <= 1.0:
            raise ValueError(f"keep_prob must be above 0 and at most 1, got {keep_prob}")
        self.keep_prob, self.seed = keep_prob, seed
        self.register_buffer("passes", torch.zeros((), dtype=torch.int64))

    def forward(self, x: Tensor) -> Tensor:
        """`x` of any shape.

        Raises:
            PluginError: a backward pass calls it again, for a mask that was another then.
        """
        if not self.training or self.keep_prob == 1:
            return x
        # Which `torch.compile` cannot trace: in what it compiles, nobody looks.
        if not torch.compiler.is_compiling() and torch._C._current_graph_task_id() != -1:
            raise PluginError(
                "a layer of SD is computed again in the backward pass, as torch.utils.checkpoint "
                "does, and would drop other units there: leave it out of what is checkpointed"
            )
        self.passes += 1
        # On a GPU the count is never read: reading waits for the GPU, and rules out a CUDA graph.
        passes = int(self.passes) if x.device.type == "cpu" else self.passes
        kept = keep_mask(
            self.seed, passes, x.numel(), self.keep_prob, stream=_SD_STREAM, device=x.device
        )
        # As numbers: multiplying by booleans takes ten times as long on a CPU.
        return x * kept.to(x.dtype).div_(self.keep_prob).view(x.shape)


def noisy_labels(labels: Tensor, num_classes: int, prob: float, seed: int) -> Tensor:
    """NL: replace each of the `(n,)` labels, with probability `prob`, by another drawn uniformly.

    Raises:
        ValueError: there is no other label.
    """
    if num_classes < 2:
        raise ValueError(f"labels of {num_classes} class cannot be replaced by another one")
    draws = torch.Generator().manual_seed(seed & _U63)
    replaced = torch.rand(labels.shape, generator=draws) < prob
    shift = torch.randint(1, num_classes, labels.shape, generator=draws)
    return torch.where(replaced, (labels + shift) % num_classes, labels)


def gradient_noise(
    optimizer: Optimizer, eta: float = 0.1, gamma: float = 0.55, seed: int = 0
) -> None:
    """NG: before step t = 1, 2, …, add N(0, eta / (1 + t)^gamma) to every gradient (the paper's
    [24]). Copies and pickles of the optimizer do so too.

    `optimizer.step()` then raises RuntimeError for a sparse gradient.
    """

    def add(optimizer: Optimizer, step: int) -> None:
        std = (eta / (1 + step) ** gamma) ** 0.5
        scale = getattr(optimizer, "grad_scale", None)  # a fused kernel will divide by it
        generators: dict[torch.device, torch.Generator] = {}
        for parameter in _parameters(optimizer):
            if parameter.grad is None:
                continue
            device = parameter.device
            if device not in generators:
                word = mixed(seed, step, _NG_STREAM) & _U63
                generators[device] = torch.Generator(device).manual_seed(word)
            # Drawn for the shape alone, so that the layout in memory does not matter.
            noise = torch.randn(
                parameter.shape, generator=generators[device], device=device, dtype=parameter.dtype
            )
            parameter.grad.add_(noise.mul_(std) if scale is None else noise.mul_(std * scale))

    _before_each_step(optimizer, "ng_step", add)
    keep_in_copies(optimizer, gradient_noise, eta, gamma, seed)


def gradient_dropout(optimizer: Optimizer, keep_prob: float = 0.5, seed: int = 0) -> None:
    """DG: before each step, keep each element of the gradient with `keep_prob`; no rescaling.
    Copies and pickles of the optimizer do so too.

    `optimizer.step()` then raises RuntimeError for a sparse gradient.

    Raises:
        ValueError: `keep_prob` is not within 0 to 1.
    """
    Draw.of(seed, 1, keep_prob)  # raises if keep_prob is not a probability

    def drop(optimizer: Optimizer, step: int) -> None:
        gradients, position = [], 0
        for parameter in _parameters(optimizer):
            if parameter.grad is not None:
                gradients.append((position, (parameter.grad,)))
            position += parameter.numel()
        erase(gradients, Draw.of(seed, step, keep_prob, _DG_STREAM))

    _before_each_step(optimizer, "dg_step", drop)
    keep_in_copies(optimizer, gradient_dropout, keep_prob, seed)


def optimizer_of(
    spec: TrialSpec, parameters: Iterable[nn.Parameter], *, compile: bool = False
) -> Optimizer:
    """The trial's optimizer with learning-rate dropout, DG and NG, all seeded by the trial.

    `compile`: as for `build_optimizer`.
    """
    seed = derive(spec.seed, "learning rate dropout")
    optimizer = build_optimizer(spec.optimizer, parameters, seed=seed, compile=compile)
    apply_gradient_regularizers(
        optimizer, spec.regularizers, derive(spec.seed, "gradient regularizers")
    )
    return optimizer


def apply_gradient_regularizers(
    optimizer: Optimizer, regularizers: Sequence[Any], seed: int
) -> None:
    """Install DG, then NG, if the specs ask for them: noise is added to the dropped gradient."""
    for spec in regularizers:
        if isinstance(spec, DG):
            gradient_dropout(optimizer, spec.keep_prob, seed)
    for spec in regularizers:
        if isinstance(spec, NG):
            gradient_noise(optimizer, spec.eta, spec.gamma, seed)


def _before_each_step(
    optimizer: Optimizer, count: str, change: Callable[[Optimizer, int], None]
) -> None:
    """Call `change` with the optimizer and the step's number before each step.

    The number is kept in the parameter groups under the name `count`, so that it is saved.
    """

    def before(optimizer: Optimizer, args: Any, kwargs: Any) -> Arguments | None:
        if is_inner_step(optimizer) or is_skipped(optimizer):
            return None
        refuse_sparse(optimizer.param_groups)
        for group in optimizer.param_groups:
            group[count] = group.get(count, 0) + 1
        step = int(optimizer.param_groups[0][count])

        def act() -> None:
            with torch.no_grad():
                change(optimizer, step)

        return with_gradients(optimizer, args, kwargs, act)

    optimizer.register_step_pre_hook(before)


def _parameters(optimizer: Optimizer) -> list[Tensor]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]
