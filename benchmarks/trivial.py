"""A task without work, for measuring what the service itself costs: each epoch notes its end."""

import time
from pathlib import Path

import torch
from torch import nn
from torch.optim import Optimizer

from lrd_core.spec import TrialSpec


class Trivial:
    """Offered as an entry point, like a task of any other package."""

    data_sha256 = None

    def __init__(self, spec: TrialSpec, device: torch.device, data_dir: Path | None) -> None:
        """All of it is ignored."""

    def model(self) -> nn.Module:
        """One weight."""
        return nn.Linear(1, 1, bias=False)

    def train_epoch(self, model: nn.Module, optimizer: Optimizer, epoch: int) -> dict[str, float]:
        """Nothing is learned."""
        return {"train_loss": 0.0}

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        """When the epoch was over, in seconds since 1970."""
        return {"ended_at": time.time()}
