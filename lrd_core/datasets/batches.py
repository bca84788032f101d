"""Batches of images on the device: shuffled, augmented and normalised as whole tensors.

An epoch's order and augmentation depend only on (seed, epoch), so a resumed trial, and an arm and
its baseline, see the same batches. The draws go to the device once per epoch, and no batch makes
the host wait for the device.

Images are stored channels-last, a row of pixels as one row of w · c numbers: a crop then copies
contiguous stretches of memory, and convolutions take the layout as it is.
"""

import itertools
import math
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from lrd_core.datasets.images import ImageData
from lrd_core.datasets.transfer import to_device
from lrd_core.seeds import generator

PADDING = 4
"""Pixels of zeros around a CIFAR image before its random crop (He et al.; the paper's [12])."""
NORMALISED = 2**27
"""Numbers, half a GiB: larger parts stay bytes, and each batch is normalised by itself."""
TEST_NUMBERS = 1000 * 3 * 32 * 32
"""Of a batch of test images: 1,000 images of CIFAR's size, fewer if they are larger."""


class Batches:
    """The data of one trial, on its device."""

    def __init__(self, data: ImageData, device: torch.device, cutout: int | None = None) -> None:
        """`cutout`: side in pixels of the square that is cut out of each training image."""
        self.data = data
        self.device = device
        self._cutout = cutout
        self._channels, _, width = data.image_shape
        # As long as a row: subtracting three numbers per pixel would take five times as long.
        self._mean = torch.tensor(data.mean, device=device).repeat(width)
        self._std = torch.tensor(data.std, device=device).repeat(width)
        self._train_labels = data.train_labels.to(device)
        self._test_labels = data.test_labels.to(device)
        train, test = data.train_images, data.test_images
        if data.crop_and_flip:
            # Zeros are black: like the authors, we pad before normalising.
            train = F.pad(train, (PADDING,) * 4)
        self._train, self._test = (_rows(images).to(device) for images in (train, test))
        if not data.crop_and_flip and train.numel() + test.numel() <= NORMALISED:
            # Once, so that a batch is one gather.
            self._train, self._test = map(self._normalised, (self._train, self._test))

    def relabel(self, labels: Tensor) -> None:
        """Train with these labels, `(n,)` int64, instead of the true ones."""
        self._train_labels = labels.to(self.device)

    def train(self, batch_size: int, seed: int, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """All training examples once, as (images `(n, c, h, w)` float32, labels), in the order of
        this epoch."""
        count = len(self._train_labels)
        drawn = torch.randperm(count, generator=generator(seed, "order", epoch))
        order = to_device(drawn, self.device)
        crops = self._draw_crops(count, seed, epoch)
        centres = self._draw_centres(count, seed, epoch)
        for here in spans(count, batch_size):
            chosen = order[here]
            if crops is None:
                rows = self._train.index_select(0, chosen)
            else:
                rows = self._cropped(chosen, *crops[:, here])
            rows = self._normalised(rows)
            if self._cutout is not None and centres is not None:
                rows = cut_out(rows, centres[:, here], self._cutout, self._channels)
            yield self._images(rows), self._train_labels.index_select(0, chosen)

    def test(self, batch_size: int | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """All test examples once, in stored order, in batches that any GPU has memory for."""
        if batch_size is None:
            batch_size = min(1000, max(1, TEST_NUMBERS // math.prod(self.data.image_shape)))
        for start in range(0, len(self._test_labels), batch_size):
            here = slice(start, start + batch_size)
            yield self._images(self._normalised(self._test[here])), self._test_labels[here]

    def _draw_crops(self, count: int, seed: int, epoch: int) -> Tensor | None:
        """Shift down, shift right and whether flipped, `(3, n)`; None without crops."""
        if not self.data.crop_and_flip:
            return None
        draws = generator(seed, "augment", epoch)
        shifts = torch.randint(2 * PADDING + 1, (2, count), generator=draws)
        flips = torch.rand(count, generator=draws) < 0.5
        return to_device(torch.cat([shifts, flips.unsqueeze(0)]), self.device)

    def _draw_centres(self, count: int, seed: int, epoch: int) -> Tensor | None:
        """Row and column of the centre of each square, `(2, n)`; None without cutout."""
        if self._cutout is None:
            return None
        draws = generator(seed, "cutout", epoch)
        sides = self.data.image_shape[1:]
        drawn = [torch.randint(side, (count,), generator=draws) for side in sides]
        return to_device(torch.stack(drawn), self.device)

    def _cropped(self, chosen: Tensor, down: Tensor, right: Tensor, flips: Tensor) -> Tensor:
        """Rows of the chosen images, each cropped at its own place and flipped if drawn so."""
        pixel = self._channels
        _, height, width = self.data.image_shape
        whole, row, _ = self._train.stride()
        places = 2 * PADDING + 1
        windows = self._train.as_strided(
            (len(self._train), places, places, height, width * pixel),
            (whole, row, pixel, row, 1),
        )
        rows = _gathered(windows, chosen, down, right)  # (n, h, w c)
        mirrored = self._images(rows).flip(3).permute(0, 2, 3, 1).flatten(2)
        both = torch.cat([rows, mirrored])
        numbers = torch.arange(len(chosen), device=self.device)
        return both.index_select(0, numbers + len(chosen) * flips)

    def _normalised(self, rows: Tensor) -> Tensor:
        """Bytes as normalised numbers; numbers are left as they are."""
        if rows.dtype != torch.uint8:
            return rows
        return rows.float().div_(self.data.scale).sub_(self._mean).div_(self._std)

    def _images(self, rows: Tensor) -> Tensor:
        """`(n, h, w c)` viewed as `(n, c, h, w)`, without a copy."""
        count, height, length = rows.shape
        pixels = rows.view(count, height, length // self._channels, self._channels)
        return pixels.permute(0, 3, 1, 2)


def spans(count: int, size: int) -> list[slice]:
    """Where the batches of `count` examples lie, in order. A last batch of one example joins the
    one before it, because batch normalisation needs more than one value; not if all are of one."""
    starts = range(0, count, size)
    if size > 1 and len(starts) > 1 and count - starts[-1] == 1:
        starts = starts[:-1]
    return [slice(start, end) for start, end in itertools.pairwise((*starts, count))]


def cut_out(rows: Tensor, centres: Tensor, side: int, channels: int) -> Tensor:
    """Set squares of `side` pixels around `centres`, `(2, n)`, to zero, the mean colour after
    normalising (DeVries and Taylor, arXiv 1708.04552). Squares are clipped at the image's border.

    `rows`: `(n, h, w c)` float32, changed in place.
    """
    _, height, width = rows.shape
    down, right = centres - side // 2

    def covered(start: Tensor, size: int, length: int) -> Tensor:
        offset = torch.arange(length, device=rows.device) - start.unsqueeze(1)
        return (offset >= 0) & (offset < size)  # (n, length)

    lines = covered(down, side, height).unsqueeze(2)
    columns = covered(right * channels, side * channels, width).unsqueeze(1)
    return rows.masked_fill_(lines & columns, 0)


def _rows(images: Tensor) -> Tensor:
    """`(n, c, h, w)` as `(n, h, w c)`."""
    return images.permute(0, 2, 3, 1).contiguous().flatten(2)


def _gathered(windows: Tensor, *places: Any) -> Tensor:
    """`windows[places]`; on a CPU by NumPy, which copies rows eight times as fast as torch."""
    if windows.device.type == "cpu":
        return torch.from_numpy(windows.numpy()[tuple(place.numpy() for place in places)])
    return windows[places]
