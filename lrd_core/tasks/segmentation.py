"""Semantic segmentation as PSPNet's authors do it: cross-entropy per pixel, mean IoU."""

import math
import random
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.optim import Optimizer
from torchmetrics import MetricCollection
from torchmetrics.classification import MulticlassAccuracy, MulticlassJaccardIndex
from torchvision.transforms.v2.functional import gaussian_blur

from lrd_core.datasets import voc, windows
from lrd_core.datasets.transfer import to_device
from lrd_core.datasets.windows import Window
from lrd_core.models import build_model
from lrd_core.models.pspnet import STRIDE
from lrd_core.seeds import derive
from lrd_core.spec import TrialSpec
from lrd_core.tasks import Metrics
from lrd_core.tasks.vision import as_logits, autocast, in_batches, reading_threads, shuffled

CLASSES = 1 + len(voc.CLASSES)
CROP = 473
AUXILIARY_WEIGHT = 0.4
SCALES = (0.5, 2.0)
MAX_ANGLE = math.radians(10)
BLUR_SIGMA = 1.1
"""OpenCV's default for a 5 × 5 blur. All five constants are from PSPNet's paper and code."""

Example = tuple[Tensor, Tensor]
"""An image `(3, h, w)` and its mask `(1, h, w)`, both uint8."""


class Segmentation:
    """Learns the class of each pixel; pixels labelled 255 are ignored everywhere."""

    def __init__(self, spec: TrialSpec, device: torch.device, data_dir: Path | None) -> None:
        self.spec = spec
        self.device = device
        self.split = voc.segmentation(data_dir).first(spec.data.max_examples)
        self.data_sha256 = self.split.sha256
        self.crop = spec.data.crop_size or CROP
        # `auto` excludes plugin networks, because a `view` in one would fail.
        choice = spec.execution.channels_last
        self.channels_last = choice == "on" or (choice == "auto" and spec.model == "pspnet")

    def model(self) -> nn.Module:
        """The network with its initial weights, on the device."""
        model = build_model(
            self.spec.model,
            (3, self.crop, self.crop),
            CLASSES,
            seed=self.spec.seed,
            pretrained=self.spec.pretrained,
        ).to(self.device)
        return model.to(memory_format=torch.channels_last) if self.channels_last else model

    def train_epoch(self, model: nn.Module, optimizer: Optimizer, epoch: int) -> Metrics:
        """Mean loss over the epoch, reported without the auxiliary head's part."""
        model.train()
        draws = random.Random(derive(self.spec.seed, "augment", epoch))  # noqa: S311
        total = torch.zeros((), dtype=torch.float64, device=self.device)
        batches = shuffled(self.split.train, self.spec, epoch)
        for examples in voc.read_ahead(batches, _read, reading_threads(self.spec)):
            images, masks = self._augmented(examples, draws)
            losses = self._losses(model, images, masks)
            loss = losses[0] + AUXILIARY_WEIGHT * sum(losses[1:])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            total += losses[0].detach().double() * len(examples)
        return {"train_loss": total / len(self.split.train)}

    @torch.inference_mode()
    def evaluate(self, model: nn.Module) -> Metrics:
        """On whole validation images at their own size: mean intersection over union of the
        classes, share of correct pixels, and mean loss."""
        model.eval()
        metrics = scores().to(self.device)
        total = torch.zeros((), dtype=torch.float64, device=self.device)
        batches = in_batches(self.split.val, self.spec.batch_size)
        for examples in voc.read_ahead(batches, _read, reading_threads(self.spec)):
            longest = max(max(image.shape[1:]) for image, _ in examples)
            side = -(-(longest - 1) // STRIDE) * STRIDE + 1  # 8k + 1, see `pspnet`
            whole = [Window(side / 2, side / 2, side, side)] * len(examples)
            images, masks = self._cut(examples, whole, side)
            logits = self._logits(model, windows.normalised(images))[0]
            metrics.update(logits.argmax(1), masks)
            total += _cross_entropy(logits, masks).double() * len(examples)
        return {
            "val_loss": total / len(self.split.val),
            **metrics.compute(),
        }

    def _augmented(self, examples: list[Example], draws: random.Random) -> tuple[Tensor, Tensor]:
        """Images and masks, scaled, rotated, cropped, flipped and blurred at random."""
        places = [
            training_window(image.shape[2], image.shape[1], self.crop, draws)
            for image, _ in examples
        ]
        images, masks = self._cut(examples, places, self.crop)
        blurred = to_device([draws.random() < 0.5 for _ in examples], self.device)
        images = torch.where(
            blurred.view(-1, 1, 1, 1), gaussian_blur(images, [5, 5], [BLUR_SIGMA] * 2), images
        )
        return windows.normalised(images), masks

    def _cut(
        self, examples: list[Example], places: list[Window], side: int
    ) -> tuple[Tensor, Tensor]:
        images, masks = zip(*examples, strict=True)
        return (
            windows.cut_images(images, places, side, self.device),
            windows.cut_masks(masks, places, side, self.device),
        )

    def _losses(self, model: nn.Module, images: Tensor, masks: Tensor) -> list[Tensor]:
        return [_cross_entropy(logits, masks) for logits in self._logits(model, images)]

    def _logits(self, model: nn.Module, images: Tensor) -> list[Tensor]:
        """The classifier's logits, then those of auxiliary heads, if the model returns any."""
        if self.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        with autocast(self.spec, self.device):
            outputs = model(images)
        several = outputs if isinstance(outputs, tuple) and outputs else (outputs,)
        shape = (len(images), CLASSES, *images.shape[2:])
        return [as_logits(logits, shape, self.spec.model) for logits in several]


def scores() -> MetricCollection:
    """`mean_iou` over the classes that occur, and `pixel_accuracy`; shares from 0 to 1.

    Update them with classes and masks, both `(n, h, w)`.
    """
    return MetricCollection(
        {
            "mean_iou": MulticlassJaccardIndex(
                CLASSES, ignore_index=windows.IGNORED, validate_args=False
            ),
            "pixel_accuracy": MulticlassAccuracy(
                CLASSES, average="micro", ignore_index=windows.IGNORED, validate_args=False
            ),
        },
        compute_groups=False,
    )


def training_window(width: int, height: int, crop: int, draws: random.Random) -> Window:
    """The part of an image that a random scale, rotation, flip and crop of `crop` pixels leave.

    An image that is smaller than the crop after scaling is centred in it.
    """
    side = crop / draws.uniform(*SCALES)
    angle = draws.uniform(-MAX_ANGLE, MAX_ANGLE) if draws.random() < 0.5 else 0.0
    x, y = (
        length / 2 + draws.uniform(-0.5, 0.5) * max(0.0, length - side)
        for length in (width, height)
    )
    return Window(x, y, side, side, angle, flip=draws.random() < 0.5)


def _cross_entropy(logits: Tensor, masks: Tensor) -> Tensor:
    return F.cross_entropy(logits, masks, ignore_index=windows.IGNORED)


def _read(sample: voc.Sample) -> Example:
    return voc.read_image(sample.image), voc.read_mask(sample.truth)
