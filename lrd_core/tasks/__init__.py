"""What is learned: each task knows its loss, its metrics and how it is evaluated."""

from pathlib import Path
from typing import Protocol

import torch
from torch import nn
from torch.optim import Optimizer

from lrd_core.spec import TrialSpec


class Task(Protocol):
    """The part of a trial that depends on what is learned."""

    steps_per_epoch: int

    def model(self) -> nn.Module:
        """The network with its initial weights, on the device."""

    def train_epoch(self, model: nn.Module, optimizer: Optimizer, epoch: int) -> dict[str, float]:
        """One pass over the training data; metrics named `train_…`."""

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        """The metrics after an epoch, named `test_…`."""


def build_task(spec: TrialSpec, device: torch.device, data_dir: Path | None = None) -> Task:
    """The task that the spec's data set poses.

    Raises:
        DataNotFound: the data set is not below `data_dir` and could not be downloaded.
    """
    from lrd_core.tasks.classification import Classification

    return Classification(spec, device, data_dir)
