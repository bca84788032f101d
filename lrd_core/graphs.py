"""CUDA graphs: the kernels that every step launches in the same way, launched as one.

A host takes longer to launch a step's hundreds of kernels than a fast GPU takes to run them. The
kernels stay the same, and so do the numbers, bit for bit (docs/decisions/training.md).
"""

import functools
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

EAGER = 3
"""Calls before the captured one, in which libraries are loaded and choose their algorithms."""

Replay = Callable[[], None]


def captured(function: Callable[[], None], device: torch.device) -> Replay:
    """Capture `function` as a CUDA graph, without running it; calling the result launches it."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.device(device), torch.cuda.graph(graph, stream=_stream(device)):
        function()
    return graph.replay


@functools.cache
def _stream(device: torch.device) -> torch.cuda.Stream:
    """Torch shares one capture stream per process, bound to its first device; a kept process may
    get another device later."""
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


class Graphed:
    """`function`, which computes a batch's gradients, as one graph from its fourth call on.

    `function` may depend only on the values of tensors: whatever the host counts, draws or decides
    in it would happen once and never again. It must begin by setting gradients to None. A batch
    whose shape differs from the first one's, such as an epoch's last, is computed without the
    graph. So is every batch if the GPU's memory cannot hold the graph, which keeps a step's memory
    for itself.
    """

    def __init__(
        self,
        function: Callable[..., None],
        parameters: Iterable[nn.Parameter],
        capture: Callable[[Callable[[], None], torch.device], Replay] = captured,
    ) -> None:
        self._function = function
        self._parameters = list(parameters)
        self._capture = capture
        self._shapes: list[torch.Size] = []
        self._eager = EAGER
        self._replay: Replay | None = None
        self._fits = True

    def __call__(self, *inputs: Tensor) -> None:
        """Compute the gradients and everything else that `function` writes to tensors."""
        shapes = [each.shape for each in inputs]
        self._shapes = self._shapes or shapes
        if shapes == self._shapes and self._eager > 0:
            self._eager -= 1
        elif shapes == self._shapes and self._fits:
            if self._replay is None:
                self._record(inputs)
            if self._replay is not None:
                for ours, theirs in zip(self._inputs, inputs, strict=True):
                    ours.copy_(theirs)
                self._replay()
                # A batch computed without the graph has left other gradient tensors.
                for parameter, gradient in zip(self._parameters, self._gradients, strict=True):
                    parameter.grad = gradient
                return
        self._function(*inputs)

    def _record(self, inputs: tuple[Tensor, ...]) -> None:
        own = [each.clone() for each in inputs]
        try:
            self._replay = self._capture(lambda: self._function(*own), own[0].device)
        except RuntimeError as error:  # torch's allocator and CUDA raise different classes
            if "out of memory" not in str(error):
                raise
            self._fits = False
        else:
            self._inputs = own
            self._gradients = [parameter.grad for parameter in self._parameters]
