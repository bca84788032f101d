"""Kernels: the mask, and a whole masked step, in one pass over memory.

On a CPU they are C++ (`native`), built once by this machine's compiler; on a GPU they are Triton's
(`gpu`). Both change parameters and moments in place, and make the same mask bits as
`lrd_core.optim.mask`.
"""

import functools
import importlib
from collections.abc import Iterable, Iterator
from types import ModuleType
from typing import TypeVar

import torch

from lrd_core.errors import first_line
from lrd_core.optim.kernels.moves import RULES, Masked, Move, Scalars, apart, fits

__all__ = ["RULES", "Masked", "Move", "Scalars", "cannot_run", "fits", "restore", "step"]

T = TypeVar("T", Move, Masked)


def step(rule: str, moves: Iterable[Move]) -> None:
    """Take a step of Algorithm 1 by the rule `sgdm`, `rmsprop`, `adam`, `amsgrad` or `radam`."""
    for kernels, here in _by_device(moves):
        kernels.step(rule, here)


def restore(tensors: Iterable[Masked]) -> None:
    """Restore the old bits of each dropped element."""
    for kernels, here in _by_device(tensors):
        kernels.restore(here)


@functools.cache
def cannot_run(device: torch.device) -> str | None:
    """Why there are no kernels for `device`, e.g. no compiler is installed; None if there are.

    The first caller waits for the compiler.
    """
    if device.type == "meta":
        return "its tensors have no memory; give the model some, by `to_empty` or by loading it"
    try:
        _kernels_of(device).prepare(device)
    except Exception as error:  # a missing compiler has many symptoms
        return first_line(error)
    return None


@functools.cache
def _kernels_of(device: torch.device) -> ModuleType:
    """The kernels' module, imported only when used: without a GPU there may be no Triton."""
    name = "native" if device.type == "cpu" else "gpu"
    return importlib.import_module(f"{__name__}.{name}")


def _by_device(parts: Iterable[T]) -> Iterator[tuple[ModuleType, list[T]]]:
    """The parts by device; each part holds its position, so their order does not matter."""
    for device, here in apart(parts, lambda part: part.tensor.device):
        yield _kernels_of(device), here
