"""ResNet-34 for 32 × 32 images: torchvision's, with a 3 × 3 stem of stride 1 and no max-pool."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, ResNet


def resnet34(
    image_shape: tuple[int, int, int], classes: int, dropout: Callable[[], nn.Module] | None
) -> nn.Module:
    """For CIFAR-10: 21,282,122 parameters.

    Dropout layers, if any, are where the authors' code has them: after the stem's ReLU, after
    each block's first ReLU, after its second batch-norm, and on its shortcut.
    """
    block = _with_dropout(dropout) if dropout else BasicBlock
    model = ResNet(block, [3, 4, 6, 3], num_classes=classes)
    model.conv1 = nn.Conv2d(image_shape[0], 64, 3, padding=1, bias=False)
    nn.init.kaiming_normal_(model.conv1.weight, mode="fan_out", nonlinearity="relu")
    model.maxpool = nn.Identity()
    if dropout:
        model.relu = nn.Sequential(model.relu, dropout())
    return model  # type: ignore[no-any-return]


def _with_dropout(dropout: Callable[[], nn.Module]) -> type[BasicBlock]:
    class DropoutBlock(BasicBlock):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.dropout1, self.dropout2, self.dropout_shortcut = dropout(), dropout(), dropout()

        def forward(self, x: Tensor) -> Tensor:
            shortcut = self.dropout_shortcut(x if self.downsample is None else self.downsample(x))
            out = self.dropout1(self.relu(self.bn1(self.conv1(x))))
            out = self.dropout2(self.bn2(self.conv2(out)))
            return self.relu(out + shortcut)  # type: ignore[no-any-return]

    return DropoutBlock
