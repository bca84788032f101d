"""Data of a figure of descents: a surface on a grid, and the paths over it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

import numpy as np

from lrd_core.surfaces import SURFACES

Polyline = Sequence[Sequence[float]]
"""The points (x, y) that an optimizer visits, the start first."""


@dataclass(frozen=True)
class Grid:
    """A function of two variables on a grid, and its minima."""

    x: Sequence[float]
    y: Sequence[float]
    z: Sequence[Sequence[float]]
    """z[i][j] is the value at (x[j], y[i])."""
    optima: Sequence[tuple[float, float]] = ()
    name: str = ""
    """The surface's name, if it is one of the paper's."""

    def levels(self) -> list[float]:
        """The heights of its contours, with the same number of grid points between each two.

        This way, narrow valleys remain visible next to steep walls.

        Raises:
            ValueError: the grid's sizes do not fit, or it has no finite value.
        """
        z = np.asarray(self.z, dtype=np.float64)
        if z.shape != (len(self.y), len(self.x)):
            raise ValueError(f"z is {z.shape}, but y and x have {len(self.y)}, {len(self.x)}")
        if not np.isfinite(z).any():
            raise ValueError("the surface has no finite value")
        found = np.unique(np.quantile(z[np.isfinite(z)], np.linspace(0.02, 0.98, 15)))
        return [float(level) for level in found]


def grid_of(name: str, points: int = 120) -> Grid:
    """One of the paper's surfaces on a grid of `points` × `points`.

    Raises:
        KeyError: the paper has no surface of this name.
    """
    surface = SURFACES[name]
    x, y = (np.linspace(a, b, points) for a, b in zip(surface.low, surface.high, strict=True))
    z = surface.height(*np.meshgrid(x, y))
    return Grid(x.tolist(), y.tolist(), z.tolist(), surface.optima, name)


def while_finite(path: Polyline) -> tuple[list[float], list[float]]:
    """The x and y of a path, up to the first point that is not finite."""
    points = list(takewhile(lambda point: all(map(math.isfinite, point)), path))
    return [point[0] for point in points], [point[1] for point in points]
