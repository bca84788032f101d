"""Image classification: cross-entropy, accuracy as a share from 0 to 1."""

from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.optim import Optimizer

from lrd_core.configuration import NL, SD
from lrd_core.datasets.batches import Batches
from lrd_core.datasets.images import load_images
from lrd_core.models import build_model
from lrd_core.regularizers import StandardDropout, noisy_labels
from lrd_core.seeds import derive
from lrd_core.spec import TrialSpec
from lrd_core.tasks import Metrics


class Classification:
    """Learns the labels of an image data set."""

    def __init__(self, spec: TrialSpec, device: torch.device, data_dir: Path | None) -> None:
        self.spec = spec
        self.device = device
        self.data = load_images(spec.dataset, data_dir).first(spec.data.max_examples)
        self.data_sha256 = self.data.sha256
        self.batches = Batches(self.data, device, spec.data.cutout)
        last = spec.model != "fcnet" and spec.execution.channels_last != "off"
        self.layout = torch.channels_last if last else torch.contiguous_format
        for regularizer in spec.regularizers:
            if isinstance(regularizer, NL):
                seed = derive(spec.seed, "noisy labels")
                labels = self.data.train_labels
                self.batches.relabel(
                    noisy_labels(labels, self.data.classes, regularizer.prob, seed)
                )
        self.steps_per_epoch = -(-len(self.data.train_labels) // spec.batch_size)

    def model(self) -> nn.Module:
        """The network with its initial weights, on the device."""
        keep_probs = [r.keep_prob for r in self.spec.regularizers if isinstance(r, SD)]
        layers = iter(range(10_000))

        def dropout() -> nn.Module:
            seed = derive(self.spec.seed, "standard dropout", next(layers))
            return StandardDropout(keep_probs[0], seed)

        model = build_model(
            self.spec.model,
            self.data.image_shape,
            self.data.classes,
            seed=self.spec.seed,
            dropout=dropout if keep_probs else None,
        )
        return model.to(self.device).to(memory_format=self.layout)

    def train_epoch(self, model: nn.Module, optimizer: Optimizer, epoch: int) -> Metrics:
        """Mean loss and accuracy over the epoch, measured while training, as the paper plots."""
        model.train()
        sums = torch.zeros(2, dtype=torch.float64, device=self.device)
        for images, labels in self.batches.train(self.spec.batch_size, self.spec.seed, epoch):
            loss, logits = self._loss(model, images, labels)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            sums += _sums(loss.detach() * len(labels), logits.detach(), labels)
        loss, accuracy = sums / len(self.data.train_labels)
        return {"train_loss": loss, "train_accuracy": accuracy}

    @torch.inference_mode()
    def evaluate(self, model: nn.Module) -> Metrics:
        """Mean loss and accuracy on the evaluation part, named after what it is."""
        model.eval()
        sums = torch.zeros(2, dtype=torch.float64, device=self.device)
        for images, labels in self.batches.test():
            loss, logits = self._loss(model, images, labels)
            sums += _sums(loss * len(labels), logits, labels)
        loss, accuracy = sums / len(self.data.test_labels)
        part = self.data.evaluated
        return {f"{part}_loss": loss, f"{part}_accuracy": accuracy}

    def _loss(self, model: nn.Module, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        images = images.contiguous(memory_format=self.layout)
        half = self.spec.execution.precision == "bf16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=half):
            logits = model(images)
        return F.cross_entropy(logits.float(), labels), logits


def _sums(loss: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
    """(summed loss, hits)."""
    return torch.stack([loss.double(), (logits.argmax(1) == labels).sum().double()])
