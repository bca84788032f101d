"""SSD's augmentation (section 2.2 of the paper's [20]): zoom out, crop by overlap, flip; colours.

The geometry results in one window of each image with the boxes in it; the colours in one linear map
of each image's RGB values.
"""

import math
import random
from collections.abc import Sequence

import torch
from torch import Tensor

from lrd_core.datasets.transfer import to_device
from lrd_core.datasets.voc import Boxes
from lrd_core.datasets.windows import Window

MAX_ZOOM = 4.0
OVERLAPS = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, None)
"""Minimum overlaps of a crop with an object; 0 for any crop, None for the whole image."""
MIN_SIDE, MAX_ASPECT, TRIES = 0.3, 2.0, 40
"""As in torchvision's `RandomIoUCrop`."""
BRIGHTNESS, CONTRAST, SATURATION, HUE = 32 / 255, (0.5, 1.5), (0.5, 1.5), math.radians(18)
"""As in the authors' code."""

_TO_YIQ = torch.tensor(
    [[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]]
)
_FROM_YIQ = torch.linalg.inv(_TO_YIQ)

Region = tuple[float, float, float, float]
"""x1, y1, x2, y2 in pixels of the image; may extend beyond it."""


def training_window(
    width: int, height: int, boxes: Boxes, side: int, draws: random.Random
) -> tuple[Window, Boxes]:
    """A random window of an image, and the boxes in it, in pixels of the window's `side`.

    An object stays if its centre is in the window; its box is clipped to the window.
    """
    region: Region = (0.0, 0.0, float(width), float(height))
    if draws.random() < 0.5:
        zoom = draws.uniform(1, MAX_ZOOM)
        left, top = (draws.uniform(0, length * (zoom - 1)) for length in (width, height))
        region = (-left, -top, zoom * width - left, zoom * height - top)
    if len(boxes.labels):
        region = _cropped(region, _regions(boxes), draws)
    return within(region, boxes, side, flip=draws.random() < 0.5)


def whole_window(width: int, height: int, boxes: Boxes, side: int) -> tuple[Window, Boxes]:
    """The whole image, squeezed into a square, and its boxes there."""
    return within((0.0, 0.0, float(width), float(height)), boxes, side)


def within(region: Region, boxes: Boxes, side: int, *, flip: bool = False) -> tuple[Window, Boxes]:
    """The region as a window, and the boxes in it, in pixels of its `side`."""
    x1, y1, x2, y2 = region
    window = Window((x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1, flip=flip)
    origin = torch.tensor([x1, y1, x1, y1])
    size = torch.tensor([x2 - x1, y2 - y1] * 2)
    corners = ((boxes.corners - origin) / size * side).clamp(0, side)
    if flip:
        left, top, right, bottom = corners.unbind(1)
        corners = torch.stack([side - right, top, side - left, bottom], 1)
    # Drop boxes that rounding at the border left without width or height.
    centred = torch.tensor([_centre_in(region, each) for each in _regions(boxes)]).bool()
    kept = centred & (corners[:, 2:] > corners[:, :2]).all(1)
    return window, Boxes(corners[kept], boxes.labels[kept], boxes.difficult[kept])


def distorted(images: Tensor, draws: random.Random) -> Tensor:
    """`(n, 3, h, w)` of values 0 to 1 with random brightness, contrast, saturation and hue, each
    with probability ½. Hue is rotated in YIQ, where that is a linear map, instead of HSV."""
    maps, shifts = zip(*(_colour_map(draws) for _ in images), strict=True)
    colours = to_device(torch.stack(maps), images.device)  # (n, 3, 3)
    shift = to_device(shifts, images.device).view(-1, 1, 1, 1)
    mixed = (colours @ images.flatten(2)).view_as(images)
    return (mixed + shift).clamp(0, 1)


def _colour_map(draws: random.Random) -> tuple[Tensor, float]:
    def maybe(low: float, high: float, otherwise: float) -> float:
        return draws.uniform(low, high) if draws.random() < 0.5 else otherwise

    brightness = maybe(-BRIGHTNESS, BRIGHTNESS, 0.0)
    contrast, saturation = maybe(*CONTRAST, 1.0), maybe(*SATURATION, 1.0)
    hue = maybe(-HUE, HUE, 0.0)
    c, s = saturation * math.cos(hue), saturation * math.sin(hue)
    turned = torch.tensor([[1.0, 0, 0], [0, c, -s], [0, s, c]])
    return contrast * (_FROM_YIQ @ turned @ _TO_YIQ), brightness


def _cropped(region: Region, objects: Sequence[Region], draws: random.Random) -> Region:
    """A part of the region that overlaps an object enough, or all of it."""
    x1, y1, x2, y2 = region
    while (overlap := draws.choice(OVERLAPS)) is not None:
        for _ in range(TRIES):
            width, height = (length * draws.uniform(MIN_SIDE, 1) for length in (x2 - x1, y2 - y1))
            if not 1 / MAX_ASPECT <= width / height <= MAX_ASPECT:
                continue
            left, top = draws.uniform(x1, x2 - width), draws.uniform(y1, y2 - height)
            part = (left, top, left + width, top + height)
            # Plain numbers: as tensors, so few boxes would take fifty times as long.
            if any(_centre_in(part, each) and _overlap(part, each) >= overlap for each in objects):
                return part
    return region


def _regions(boxes: Boxes) -> list[Region]:
    return [(x1, y1, x2, y2) for x1, y1, x2, y2 in boxes.corners.tolist()]


def _centre_in(region: Region, box: Region) -> bool:
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return region[0] < x < region[2] and region[1] < y < region[3]


def _overlap(one: Region, other: Region) -> float:
    """Intersection over union."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(0.0, width) * max(0.0, height)
    return shared / (_area(one) + _area(other) - shared)


def _area(region: Region) -> float:
    return (region[2] - region[0]) * (region[3] - region[1])
