"""FCNet: the paper's fully connected network with two hidden layers of 1,000 (section 4.1)."""

import math
from collections.abc import Callable

from torch import nn

HIDDEN = 1000


def fcnet(
    image_shape: tuple[int, int, int], classes: int, dropout: Callable[[], nn.Module] | None
) -> nn.Module:
    """in-1000-1000-classes with ReLU; for MNIST 1,796,010 parameters."""

    def hidden(inputs: int) -> list[nn.Module]:
        layers: list[nn.Module] = [nn.Linear(inputs, HIDDEN), nn.ReLU()]
        return [*layers, dropout()] if dropout else layers

    return nn.Sequential(
        nn.Flatten(),
        *hidden(math.prod(image_shape)),
        *hidden(HIDDEN),
        nn.Linear(HIDDEN, classes),
    )
