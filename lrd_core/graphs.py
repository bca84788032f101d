"""CUDA graphs: what every step launches in the same way, kernel by kernel, is launched as one.

A host takes longer to launch the hundreds of kernels of a step than a fast GPU to run them. The
kernels stay the same, and so do the numbers, bit for bit (docs/decisions/training.md).
"""

import functools
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

EAGER = 3
"""Calls before the one that is captured: libraries are loaded and choose their algorithms then."""

Replay = Callable[[], None]


def captured(function: Callable[[], None], device: torch.device) -> Replay:
    """`function` as a CUDA graph. It is not run, but launched by each call of what is returned."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.device(device), torch.cuda.graph(graph, stream=_stream(device)):
        function()
    return graph.replay


@functools.cache
def _stream(device: torch.device) -> torch.cuda.Stream:
    """Torch's own for captures is one a process, of its first device: if it is kept, it has others
    later."""
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


class Graphed:
    """`function`, which makes the gradients of a batch, as one graph from its fourth call on.

    All that it does may depend on the values of tensors alone: what the host counts, draws or
    decides in it would be done once and never again. It begins by setting gradients to None. A
    batch of another shape than the first one, such as an epoch's last, is computed as before; so is
    all, where the GPU's memory does not hold the graph, which keeps what a step needs for itself.
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
        """Compute the gradients, and whatever else `function` writes to tensors."""
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
                # A batch that was not replayed has left gradients of its own.
                for parameter, gradient in zip(self._parameters, self._gradients, strict=True):
                    parameter.grad = gradient
                return
        self._function(*inputs)

    def _record(self, inputs: tuple[Tensor, ...]) -> None:
        own = [each.clone() for each in inputs]
        try:
            self._replay = self._capture(lambda: self._function(*own), own[0].device)
        except RuntimeError as error:  # torch's allocator has a class of its own, CUDA another
            if "out of memory" not in str(error):
                raise
            self._fits = False
        else:
            self._inputs = own
            self._gradients = [parameter.grad for parameter in self._parameters]
