"""Builds a network with its initial weights from a model's name and the shape of its data."""

from collections.abc import Callable

from torch import nn

from lrd_core import plugins
from lrd_core.errors import PluginError
from lrd_core.models.densenet import densenet121
from lrd_core.models.fcnet import fcnet
from lrd_core.models.pspnet import pspnet
from lrd_core.models.resnet import resnet34
from lrd_core.models.ssd import ssd300
from lrd_core.seeds import derive, seeded

Dropout = Callable[[], nn.Module]
"""Makes one dropout layer; called once for each place that needs one."""

Builder = Callable[[tuple[int, int, int], int, Dropout | None], nn.Module]
"""(image shape, classes, dropout) -> network. An entry point of `lrd.models` is one too."""

_BUILDERS: dict[str, Builder] = {
    "fcnet": fcnet,
    "resnet34": resnet34,
    "densenet121": densenet121,
    "pspnet": lambda shape, classes, dropout: pspnet(classes),
    "ssd300": lambda shape, classes, dropout: ssd300(classes),
}
_PRETRAINED: dict[str, Callable[[int], nn.Module]] = {
    "pspnet": lambda classes: pspnet(classes, pretrained=True),
    "ssd300": lambda classes: ssd300(classes, pretrained=True),
}


def build_model(
    name: str,
    image_shape: tuple[int, int, int],
    classes: int,
    *,
    seed: int,
    dropout: Dropout | None = None,
    pretrained: bool = False,
) -> nn.Module:
    """The network `name`, with initial weights that depend only on `seed`.

    Args:
        name: one of this package's models, or an entry point of `lrd.models`.
        image_shape: (channels, height, width) of one image.
        classes: how many logits it returns.
        seed: the trial's seed.
        dropout: makes the layers of standard dropout (SD); None for a network without.
        pretrained: begin with torchvision's ImageNet weights of the backbone.

    Raises:
        PluginError: the model is a plugin's and not installed here, or not an `nn.Module`.
        DataNotFound: the pretrained weights are not here and cannot be downloaded.
    """
    with seeded(derive(seed, "weights")):
        if pretrained:
            return _PRETRAINED[name](classes)
        if name in _BUILDERS:
            return _BUILDERS[name](image_shape, classes, dropout)
        made = plugins.call("lrd.models", name, image_shape, classes, dropout)
    if not isinstance(made, nn.Module):
        kind = type(made).__name__
        raise PluginError(f"{name!r} of lrd.models returned a {kind}, not an nn.Module")
    return made
