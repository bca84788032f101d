"""Labelled images, split into a training and an evaluation part, as uint8 tensors.

`digits` ships with scikit-learn. The others are looked for below `LRD_DATA_DIR`, then downloaded
(see `catalogue`). A plugin's data set is an `ImageData` too.
"""

import functools
import hashlib
import math
import pickle
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, SupportsIndex

import numpy as np
import torch
from torch import Tensor

from lrd_core import plugins
from lrd_core.datasets import catalogue
from lrd_core.errors import DataNotFound, PluginError, TrialError

HELD_OUT_IMAGES = 5_000
"""Of CIFAR-10's 50,000 training images: 45,000 remain to train on."""

Part = tuple[Tensor, Tensor]
"""Images and labels."""


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
    """Whether training pads by 4, crops at random and flips, as is usual for CIFAR."""
    evaluated: str = "test"
    """Prefix of the evaluation metrics, as in `test_accuracy`: `val` if the images were held out of
    the training images, so that nobody mistakes them for the official test set."""

    def first(self, count: int | None) -> "ImageData":
        """The first `count` examples of each part; for None this object, with its cached hash."""
        if count is None:
            return self
        return replace(
            self,
            train_images=self.train_images[:count],
            train_labels=self.train_labels[:count],
            test_images=self.test_images[:count],
            test_labels=self.test_labels[:count],
        )

    def holding_out(self, count: int | None) -> "ImageData":
        """The last `count` training examples in place of the evaluation part; for None this object.

        Raises:
            TrialError: none would be left to train on.
        """
        if count is None:
            return self
        if count >= len(self.train_labels):
            raise TrialError(
                f"data.holdout is {count:,}, which leaves nothing to train on: there are "
                f"{len(self.train_labels):,} training images"
            )
        return replace(
            self,
            train_images=self.train_images[:-count],
            train_labels=self.train_labels[:-count],
            test_images=self.train_images[-count:],
            test_labels=self.train_labels[-count:],
            evaluated="val",
        )

    def part(self, holdout: int | None, count: int | None) -> "ImageData":
        """`holding_out(holdout)`, of which the `first(count)`.

        Raises:
            TrialError: none would be left to train on; or the training images are stored class by
                class, and of a class that is evaluated none would be left.
        """
        left = self.holding_out(holdout).first(count)
        if left is not self and _class_by_class(self.train_labels):
            gone = set(left.test_labels.tolist()) & set(self.train_labels.tolist())
            if gone := gone - set(left.train_labels.tolist()):
                what = "data.holdout" if count is None else "data.max_examples"
                raise TrialError(
                    f"the training images are stored class by class, and {what} leaves none of "
                    f"class {', '.join(map(str, sorted(gone)))} to train on, which is evaluated: "
                    "shuffle them once, where the data set is made"
                )
        return left

    @functools.cached_property
    def sha256(self) -> str:
        """SHA-256 over all images and labels, in order: equal hashes, equal data."""
        tensors = (self.train_images, self.train_labels, self.test_images, self.test_labels)
        found = hashlib.sha256(repr([tuple(tensor.shape) for tensor in tensors]).encode())
        for tensor in tensors:
            found.update(tensor.contiguous().numpy().data)
        return found.hexdigest()

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(channels, height, width)."""
        channels, height, width = self.train_images.shape[1:]
        return channels, height, width


def load_images(name: str, root: Path | None = None) -> ImageData:
    """The data set `name`; this package's own are read once per process.

    Raises:
        DataNotFound: it is not below `root` and could not be downloaded.
        PluginError: it is a plugin's and not installed here, or not fit for training.
    """
    root = root or catalogue.data_dir()
    if name in _LOADERS:
        return _load(name, root)
    data = plugins.call("lrd.datasets", name, root)  # each time: its files may have changed
    if wrong := _wrong(data):
        raise PluginError(f"{name!r} of lrd.datasets: {wrong}")
    return data  # type: ignore[no-any-return]


def _wrong(data: Any) -> str | None:
    """Why `data` is not a data set that can be trained on, or None."""
    if not isinstance(data, ImageData):
        return f"it returned a {type(data).__name__}, not an ImageData"
    if not isinstance(data.classes, SupportsIndex):
        return f"classes must be an integer, got {data.classes!r}"
    if data.evaluated not in ("test", "val"):
        return f'evaluated must be "test" or "val", got {data.evaluated!r}'
    for part in ("train", "test"):
        images, labels = getattr(data, f"{part}_images"), getattr(data, f"{part}_labels")
        if any(each.device.type != "cpu" for each in (images, labels)):
            return f"{part}_images and {part}_labels must be in the CPU's memory"
        if images.dtype != torch.uint8 or images.dim() != 4:
            return (
                f"{part}_images are {images.dtype} of shape {tuple(images.shape)}; they must be "
                "torch.uint8, (n, channels, height, width)"
            )
        if labels.dtype != torch.int64 or labels.shape != images.shape[:1]:
            return (
                f"{part}_labels are {labels.dtype} of shape {tuple(labels.shape)}; they must be "
                f"torch.int64, ({len(images)},), one for each image"
            )
        if not len(labels):
            return f"it has no {part}_images"
        low, high = int(labels.min()), int(labels.max())
        if low < 0 or high >= data.classes:
            return f"{part}_labels are {low} to {high}; they must be below classes={data.classes}"
    if data.train_images.shape[1:] != data.test_images.shape[1:]:
        return "its training and test images differ in shape"
    channels = data.image_shape[0]
    try:
        mean, std, scale = [*map(float, data.mean)], [*map(float, data.std)], float(data.scale)
    except TypeError:
        return f"mean and std must be tuples of {channels} numbers, and scale a number"
    if not len(mean) == len(std) == channels:
        return f"mean and std must have a number for each channel, {channels} in all"
    if not (all(map(math.isfinite, mean)) and all(0 < each < math.inf for each in (*std, scale))):
        return (
            "scale and std are divided by, so they must be above 0 and finite, as mean is; got "
            f"scale {scale}, mean {mean}, std {std}"
        )
    return None


def _class_by_class(labels: Tensor) -> bool:
    """Whether all examples of a class stand together, as folders of images are usually listed."""
    beginnings = 1 + int((labels[1:] != labels[:-1]).sum())
    return beginnings == len(set(labels.tolist()))


@functools.lru_cache(maxsize=4)  # a sweep over data sets uses them in turn, seed by seed
def _load(name: str, root: Path) -> ImageData:
    return _LOADERS[name](root)


def _digits(_: Path) -> ImageData:
    """1,797 handwritten digits of 8 × 8; the last 360 in stored order are the test part."""
    rows = np.loadtxt(catalogue.digits_file(), delimiter=",", dtype=np.uint8)
    # Of each row 64 values are the pixels, the last is the digit.
    images = torch.from_numpy(rows[:, :-1].reshape(-1, 1, 8, 8).copy())
    labels = torch.from_numpy(rows[:, -1].astype(np.int64))
    return ImageData(
        images[:-360], labels[:-360], images[-360:], labels[-360:],
        classes=10, scale=16, mean=(0.305,), std=(0.376,),
    )  # fmt: skip


def _mnist(root: Path) -> ImageData:
    folder = catalogue.ensure("mnist", root)
    return ImageData(
        *_idx(folder, "train"), *_idx(folder, "t10k"),
        classes=10, scale=255, mean=(0.1307,), std=(0.3081,),
    )  # fmt: skip


def _idx(folder: Path, part: str) -> Part:
    """MNIST's images `(n, 1, 28, 28)` and labels of a part."""
    from torchvision.datasets.mnist import read_sn3_pascalvincent_tensor as read

    with catalogue.reading(file := folder / f"{part}-images-idx3-ubyte"):
        images = read(str(file)).unsqueeze(1)
    with catalogue.reading(file := folder / f"{part}-labels-idx1-ubyte"):
        labels = read(str(file)).long()
        if labels.shape != images.shape[:1]:
            raise ValueError(f"{len(labels):,} labels of {len(images):,} images")
    return images, labels


