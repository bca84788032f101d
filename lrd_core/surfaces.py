"""The two surfaces in the plane that the paper descends on: eq. 3 (Figure 4) and Figure 1.

Plain arithmetic, so that the same function takes floats, NumPy arrays and tensors. Free of torch.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Point = tuple[float, float]


@dataclass(frozen=True)
class Surface:
    """A function of (x, y) to be minimised, and the points to start from."""

    height: Callable[[Any, Any], Any]
    low: Point
    high: Point
    """Corners of the region that figures show."""
    starts: tuple[Point, ...]
    """Where the descents of a trial begin."""
    optima: tuple[Point, ...]
    """The points to reach; one of them is enough."""
    drawn: tuple[Point, ...]
    """Where the descents of a figure begin: few, and none chosen for its outcome."""
    radius: float = 0.1
    """The distance within which an optimum counts as reached; the paper gives optima to two
    decimals."""


def _toy(x: Any, y: Any) -> Any:
    """Eq. 3, with optimum (−0.74, 1.40) and a worse local minimum at (−1.50, −0.33)."""
    return (
        (1.5 - x**2 + x * y) ** 2 + (2.25 - x**2 + x * y**2) ** 2 + (2.625 - x**2 + x * y**3) ** 2
    )


def _saddle(x: Any, y: Any) -> Any:
    """A saddle at (0, 0) between minima at (1, −1) and (−1, 1).

    The paper draws Figure 1 without a formula. Here the way into the saddle is the diagonal x = y,
    where both parts of the gradient are equal, so that plain descent never leaves it.
    """
    return x * y + (x**4 + y**4) / 4


def _grid(low: Point, high: Point, step: float) -> tuple[Point, ...]:
    """All points of a square grid, both ends included."""
    columns, rows = (round((b - a) / step) + 1 for a, b in zip(low, high, strict=True))
    return tuple(
        (low[0] + i * step, low[1] + j * step) for i in range(columns) for j in range(rows)
    )


SURFACES: dict[str, Surface] = {
    # 41 × 51 starts over the paper's region, x in [−4, 0], y in [−2, 3].
    "toy": Surface(
        _toy,
        (-4.0, -2.0),
        (0.0, 3.0),
        _grid((-4.0, -2.0), (0.0, 3.0), 0.1),
        ((-0.74, 1.40),),
        tuple((x, y) for x in (-3.5, -2.0, -0.5) for y in (-1.5, 0.5, 2.5)),
    ),
    # 200 starts on the diagonal, the saddle itself left out.
    "saddle": Surface(
        _saddle,
        (-2.0, -2.0),
        (2.0, 2.0),
        tuple((i / 50, i / 50) for i in range(-100, 101) if i),
        ((1.0, -1.0), (-1.0, 1.0)),
        ((-1.8, -1.8), (1.2, 1.2)),
    ),
}
