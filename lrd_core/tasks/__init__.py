"""What is learned: each task knows its loss, its metrics and how it is evaluated."""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lrd_core import plugins
from lrd_core.errors import PluginError
from lrd_core.spec import TrialSpec

Metrics = Mapping[str, float | Tensor]
"""By name: numbers, or tensors of one number each that may still be on the device. The trainer
brings all of an epoch over at once, so that the host waits for the device once an epoch."""


class Task(Protocol):
    """The part of a trial that depends on what is learned.

    SD and NL are the task's to apply: one of another package that does so says it by an attribute
    `applies`, e.g. `("SD", "NL")`, and else gets no spec that asks for them.
    """

    steps_per_epoch: int

    @property
    def data_sha256(self) -> str | None:
        """Of the data set as it is used here; None where there is none."""

    def model(self) -> nn.Module:
        """The network with its initial weights, on the device."""

    def train_epoch(self, model: nn.Module, optimizer: Optimizer, epoch: int) -> Metrics:
        """One pass over the training data; metrics named `train_…`, `train_loss` among
        them: the trial has diverged where that is not finite."""

    def evaluate(self, model: nn.Module) -> Metrics:
        """The metrics after an epoch: `test_…` on a test set, `val_…` on what is held out of the
        training data, or by a name of their own. What is absent was not measured."""


def build_task(spec: TrialSpec, device: torch.device, data_dir: Path | None = None) -> Task:
    """The task that the spec names, or else its data set poses.

    Each is imported when asked for: a descent needs no image library.

    Raises:
        DataNotFound: the data set is not below `data_dir` and could not be downloaded.
        PluginError: the task is another package's, and is not installed here, or does not apply
            what the spec asks for.
    """
    match spec.task_name:
        case "classification":
            from lrd_core.tasks.classification import Classification

            return Classification(spec, device, data_dir)
        case "segmentation":
            from lrd_core.tasks.segmentation import Segmentation

            return Segmentation(spec, device, data_dir)
        case "detection":
            from lrd_core.tasks.detection import Detection

            return Detection(spec, device, data_dir)
        case "descent":
            from lrd_core.tasks.descent import Descent

            return Descent(spec, device, data_dir)
        case name:
            task: Task = plugins.call("lrd.tasks", name, spec, device, data_dir)
            _refuse_unapplied(task, spec)
            return task


def _refuse_unapplied(task: Task, spec: TrialSpec) -> None:
    """Else an arm with SD and one without would be the same, under two labels."""
    applied = {"NG", "DG", *getattr(task, "applies", ())}  # those two are the optimizer's
    for regularizer in spec.regularizers:
        if regularizer.kind not in applied:
            raise PluginError(
                f"the spec asks for {regularizer.kind}, and task {spec.task_name} does not say "
                f'that it applies it: it is to do so, and to have "{regularizer.kind}" in its '
                "attribute `applies`"
            )
