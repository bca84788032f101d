"""From a model's name and its data's shape to a network with its initial weights."""

from collections.abc import Callable

import torch
from torch import nn

from lrd_core.models.densenet import densenet121
from lrd_core.models.fcnet import fcnet
from lrd_core.models.resnet import resnet34
from lrd_core.seeds import derive

Dropout = Callable[[], nn.Module]
"""Makes one dropout layer; called once for each place that has one."""

_BUILDERS: dict[str, Callable[[tuple[int, int, int], int, Dropout | None], nn.Module]] = {
    "fcnet": fcnet,
    "resnet34": resnet34,
    "densenet121": densenet121,
}


def build_model(
    name: str,
    image_shape: tuple[int, int, int],
    classes: int,
    *,
    seed: int,
    dropout: Dropout | None = None,
) -> nn.Module:
    """The network `name`, with initial weights that are a function of `seed` alone.

    Args:
        name: `fcnet`, `resnet34` or `densenet121`.
        image_shape: (channels, height, width) of one image.
        classes: how many logits it gives.
        seed: the trial's seed.
        dropout: makes the layers of standard dropout (SD); None for a network without.
    """
    with torch.random.fork_rng():
        torch.manual_seed(derive(seed, "weights"))
        return _BUILDERS[name](image_shape, classes, dropout)
