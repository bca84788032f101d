"""Image classification: cross-entropy, accuracy as a share from 0 to 1."""

from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.optim import Optimizer

from lrd_core.choices import CLASSIFIERS, CONVOLUTIONAL
from lrd_core.configuration import NL, SD, PluginOptimizer
from lrd_core.datasets.batches import Batches, spans
from lrd_core.datasets.images import load_images
from lrd_core.errors import PluginError
from lrd_core.graphs import Graphed
from lrd_core.models import build_model
from lrd_core.regularizers import StandardDropout, noisy_labels
from lrd_core.seeds import derive
from lrd_core.spec import TrialSpec
from lrd_core.tasks import Metrics
from lrd_core.tasks.vision import as_logits, autocast

GRAPHED = CLASSIFIERS
"""The networks whose steps can be a CUDA graph. A plugin's may do what a graph would not repeat."""
WORTH_A_GRAPH = 100
"""Steps of a trial from which `auto` captures a graph: capturing takes as long as 1 to 7 steps
(docs/results/training.md)."""


class Classification:
    """Learns the labels of an image data set."""

    applies = ("SD", "NL")
    """For a plugin's task that inherits from this one."""

    def __init__(self, spec: TrialSpec, device: torch.device, data_dir: Path | None) -> None:
        self.spec = spec
        self.device = device
        data = load_images(spec.dataset, data_dir)
        self.data = data.part(spec.data.holdout, spec.data.max_examples)
        self.data_sha256 = self.data.sha256
        self.batches = Batches(self.data, device, spec.data.cutout)
        last = in_channels_last(spec, device)
        self.layout = torch.channels_last if last else torch.contiguous_format
        for regularizer in spec.regularizers:
            if isinstance(regularizer, NL):
                seed = derive(spec.seed, "noisy labels")
                labels = self.data.train_labels
                self.batches.relabel(
                    noisy_labels(labels, self.data.classes, regularizer.prob, seed)
                )
        self.steps_per_epoch = len(spans(len(self.data.train_labels), spec.batch_size))
        self._sums = torch.zeros(2, dtype=torch.float64, device=device)
        self._trained: tuple[nn.Module, Optimizer, Callable[..., None]] | None = None

    def model(self) -> nn.Module:
        """The network with its initial weights, on the device."""
        keep_probs = [r.keep_prob for r in self.spec.regularizers if isinstance(r, SD)]
        layers = iter(range(10_000))
        trial_seed = self.spec.seed  # not `self`, for the reason given in `_gradients`

        def dropout() -> nn.Module:
            seed = derive(trial_seed, "standard dropout", next(layers))
            return StandardDropout(keep_probs[0], seed)

        model = build_model(
            self.spec.model,
            self.data.image_shape,
            self.data.classes,
            seed=self.spec.seed,
            dropout=dropout if keep_probs else None,
        )
        dropped = [part for part in model.modules() if isinstance(part, StandardDropout)]
        if keep_probs and not dropped:
            raise PluginError(
                f"the spec asks for SD, and model {self.spec.model} has no layer of it: it must "
                "make one with `dropout()` wherever units may be dropped"
            )
        # A layer that was copied, as by `copy.deepcopy`, has its original's seed, and would drop
        # the same units.
        taken: set[int] = set()
        for part in dropped:
            while part.seed in taken:
                part.seed = derive(trial_seed, "standard dropout", next(layers))
            taken.add(part.seed)
        return model.to(self.device).to(memory_format=self.layout)

    def train_epoch(self, model: nn.Module, optimizer: Optimizer, epoch: int) -> Metrics:
        """Mean loss and accuracy over the epoch, measured while training, as the paper plots."""
        model.train()
        known = self._trained
        if known is None or known[0] is not model or known[1] is not optimizer:
            known = self._trained = model, optimizer, self._gradients(model, optimizer)
        compute_gradients = known[2]
        self._sums.zero_()
        for images, labels in self.batches.train(self.spec.batch_size, self.spec.seed, epoch):
            compute_gradients(images, labels)
            optimizer.step()
        loss, accuracy = self._sums / len(self.data.train_labels)
        return {"train_loss": loss, "train_accuracy": accuracy}

    def _gradients(
        self, model: nn.Module, optimizer: Optimizer
    ) -> Callable[[Tensor, Tensor], None]:
        """A function that computes a batch's gradients and adds to the epoch's sums."""
        # It must not refer to the task, which refers to it: a cycle would keep the trial's memory
        # until garbage is collected.
        spec, layout, classes, sums = self.spec, self.layout, self.data.classes, self._sums

        def compute(images: Tensor, labels: Tensor) -> None:
            optimizer.zero_grad()
            logits = _logits(model, images, spec, layout, classes)
            loss = F.cross_entropy(logits, labels)
            loss.backward()  # type: ignore[no-untyped-call]
            sums.add_(_sums(loss.detach() * len(labels), logits.detach(), labels))

        graphed = is_graphed(spec, self.device, spec.epochs * self.steps_per_epoch)
        return Graphed(compute, model.parameters()) if graphed else compute

    @torch.inference_mode()
    def evaluate(self, model: nn.Module) -> Metrics:
        """Mean loss and accuracy on the evaluation part, named `test_…` or `val_…`."""
        model.eval()
        sums = torch.zeros(2, dtype=torch.float64, device=self.device)
        for images, labels in self.batches.test():
            logits = _logits(model, images, self.spec, self.layout, self.data.classes)
            loss = F.cross_entropy(logits, labels)
            sums += _sums(loss * len(labels), logits, labels)
        loss, accuracy = sums / len(self.data.test_labels)
        part = self.data.evaluated
        return {f"{part}_loss": loss, f"{part}_accuracy": accuracy}


def is_graphed(spec: TrialSpec, device: torch.device, steps: int) -> bool:
    """Whether a trial of `steps` steps launches each of them as a CUDA graph."""
    if device.type != "cuda" or spec.execution.compile == "off" or spec.model not in GRAPHED:
        return False
    if isinstance(spec.optimizer, PluginOptimizer):
        return False  # it may replace the weights' tensors, or keep gradients
    return spec.execution.compile == "on" or steps >= WORTH_A_GRAPH


def in_channels_last(spec: TrialSpec, device: torch.device) -> bool:
    """Whether images and weights are channels-last in memory.

    Convolutions are faster that way, except in fp32 on a GPU (ResNet-34 on an H200: 39 ms per step
    without, 45 with). A plugin's network must be asked to, because a `view` in it would fail.
    """
    match spec.execution.channels_last:
        case "auto":
            slower = device.type == "cuda" and spec.execution.precision == "fp32"
            return spec.model in CONVOLUTIONAL and not slower
        case choice:
            no_convolutions = spec.model in CLASSIFIERS and spec.model not in CONVOLUTIONAL
            return choice == "on" and not no_convolutions


def _logits(
    model: nn.Module, images: Tensor, spec: TrialSpec, layout: torch.memory_format, classes: int
) -> Tensor:
    """The network's output for a batch, `(n, classes)` float32."""
    with autocast(spec, images.device):
        logits = model(images.contiguous(memory_format=layout))
    return as_logits(logits, (len(images), classes), spec.model)


def _sums(loss: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
    """(summed loss, hits)."""
    return torch.stack([loss.double(), (logits.argmax(1) == labels).sum().double()])
