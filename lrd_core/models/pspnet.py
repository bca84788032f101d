"""PSPNet (the paper's [39]) on torchvision's dilated ResNet-50, with its auxiliary head."""

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torchvision.models import ResNet50_Weights, resnet50
from torchvision.models._utils import IntermediateLayerGetter

from lrd_core.models.weights import fetch

BINS = (1, 2, 3, 6)
"""Sides of the pyramid's pooled grids."""
STRIDE = 8
"""Input pixels per feature, after dilation."""
DROPOUT = 0.1
"""Probability of dropping a channel before each classifier: PSPNet's own, in every arm."""


class PSPNet(nn.Module):
    """Pixel-wise logits; while training also those of the auxiliary head on the third stage.

    The stem is torchvision's 7 × 7 convolution; PSPNet's authors have three 3 × 3 ones.
    """

    def __init__(self, classes: int, weights: ResNet50_Weights | None = None) -> None:
        super().__init__()
        resnet = resnet50(weights=weights, replace_stride_with_dilation=[False, True, True])
        self.backbone = IntermediateLayerGetter(resnet, {"layer3": "middle", "layer4": "last"})
        self.pyramid = nn.ModuleList(
            nn.Sequential(
                nn.AdaptiveAvgPool2d(side),
                nn.Conv2d(2048, 2048 // len(BINS), 1, bias=False),
                nn.BatchNorm2d(2048 // len(BINS)),
                nn.ReLU(),
            )
            for side in BINS
        )
        self.head = _head(2 * 2048, 512, classes)
        self.auxiliary = _head(1024, 256, classes)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor] | Tensor:
        """`(n, 3, h, w)` -> `(n, classes, h, w)`, twice while training."""
        size = images.shape[2:]
        features = self.backbone(images)
        last = features["last"]  # (n, 2048, h/8, w/8)
        pooled = [_resized(level(last), last.shape[2:]) for level in self.pyramid]
        logits = _resized(self.head(torch.cat([last, *pooled], 1)), size)
        if not self.training:
            return logits
        return logits, _resized(self.auxiliary(features["middle"]), size)


def pspnet(classes: int, pretrained: bool = False) -> PSPNet:
    """PSPNet with fresh weights, or with a backbone trained on ImageNet."""
    if not pretrained:
        return PSPNet(classes)
    fetch(ResNet50_Weights.IMAGENET1K_V1)
    return PSPNet(classes, ResNet50_Weights.IMAGENET1K_V1)


def _head(inputs: int, hidden: int, classes: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, hidden, 3, padding=1, bias=False),
        nn.BatchNorm2d(hidden),
        nn.ReLU(),
        nn.Dropout2d(DROPOUT),
        nn.Conv2d(hidden, classes, 1),
    )


def _resized(features: Tensor, size: torch.Size) -> Tensor:
    # Corners aligned, as in the authors' code: a side of 8k + 1 pixels has k + 1 features.
    return F.interpolate(features, size, mode="bilinear", align_corners=True)
