"""The input of a kernel: each tensor's part in a step.

These are tuples because each step makes one per tensor, and a frozen dataclass takes 2 µs to make.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor
from torch.utils._python_dispatch import is_traceable_wrapper_subclass

from lrd_core.optim.mask import Draw

T = TypeVar("T")

RULES = ("sgdm", "rmsprop", "adam", "amsgrad", "radam")
"""The kernels' rules, in the order of `STEPS` in native.cpp."""


class Scalars(NamedTuple):
    """The numbers of a step. Each rule uses some of them; the kernels rely on their order."""

    rate: float
    decay: float
    """Weight decay, coupled."""
    first: float = 0.0
    """The decay of φ; for SGDM, the momentum."""
    first_rest: float = 0.0
    """1 minus it."""
    second: float = 0.0
    """The decay of ψ."""
    second_rest: float = 0.0
    """1 minus it."""
    eps: float = 0.0
    unbias_first: float = 1.0
    unbias_second: float = 1.0
    """Adam's two bias corrections, as factors of m and √v."""
    rectifier: float = 0.0
    """RAdam's; 0 while it does not apply yet."""


class Move(NamedTuple):
    """A parameter of float32 or float64 that `fits`, and what changes it."""

    tensor: Tensor
    gradient: Tensor
    """In any layout."""
    moments: list[Tensor]
    """In the parameter's layout."""
    scalars: Scalars
    draw: Draw
    position: int
    """The first element's position in the mask."""


class Masked(NamedTuple):
    """A tensor after a step, of 1 to 8 bytes per element, that `fits`."""

    tensor: Tensor
    old: Tensor
    """Before the step, in the same layout."""
    draw: Draw
    position: int
    """The first element's position in the mask."""


def fits(tensor: Tensor) -> bool:
    """Whether the kernels know the tensor's layout: its own memory, contiguous or channels-last."""
    if is_traceable_wrapper_subclass(tensor):
        return False  # its data pointer is 0
    return tensor.is_contiguous() or (
        tensor.dim() == 4 and tensor.is_contiguous(memory_format=torch.channels_last)
    )


def shape_in_memory(tensor: Tensor) -> tuple[int, int, int]:
    """`(outer, places, channels)` in the order of memory; `(1, 1, elements)` where contiguous."""
    if tensor.is_contiguous():
        return 1, 1, tensor.numel()
    outer, channels, height, width = tensor.shape
    return outer, height * width, channels


def laid_out_like(tensor: Tensor, like: Tensor) -> Tensor:
    """`tensor`, or a copy of it in the layout of `like`."""
    if tensor.stride() == like.stride():
        return tensor
    memory_format = torch.contiguous_format if like.is_contiguous() else torch.channels_last
    return tensor.contiguous(memory_format=memory_format)


def apart(parts: Iterable[T], kind: Callable[[T], Any]) -> Iterable[tuple[Any, list[T]]]:
    """The parts grouped by kind."""
    kinds: dict[Any, list[T]] = {}
    for part in parts:
        kinds.setdefault(kind(part), []).append(part)
    return kinds.items()
