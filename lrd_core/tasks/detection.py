"""Object detection with SSD300: its two losses, and at times the mean average precision."""

import importlib.util
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lrd_core.datasets import ssd_windows, voc, windows
from lrd_core.datasets.transfer import to_device
from lrd_core.datasets.voc import Boxes
from lrd_core.errors import PluginError
from lrd_core.models import build_model
from lrd_core.models.ssd import SIDE
from lrd_core.seeds import derive
from lrd_core.spec import TrialSpec
from lrd_core.tasks import Metrics
from lrd_core.tasks.vision import (
    autocast,
    described,
    in_batches,
    reading_threads,
    shuffled,
)

CLASSES = 1 + len(voc.CLASSES)
PRECISION_EVERY = 10
"""Epochs between two measurements of `map_50`; one takes as long as training an epoch."""

_FOUND = ("boxes", "scores", "labels")

Example = tuple[Tensor, Boxes]
"""An image `(3, h, w)` uint8 and its objects."""


class Detection:
    """Learns where objects are; each loss is the sum of SSD's classification and box losses."""

    def __init__(self, spec: TrialSpec, device: torch.device, data_dir: Path | None) -> None:
        self.spec = spec
        self.device = device
        self.split = voc.detection(data_dir).first(spec.data.max_examples)
        self.data_sha256 = self.split.sha256
        self.epoch = 0

    def model(self) -> nn.Module:
        """The network with its initial weights, on the device."""
        return build_model(
            self.spec.model,
            (3, SIDE, SIDE),
            CLASSES,
            seed=self.spec.seed,
            pretrained=self.spec.pretrained,
        ).to(self.device)

    def train_epoch(self, model: nn.Module, optimizer: Optimizer, epoch: int) -> Metrics:
        """Mean loss over the epoch."""
        model.train()
        self.epoch = epoch
        draws = random.Random(derive(self.spec.seed, "augment", epoch))  # noqa: S311
        total = torch.zeros((), dtype=torch.float64, device=self.device)
        batches = shuffled(self.split.train, self.spec, epoch)
        for examples in voc.read_ahead(batches, _read, reading_threads(self.spec)):
            placed = [
                ssd_windows.training_window(*_size(image), boxes, SIDE, draws)
                for image, boxes in examples
            ]
            images = self._cut(examples, [window for window, _ in placed])
            images = ssd_windows.distorted(images, draws)
            loss = self._loss(model, images, [boxes for _, boxes in placed])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            total += loss.detach().double() * len(examples)
        return {"train_loss": total / len(self.split.train)}

    @torch.no_grad()
    def evaluate(self, model: nn.Module) -> Metrics:
        """`val_loss` over whole images, squeezed into SSD's square; after every tenth and the last
        epoch also `map_50`, the mean average precision at an overlap of one half."""
        last = self.epoch == self.spec.epochs
        precise = (last or self.epoch % PRECISION_EVERY == 0) and _can_measure()
        found: list[dict[str, Tensor]] = []
        truths: list[Boxes] = []
        total = torch.zeros((), dtype=torch.float64, device=self.device)
        batches = in_batches(self.split.val, self.spec.batch_size)
        for examples in voc.read_ahead(batches, _read, reading_threads(self.spec)):
            placed = [
                ssd_windows.whole_window(*_size(image), boxes, SIDE) for image, boxes in examples
            ]
            images = self._cut(examples, [window for window, _ in placed])
            boxes = [boxes for _, boxes in placed]
            # SSD returns losses only in training mode; none of its layers depends on the mode.
            total += self._loss(model.train(), images, boxes).double() * len(examples)
            if precise:
                found += self._found(model, images)
                truths += boxes
        metrics = {"val_loss": total / len(self.split.val)}
        return metrics | ({"map_50": mean_average_precision(found, truths)} if precise else {})

    def _cut(self, examples: Sequence[Example], places: Sequence[windows.Window]) -> Tensor:
        return windows.cut_images([image for image, _ in examples], places, SIDE, self.device)

    def _loss(self, model: nn.Module, images: Tensor, truths: Sequence[Boxes]) -> Tensor:
        targets = [
            {
                "boxes": to_device(boxes.corners, self.device),
                "labels": to_device(boxes.labels, self.device),
            }
            for boxes in truths
        ]
        with autocast(self.spec, self.device):
            losses = model(list(images), targets)
        parts = list(losses.values()) if isinstance(losses, Mapping) else []
        if not parts or any(not isinstance(part, Tensor) or part.dim() > 0 for part in parts):
            raise PluginError(
                f"model {self.spec.model} returned {described(losses)} in training mode; it must "
                "return a mapping of losses, each a tensor of one number"
            )
        return torch.stack([part.float() for part in parts]).sum()

    def _found(self, model: nn.Module, images: Tensor) -> list[dict[str, Tensor]]:
        """The objects that the network finds in each image."""
        found = model.eval()(list(images))
        is_list = isinstance(found, Sequence) and len(found) == len(images)
        if not is_list or not all(map(_are_objects, found)):
            raise PluginError(
                f"model {self.spec.model} returned {described(found)} in evaluation mode; it must "
                f"return a list of {len(images)} mappings, for each image its objects: boxes "
                "(k, 4), scores (k,) and labels (k,)"
            )
        return list(found)


def mean_average_precision(found: Sequence[dict[str, Tensor]], truths: Sequence[Boxes]) -> float:
    """Mean over all classes, at an overlap of ½; objects that VOC calls difficult do not count.

    Precision is averaged at 101 recalls, as in COCO; VOC 2007 used 11.

    Args:
        found: for each image `boxes`, `scores` and `labels`, as of torchvision's detectors.
        truths: each image's objects.
    """
    from torchmetrics.detection import MeanAveragePrecision

    metric = MeanAveragePrecision(iou_thresholds=[0.5])
    metric.warn_on_many_detections = False
    metric.update(
        [{name: image[name].detach().cpu() for name in _FOUND} for image in found],
        [
            {"boxes": boxes.corners, "labels": boxes.labels, "iscrowd": boxes.difficult.long()}
            for boxes in truths
        ],
    )
    return float(metric.compute()["map"])


def _are_objects(found: Any) -> bool:
    """Whether these are the objects that a network finds in one image."""
    if not isinstance(found, Mapping):
        return False
    shapes = [tuple(part.shape) for part in map(found.get, _FOUND) if isinstance(part, Tensor)]
    if len(shapes) < len(_FOUND):
        return False
    boxes, scores, labels = shapes
    return len(labels) == 1 and (boxes, scores) == ((*labels, 4), labels)


def _can_measure() -> bool:
    return all(importlib.util.find_spec(name) for name in ("torchmetrics", "pycocotools"))


def _size(image: Tensor) -> tuple[int, int]:
    return image.shape[2], image.shape[1]


def _read(sample: voc.Sample) -> Example:
    return voc.read_image(sample.image), voc.read_boxes(sample.truth)
