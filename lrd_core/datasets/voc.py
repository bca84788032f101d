"""PASCAL VOC as files: its lists, and one image with its mask or its boxes at a time.

The files are `VOCdevkit/VOC2012` and, for detection, `VOCdevkit/VOC2007` below the data folder.
Images are decoded when needed, because the whole training part would take 8 GB decoded.
"""

import functools
import hashlib
import logging
import xml.etree.ElementTree as ET  # VOC's own files, checked by their sums
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from lrd_core.datasets import catalogue

log = logging.getLogger(__name__)

CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train",
    "tvmonitor",
)  # fmt: skip
"""VOC's own order: class k of a mask is `CLASSES[k - 1]`; 0 is the background."""


@dataclass(frozen=True)
class Sample:
    """One image of VOC, and the file with its ground truth."""

    image: Path
    truth: Path
    """A mask (PNG) or an annotation (XML)."""


@dataclass(frozen=True)
class Split:
    """The samples to train on, and those to evaluate on."""

    train: list[Sample]
    val: list[Sample]

    def first(self, count: int | None) -> "Split":
        """The first `count` samples of each; for None all."""
        return Split(self.train[:count], self.val[:count])

    @functools.cached_property
    def sha256(self) -> str:
        """SHA-256 over the names and sizes of its files in order, not over their 2 GB."""
        found = hashlib.sha256(f"{len(self.train)} {len(self.val)}".encode())
        for sample in self.train + self.val:
            for file in (sample.image, sample.truth):
                with _reading(file):
                    size = file.stat().st_size
                found.update(f"\n{file.parent.name}/{file.name} {size}".encode())
        return found.hexdigest()


@dataclass(frozen=True)
class Boxes:
    """The objects in one image."""

    corners: Tensor
    """`(n, 4)` float32: x1, y1, x2, y2 in pixels from 0."""
    labels: Tensor
    """`(n,)` int64, from 1."""
    difficult: Tensor
    """`(n,)` bool: VOC's evaluation leaves these out."""


def segmentation(root: Path | None = None) -> Split:
    """VOC 2012 segmentation: 10,582 images to train on with the extra masks, 1,464 without; 1,449
    to evaluate on.

    Raises:
        DataNotFound: it is not below `root` and could not be downloaded.
    """
    voc = catalogue.ensure("voc_segmentation", root or catalogue.data_dir())
    folder, train = voc / "SegmentationClassAug", "trainaug"
    if not folder.is_dir():
        log.warning("%s has no SegmentationClassAug: only VOC's own masks are used", voc)
        folder, train = voc / "SegmentationClass", "train"
    lists = voc / "ImageSets" / "Segmentation"
    return Split(
        _samples(voc, lists / f"{train}.txt", folder, ".png"),
        _samples(voc, lists / "val.txt", voc / "SegmentationClass", ".png"),
    )


def detection(root: Path | None = None) -> Split:
    """VOC 2007 and 2012 trainval, 16,551 images, to train on; VOC 2007 test, 4,952, to evaluate.

    Without VOC 2007, the lists `train` and `val` of VOC 2012 are used instead.

    Raises:
        DataNotFound: VOC 2012 is not below `root` and could not be downloaded.
    """
    newer = catalogue.ensure("voc_detection", root or catalogue.data_dir())
    older = newer.parent / "VOC2007"
    if not (older / "ImageSets" / "Main" / "test.txt").exists():
        log.warning("%s does not exist: only VOC 2012's lists train and val are used", older)
        return Split(_annotated(newer, "train"), _annotated(newer, "val"))
    train = _annotated(older, "trainval") + _annotated(newer, "trainval")
    return Split(train, _annotated(older, "test"))


def read_image(file: Path) -> Tensor:
    """`(3, h, w)` uint8.

    Raises:
        DataNotFound: it is missing or torn.
    """
    with _reading(file), Image.open(file) as image:
        return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)


def read_mask(file: Path) -> Tensor:
    """`(1, h, w)` uint8: the palette's indices, which are the classes; 255 is ignored.

    Raises:
        DataNotFound: it is missing or torn.
    """
    with _reading(file), Image.open(file) as image:
        return torch.from_numpy(np.array(image)).unsqueeze(0)


def read_boxes(file: Path) -> Boxes:
    """The objects of an annotation.

    Raises:
        DataNotFound: it is missing or torn.
    """
    with _reading(file):
        objects = ET.parse(file).getroot().findall("object")  # noqa: S314
    corners = [
        [float(each.findtext(f"bndbox/{side}", "nan")) for side in ("xmin", "ymin", "xmax", "ymax")]
        for each in objects
    ]
    return Boxes(
        # VOC counts pixels from 1, and its boxes include their last pixel.
        torch.tensor(corners, dtype=torch.float32).view(-1, 4) - torch.tensor([1.0, 1, 0, 0]),
        torch.tensor([CLASSES.index(each.findtext("name", "")) + 1 for each in objects]).long(),
        torch.tensor([each.findtext("difficult", "0") == "1" for each in objects]).bool(),
    )


T = TypeVar("T")
U = TypeVar("U")


def read_ahead(
    batches: Sequence[Sequence[T]], read: Callable[[T], U], threads: int
) -> Iterator[list[U]]:
    """`read` of each element, batch by batch in order; threads read the next batch meanwhile."""
    with ThreadPoolExecutor(threads) as pool:
        ahead: deque[list[Future[U]]] = deque()
        for batch in batches:
            ahead.append([pool.submit(read, element) for element in batch])
            if len(ahead) > 1:
                yield [future.result() for future in ahead.popleft()]
        for futures in ahead:
            yield [future.result() for future in futures]


def _samples(voc: Path, names: Path, truths: Path, suffix: str) -> list[Sample]:
    with catalogue.reading(names, voc):
        listed = names.read_text().split()
    return [
        Sample(voc / "JPEGImages" / f"{name}.jpg", truths / f"{name}{suffix}") for name in listed
    ]


def _reading(file: Path) -> AbstractContextManager[None]:
    """`catalogue.reading` of an image or its truth, which lies in a folder of `VOC2012`, say."""
    return catalogue.reading(file, file.parent.parent)


def _annotated(voc: Path, part: str) -> list[Sample]:
    return _samples(voc, voc / "ImageSets" / "Main" / f"{part}.txt", voc / "Annotations", ".xml")
