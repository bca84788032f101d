"""Windows: squares cut from images at any place, size and angle, a whole batch in one operation.

A random scale, rotation, crop and flip together are one affine map; so are SSD's zoom and crop.
Each image's map is drawn on the CPU; the pixels are sampled once, on the device.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from lrd_core.datasets.transfer import to_device

IGNORED = 255
"""The label of pixels without a class: borders in VOC, and everything outside an image."""
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
"""ImageNet's mean and deviation per channel, for values from 0 to 1."""


@dataclass(frozen=True)
class Window:
    """The place of a square in its image, in pixels of the image; it may extend beyond it."""

    x: float
    y: float
    """Its centre, from the image's upper left corner."""
    width: float
    height: float
    angle: float = 0.0
    """Radians, clockwise as seen."""
    flip: bool = False
    """Whether left and right are swapped."""


def stack(images: Sequence[Tensor], fill: int = 0) -> Tensor:
    """Images `(c, h, w)` uint8 of any size, at the upper left of a square batch `(n, c, s, s)`."""
    side = max(max(image.shape[1:]) for image in images)
    canvas = torch.full((len(images), images[0].shape[0], side, side), fill, dtype=torch.uint8)
    for place, image in zip(canvas, images, strict=True):
        place[:, : image.shape[1], : image.shape[2]] = image
    return canvas


def cut_images(
    images: Sequence[Tensor], windows: Sequence[Window], side: int, device: torch.device
) -> Tensor:
    """The windows, `(n, 3, side, side)` float32 from 0 to 1; ImageNet's mean colour outside."""
    mean = to_device(MEAN, device).view(1, 3, 1, 1)
    canvas = to_device(stack(images), device).float().div_(255).sub_(mean)
    for place, image in zip(canvas, images, strict=True):
        place[:, image.shape[1] :].zero_()
        place[:, :, image.shape[2] :].zero_()
    return _sampled(canvas, windows, side, "bilinear").add_(mean)


def cut_masks(
    masks: Sequence[Tensor], windows: Sequence[Window], side: int, device: torch.device
) -> Tensor:
    """The windows of label masks `(1, h, w)`: `(n, side, side)` int64; IGNORED outside."""
    # Sampling gives 0 outside, so 0 must mean IGNORED: labels are increased by one, modulo 256.
    canvas = to_device(stack(masks, IGNORED), device).add_(1).float()
    return (_sampled(canvas, windows, side, "nearest").long().squeeze(1) - 1) % 256


def normalised(images: Tensor) -> Tensor:
    """Values from 0 to 1, normalised by ImageNet's mean and deviation."""
    mean, std = (to_device(v, images.device).view(1, 3, 1, 1) for v in (MEAN, STD))
    return (images - mean) / std


def _sampled(canvas: Tensor, windows: Sequence[Window], side: int, mode: str) -> Tensor:
    maps = to_device([_map(window, canvas.shape[-1]) for window in windows], canvas.device)
    shape = [len(windows), canvas.shape[1], side, side]
    places = F.affine_grid(maps, shape, align_corners=False)
    return F.grid_sample(canvas, places, mode=mode, padding_mode="zeros", align_corners=False)


def _map(window: Window, canvas: int) -> list[list[float]]:
    """The 2 × 3 matrix from output to input coordinates, both from −1 to 1 across."""
    cosine, sine = math.cos(window.angle), math.sin(window.angle)
    across, down = window.width / canvas, window.height / canvas
    if window.flip:
        across = -across
    return [
        [across * cosine, -down * sine, 2 * window.x / canvas - 1],
        [across * sine, down * cosine, 2 * window.y / canvas - 1],
    ]
