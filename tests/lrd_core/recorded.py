"""What a CUDA graph does, on a CPU: the operations of one call, done again as they were.

A number that the host put into one of them stays as it was, a choice stays made, and a result goes
to the memory that it had. What gives the same numbers so gives them as a graph.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree
from torch.utils._python_dispatch import TorchDispatchMode

READING = (torch.ops.aten._local_scalar_dense, torch.ops.aten.nonzero, torch.ops.aten.equal)
"""A graph cannot be captured of these: the host would wait in it."""


class _Recorder(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.operations: list[tuple[Any, Any, Any, Any]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func._overloadpacket in READING:
            raise RuntimeError(f"{func} cannot be captured: the host waits for its result")
        results = func(*args, **(kwargs or {}))
        self.operations.append((func, args, kwargs or {}, results))
        return results


def recorded(function: Callable[[], None], device: torch.device) -> Callable[[], None]:
    """In place of `lrd_core.graphs.captured`; the first replay's work is done at once."""
    recorder, replays = _Recorder(), 0
    with recorder:
        function()

    @torch.no_grad()
    def replay() -> None:
        nonlocal replays
        replays += 1
        if replays == 1:
            return
        for func, args, kwargs, results in recorder.operations:
            again = func(*args, **kwargs)
            for ours, theirs in zip(*map(_pytree.tree_leaves, (results, again)), strict=True):
                if isinstance(ours, Tensor) and ours.data_ptr() != theirs.data_ptr():
                    ours.copy_(theirs)

    return replay
