"""Kernels: the mask, and a whole step with it, in one pass over memory.

On a CPU they are C++ (`native`), built once by a compiler of this machine; on a GPU they are
torch.compile's (`compiled`). Both change parameters and moments in place, and give the same bits of
mask as `lrd_core.optim.mask`.
"""

import functools
from collections.abc import Iterable, Iterator
from itertools import groupby
from types import ModuleType
from typing import TypeVar

import torch

from lrd_core.optim.kernels import compiled, native
from lrd_core.optim.kernels.moves import Masked, Move, Scalars, fits

__all__ = ["Masked", "Move", "Scalars", "cannot_run", "fits", "restore", "step"]

T = TypeVar("T", Move, Masked)


def step(rule: str, moves: Iterable[Move]) -> None:
    """Algorithm 1, by the rule `sgdm`, `rmsprop`, `adam`, `amsgrad` or `radam`."""
    for kernels, here in _by_device(moves):
        kernels.step(rule, here)


def restore(tensors: Iterable[Masked]) -> None:
    """Give each element that is dropped its old bits."""
    for kernels, here in _by_device(tensors):
        kernels.restore(here)


@functools.cache
def cannot_run(device: torch.device) -> str | None:
    """None, or in words why there are no kernels for `device`, e.g. for want of a compiler.

    Who asks first waits for the compiler.
    """
    try:
        _kernels_of(device).prepare(device)
    except Exception as error:  # there are many ways of having no compiler
        return str(error).strip().partition("\n")[0] or type(error).__name__
    return None


def _kernels_of(device: torch.device) -> ModuleType:
    return native if device.type == "cpu" else compiled


def _by_device(parts: Iterable[T]) -> Iterator[tuple[ModuleType, list[T]]]:
    """One after the other: positions stand in each part, so that no order is to be kept."""
    ordered = sorted(parts, key=lambda part: str(part.tensor.device))
    for _, here in groupby(ordered, key=lambda part: part.tensor.device):
        parts_here = list(here)
        yield _kernels_of(parts_here[0].tensor.device), parts_here
