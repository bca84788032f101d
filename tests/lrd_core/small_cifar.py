"""A CIFAR-10 of 48 random images, the last 8 of which are to be recognised."""

from collections.abc import Iterator

import pytest
import torch

from lrd_core.datasets import images
from lrd_core.datasets.images import ImageData

COUNT = 48


def small_cifar() -> ImageData:
    """The same one each time."""
    draws = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (COUNT, 3, 32, 32), generator=draws, dtype=torch.uint8)
    labels = torch.arange(COUNT) % 10
    return ImageData(
        pixels[:-8], labels[:-8], pixels[-8:], labels[-8:], classes=10, scale=255,
        mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25), crop_and_flip=True,
    )  # fmt: skip


@pytest.fixture(autouse=True)
def cifar_is_small(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """`cifar10` is this one, and no later test of the process finds it in the cache."""
    monkeypatch.setitem(images._LOADERS, "cifar10", lambda root: small_cifar())
    images._load.cache_clear()
    yield
    images._load.cache_clear()
