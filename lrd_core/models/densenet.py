"""DenseNet-121 for 32 × 32 images: torchvision's, with a 3 × 3 stem of stride 1 and no max-pool."""

from collections.abc import Callable
from typing import Any

from torch import nn
from torchvision.models.densenet import DenseNet


def densenet121(
    image_shape: tuple[int, int, int], classes: int, dropout: Callable[[], nn.Module] | None
) -> nn.Module:
    """Growth rate 32, blocks of 6, 12, 24, 16; dropout, if any, ends each dense layer."""
    model: Any = DenseNet(32, (6, 12, 24, 16), 64, num_classes=classes)
    model.features.conv0 = nn.Conv2d(image_shape[0], 64, 3, padding=1, bias=False)
    nn.init.kaiming_normal_(model.features.conv0.weight)
    model.features.pool0 = nn.Identity()
    if dropout:
        for name, module in list(model.features.named_modules()):
            if name.endswith(".conv2"):
                parent = model.features.get_submodule(name.rpartition(".")[0])
                parent.conv2 = nn.Sequential(module, dropout())
    return model  # type: ignore[no-any-return]