def _cifar10(root: Path) -> ImageData:
    from torchvision.datasets import CIFAR10

    here = {holding.name: holding.present for holding in catalogue.listing(root)}
    if here["cifar10_holdout"] and not here["cifar10"]:
        raise DataNotFound(
            f"{root} has CIFAR-10's training images but not its test images: data set "
            "cifar10_holdout trains on 45,000 of those and holds 5,000 out; "
            "`lrd data fetch cifar10` downloads the rest"
        )
    folder = catalogue.ensure("cifar10", root)
    return _cifar10_of(_pickled(folder, CIFAR10.train_list), _pickled(folder, CIFAR10.test_list))


def _cifar10_holdout(root: Path) -> ImageData:
    """The 50,000 training images in their official order, the last 5,000 held out."""
    from torchvision.datasets import CIFAR10

    folder = catalogue.ensure("cifar10_holdout", root)
    files = sorted(folder.glob("batch_*.npz"))
    images, labels = _arrays(files) if files else _pickled(folder, CIFAR10.train_list)
    train, held_out = slice(-HELD_OUT_IMAGES), slice(-HELD_OUT_IMAGES, None)
    whole = _cifar10_of((images[train], labels[train]), (images[held_out], labels[held_out]))
    return replace(whole, evaluated="val")


