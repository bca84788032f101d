"""Batches of images on the device: shuffled, augmented and normalised as whole tensors.

The order of an epoch and its augmentation are drawn from (seed, epoch) alone, so a trial that
resumes, and an arm and its baseline, see the same batches.
"""

from collections.abc import Iterator

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from lrd_core.datasets.images import ImageData
from lrd_core.seeds import generator

PADDING = 4
"""Pixels of zeros around a CIFAR image before its random crop (He et al.; the paper's [12])."""


class Batches:
    """The data of one trial, on its device."""

    def __init__(self, data: ImageData, device: torch.device) -> None:
        self.data = data
        self.device = device
        self._mean = torch.tensor(data.mean, device=device).view(1, -1, 1, 1)
        self._std = torch.tensor(data.std, device=device).view(1, -1, 1, 1)
        self._train_labels = data.train_labels.to(device)
        self._test_labels = data.test_labels.to(device)
        if data.crop_and_flip:
            # Zeros stand for black; the authors pad before normalising, and so do we.
            padded = F.pad(data.train_images, (PADDING,) * 4)
            self._train_images = padded.to(device)
        else:
            # Small sets are normalised once: the epoch is then one gather (1.4 M images/s).
            self._train_images = self._normalised(data.train_images.to(device))
        self._test_images = self._normalised(data.test_images.to(device))

    def relabel(self, labels: Tensor) -> None:
        """Train with these labels, `(n,)` int64, instead of the true ones."""
        self._train_labels = labels.to(self.device)

    def train(self, batch_size: int, seed: int, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """All training examples once, as (images float32, labels), in the order of this epoch."""
        count = len(self._train_labels)
        order = torch.randperm(count, generator=generator(seed, "order", epoch))
        if self.data.crop_and_flip:
            draws = generator(seed, "augment", epoch)
            shifts = torch.randint(2 * PADDING + 1, (2, count), generator=draws)
            flips = torch.rand(count, generator=draws) < 0.5
        order = order.to(self.device)
        for start in range(0, count, batch_size):
            chosen = order[start : start + batch_size]
            images = self._train_images.index_select(0, chosen)
            if self.data.crop_and_flip:
                here = slice(start, start + batch_size)
                images = self._normalised(_crop(images, shifts[:, here], flips[here]))
            yield images, self._train_labels.index_select(0, chosen)

    def test(self, batch_size: int = 1000) -> Iterator[tuple[Tensor, Tensor]]:
        """All test examples once, in stored order."""
        for start in range(0, len(self._test_labels), batch_size):
            here = slice(start, start + batch_size)
            yield self._test_images[here], self._test_labels[here]

    def _normalised(self, images: Tensor) -> Tensor:
        return images.float().div_(self.data.scale).sub_(self._mean).div_(self._std)


def _crop(padded: Tensor, shifts: Tensor, flips: Tensor) -> Tensor:
    """Each image, `(n, c, h + 8, w + 8)`, cropped at its own shift, `(2, n)`, and maybe flipped."""
    height, width = (side - 2 * PADDING for side in padded.shape[2:])
    windows = padded.unfold(2, height, 1).unfold(3, width, 1)  # (n, c, 9, 9, h, w), a view
    rows = torch.arange(len(padded), device=padded.device)
    down, right = shifts.to(padded.device)
    cropped = windows[rows, :, down, right]  # (n, c, h, w)
    chosen = flips.to(padded.device).nonzero().squeeze(1)
    cropped[chosen] = cropped[chosen].flip(3)
    return cropped
