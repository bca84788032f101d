"""Tasks: what is learned. Each knows its loss, its metrics and its evaluation."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lrd_core import plugins
from lrd_core.errors import PluginError
from lrd_core.faults import short_repr
from lrd_core.spec import TrialSpec

Metrics = Mapping[str, float | Tensor]
"""Name -> a number, or a tensor of one number that may still be on the device. The trainer fetches
all of an epoch together, so that the host waits for the device once per epoch."""


class Task(Protocol):
    """The part of a trial that depends on what is learned.

    SD and NL are the task's to apply. A plugin's task that applies them says so by an attribute
    `applies`, e.g. `("SD", "NL")`; without it, a spec that asks for them is refused.
    """

    @property
    def data_sha256(self) -> str | None:
        """SHA-256 of the data set as this trial uses it; None without a data set."""

    def model(self) -> nn.Module:
        """The network with its initial weights, on the device."""

    def train_epoch(self, model: nn.Module, optimizer: Optimizer, epoch: int) -> Metrics:
        """Make one pass over the training data. The metrics are named `train_…`; one of them is
        `train_loss`, and the trial has diverged if that is not finite."""

    def evaluate(self, model: nn.Module) -> Metrics:
        """The metrics after an epoch: `test_…` on a test set, `val_…` on held-out training data, or
        under names of their own. An absent metric was not measured."""


def build_task(spec: TrialSpec, device: torch.device, data_dir: Path | None = None) -> Task:
    """The task that the spec names, by default that of its data set.

    Each is imported only when it is used: a descent needs no image library.

    Raises:
        DataNotFound: the data set is not below `data_dir` and could not be downloaded.
        PluginError: the task is a plugin's and not installed here, is no task, or does not apply a
            regularizer that the spec asks for.
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
            _refuse_incomplete(task, name)
            _refuse_unapplied(task, spec)
            return task


def _refuse_incomplete(task: Any, name: str) -> None:
    """Check that a plugin's task has a task's methods, and a data sum that can be recorded.

    Raises:
        PluginError: it lacks a method, or its `data_sha256` is neither text nor None.
    """
    for method in ("model", "train_epoch", "evaluate"):
        if not callable(getattr(task, method, None)):
            raise PluginError(
                f"task {name} is a {type(task).__name__}, which has no method {method}; a task has "
                "model(), train_epoch(model, optimizer, epoch) and evaluate(model)"
            )
    data_sum = getattr(task, "data_sha256", None)
    if not isinstance(data_sum, str | None):
        raise PluginError(
            f"data_sha256 of task {name} is {short_repr(data_sum)}; it must be text, or None if "
            "there is no data"
        )


def _refuse_unapplied(task: Task, spec: TrialSpec) -> None:
    """Otherwise an arm with SD and one without would be the same under two labels.

    Raises:
        PluginError: the task does not say that it applies a regularizer of the spec, or says it in
            a string.
    """
    says = getattr(task, "applies", ())
    if isinstance(says, str):  # of which each letter would be a kind
        raise PluginError(
            f"`applies` of task {spec.task_name} is the string {says!r}; it must be a tuple, "
            f"({says!r},), with a comma also after a single kind"
        )
    applied = {"NG", "DG", *says}  # those two are the optimizer's
    for regularizer in spec.regularizers:
        if regularizer.kind not in applied:
            raise PluginError(
                f"the spec asks for {regularizer.kind}, and task {spec.task_name} does not say "
                f'that it applies it: it must do so, and have "{regularizer.kind}" in its '
                "attribute `applies`"
            )