def _arrays(files: list[Path]) -> Part:
    """The images and labels of NumPy's archives."""
    images, labels = [], []
    for file in files:
        with catalogue.reading(file), file.open("rb") as opened, np.load(opened) as archive:
            images.append(archive["images"])
            labels.append(archive["labels"])
    return (
        torch.from_numpy(np.concatenate(images)),
        torch.from_numpy(np.concatenate(labels)).long(),
    )


def _pickled(folder: Path, files: list[list[str]], labelled: str = "labels") -> Part:
    """The images and labels of some of CIFAR's files, of which torchvision lists name and MD5.

    Torchvision's classes would also require the other files, which are not always needed.
    """
    pixels, labels = [], []
    for name, md5 in files:
        with catalogue.reading(folder / name):
            content = (folder / name).read_bytes()
        if hashlib.md5(content, usedforsecurity=False).hexdigest() != md5:
            raise DataNotFound(
                f"{folder / name} is not the original file (MD5 {md5}): remove it, and "
                "the next trial that needs it, or `lrd data fetch`, downloads it again"
            )
        # Unpickling may run any code, but not for these bytes, whose checksum is known. Python 2
        # wrote them: NumPy wants its strings as latin1.
        batch = pickle.loads(content, encoding="latin1")  # noqa: S301
        pixels.append(batch["data"])
        labels += batch[labelled]
    return torch.from_numpy(np.concatenate(pixels)).reshape(-1, 3, 32, 32), torch.tensor(labels)


def _cifar10_of(train: Part, test: Part) -> ImageData:
    return ImageData(
        *train, *test, classes=10, scale=255, crop_and_flip=True,
        mean=(0.4914, 0.4822, 0.4465), std=(0.2023, 0.1994, 0.2010),  # the authors' own
    )  # fmt: skip


def _cifar100(root: Path) -> ImageData:
    from torchvision.datasets import CIFAR100

    folder = catalogue.ensure("cifar100", root)
    train, test = (
        _pickled(folder, files, "fine_labels")
        for files in (CIFAR100.train_list, CIFAR100.test_list)
    )
    return ImageData(
        *train, *test, classes=100, scale=255, crop_and_flip=True,
        mean=(0.5071, 0.4865, 0.4409), std=(0.2673, 0.2564, 0.2762),  # of the training images
    )  # fmt: skip


_LOADERS: dict[str, Callable[[Path], ImageData]] = {
    "digits": _digits,
    "mnist": _mnist,
    "cifar10": _cifar10,
    "cifar10_holdout": _cifar10_holdout,
    "cifar100": _cifar100,
}
