"""SSD300 (the paper's [20]) on VGG-16, as torchvision has it."""

from torch import nn
from torchvision.models import VGG16_Weights
from torchvision.models.detection import ssd300_vgg16

from lrd_core.models.weights import fetch

SIDE = 300
"""Side of the square input, in pixels."""


def ssd300(classes: int, pretrained: bool = False) -> nn.Module:
    """SSD300 with fresh weights, or with a VGG-16 trained on ImageNet, all of it trainable.

    While training, it takes images and boxes and returns losses; otherwise it returns detections.

    Args:
        classes: the background, class 0, included: 21 for VOC.
        pretrained: fetch torchvision's VGG-16 features.
    """
    weights = VGG16_Weights.IMAGENET1K_FEATURES if pretrained else None
    if weights is not None:
        fetch(weights)
    model: nn.Module = ssd300_vgg16(
        weights=None,
        weights_backbone=weights,
        num_classes=classes,
        trainable_backbone_layers=5 if pretrained else None,  # all, as without weights
    )
    return model
