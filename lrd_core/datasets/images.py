"""Labelled images, split into training and test part, as uint8 tensors.

`digits` ships with scikit-learn. The others are looked for below `LRD_DATA_DIR`, then downloaded
there by torchvision, which checks their sums; a lock file lets one process of a node do it.
"""

import contextlib
import fcntl
import functools
import importlib.util
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lrd_core.errors import DataNotFound


@dataclass(frozen=True)
class ImageData:
    """One data set; images are `(n, channels, height, width)` uint8, labels `(n,)` int64."""

    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    classes: int
    scale: float
    """The value of a white pixel: images are divided by it before mean and std apply."""
    mean: tuple[float, ...]
    std: tuple[float, ...]
    """Per channel, after scaling."""
    crop_and_flip: bool = False
    """Whether training pads by 4, crops at random and flips, as usual for CIFAR."""

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(channels, height, width)."""
        channels, height, width = self.train_images.shape[1:]
        return channels, height, width


def data_dir() -> Path:
    """Where data sets lie: `LRD_DATA_DIR`, or `~/.cache/lrd`."""
    return Path(os.environ.get("LRD_DATA_DIR") or "~/.cache/lrd").expanduser().resolve()


def load_images(name: str, root: Path | None = None) -> ImageData:
    """The data set `name`; a second call in the same process gives the same tensors.

    Raises:
        DataNotFound: it is not below `root` and could not be downloaded.
    """
    return _load(name, root or data_dir())


@functools.lru_cache(maxsize=2)
def _load(name: str, root: Path) -> ImageData:
    return _LOADERS[name](root)


def _digits(_: Path) -> ImageData:
    """1,797 handwritten digits of 8 × 8; the last 360, as they are stored, are the test part."""
    # Importing scikit-learn to read its file would take longer than a short trial.
    package = importlib.util.find_spec("sklearn")
    if package is None or package.origin is None:
        raise DataNotFound("the digits ship with scikit-learn: pip install scikit-learn")
    rows = np.loadtxt(
        Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz",
        delimiter=",",
        dtype=np.uint8,
    )  # 64 pixels and the digit
    images = torch.from_numpy(rows[:, :-1].reshape(-1, 1, 8, 8).copy())
    labels = torch.from_numpy(rows[:, -1].astype(np.int64))
    return ImageData(
        images[:-360], labels[:-360], images[-360:], labels[-360:],
        classes=10, scale=16, mean=(0.305,), std=(0.376,),
    )  # fmt: skip


def _mnist(root: Path) -> ImageData:
    from torchvision.datasets import MNIST

    train, test = _from_torchvision(MNIST, "MNIST", root)
    return ImageData(
        train.data.unsqueeze(1), train.targets, test.data.unsqueeze(1), test.targets,
        classes=10, scale=255, mean=(0.1307,), std=(0.3081,),
    )  # fmt: skip


def _cifar10(root: Path) -> ImageData:
    from torchvision.datasets import CIFAR10

    # The authors' own mean and std.
    return _cifar(CIFAR10, "CIFAR-10", root, 10, (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010))


def _cifar100(root: Path) -> ImageData:
    from torchvision.datasets import CIFAR100

    # Mean and std of the training images.
    return _cifar(
        CIFAR100, "CIFAR-100", root, 100, (0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)
    )


def _cifar(
    dataset: Any,
    title: str,
    root: Path,
    classes: int,
    mean: tuple[float, ...],
    std: tuple[float, ...],
) -> ImageData:
    train, test = _from_torchvision(dataset, title, root)
    return ImageData(
        torch.from_numpy(train.data).permute(0, 3, 1, 2).contiguous(),
        torch.tensor(train.targets),
        torch.from_numpy(test.data).permute(0, 3, 1, 2).contiguous(),
        torch.tensor(test.targets),
        classes=classes, scale=255, mean=mean, std=std, crop_and_flip=True,
    )  # fmt: skip


def _from_torchvision(dataset: Any, title: str, root: Path) -> tuple[Any, Any]:
    """Training and test part, from disk or else by download."""
    with contextlib.suppress(RuntimeError):  # torchvision: "Dataset not found"
        return dataset(root, train=True), dataset(root, train=False)
    try:
        with _locked(root):
            return dataset(root, train=True, download=True), dataset(root, train=False)
    except (OSError, RuntimeError) as error:
        raise DataNotFound(
            f"{title} is not in {root} and could not be downloaded ({_first_line(error)}). "
            f"Put torchvision's files of {title} there, or set LRD_DATA_DIR to the folder that "
            "holds them on every node."
        ) from None


@contextlib.contextmanager
def _locked(root: Path) -> Iterator[None]:
    """One process of this node at a time."""
    root.mkdir(parents=True, exist_ok=True)
    with (root / ".lrd-download.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _first_line(error: Exception) -> str:
    lines = str(error).splitlines()
    return lines[0].rstrip(":. ") if lines else type(error).__name__


_LOADERS: dict[str, Callable[[Path], ImageData]] = {
    "digits": _digits,
    "mnist": _mnist,
    "cifar10": _cifar10,
    "cifar100": _cifar100,
}
