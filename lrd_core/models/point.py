"""The model of a descent: points in the plane, each a starting point on its way down."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Points(nn.Module):
    """`(n, 2)` float32 coordinates, learned.

    One parameter holds all points: an element-wise optimizer moves each as if it were alone, and
    learning-rate dropout draws for each element independently.
    """

    def __init__(self, starts: Sequence[tuple[float, float]]) -> None:
        super().__init__()
        self.at = nn.Parameter(torch.tensor(starts, dtype=torch.float32))

    def forward(self) -> tuple[Tensor, Tensor]:
        """x and y of all points, each `(n,)`."""
        x, y = self.at.unbind(1)
        return x, y
