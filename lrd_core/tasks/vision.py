"""Shared by the tasks on images: precision, what networks must return, batches of files."""

from collections.abc import Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

from lrd_core.datasets.batches import spans
from lrd_core.errors import PluginError
from lrd_core.seeds import generator
from lrd_core.spec import TrialSpec

T = TypeVar("T")


def shuffled(examples: Sequence[T], spec: TrialSpec, epoch: int) -> list[list[T]]:
    """All examples once, in the order of this epoch, in batches."""
    draws = generator(spec.seed, "order", epoch)
    order = torch.randperm(len(examples), generator=draws).tolist()
    return in_batches([examples[place] for place in order], spec.batch_size)


def in_batches(examples: Sequence[T], size: int) -> list[list[T]]:
    """Batches in order, as `spans` has them."""
    return [list(examples[here]) for here in spans(len(examples), size)]


def reading_threads(spec: TrialSpec) -> int:
    """The number of threads that read files: the trial's CPUs."""
    return max(1, int(spec.resources.num_cpus))


def autocast(spec: TrialSpec, device: torch.device) -> torch.autocast:
    """A context with the precision that the spec asks for."""
    return torch.autocast(device.type, torch.bfloat16, enabled=spec.execution.precision == "bf16")


def as_logits(output: Any, shape: tuple[int, ...], model: str) -> Tensor:
    """A network's output for a batch, as float32.

    Raises:
        PluginError: it is no tensor of this shape, whose second dimension is the classes. On a GPU,
            a label beyond its classes would end CUDA for the whole process.
    """
    if not isinstance(output, Tensor) or output.shape != shape:
        raise PluginError(
            f"model {model} returned {described(output)}; it must return the logits of a batch, a "
            f"tensor of shape {shape}"
        )
    return output.float()


def described(output: Any) -> str:
    """A network's output in a few words, e.g. `shape (8, 10)`, `tuple`."""
    if isinstance(output, Tensor):
        return f"shape {tuple(output.shape)}"
    return type(output).__name__
