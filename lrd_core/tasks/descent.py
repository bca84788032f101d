"""Descent on a surface in the plane, from many starting points at once (eq. 3, Figures 1 and 4)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim import Optimizer

from lrd_core.models.point import Points
from lrd_core.regularizers import optimizer_of
from lrd_core.schedule import build_scheduler
from lrd_core.spec import TrialSpec
from lrd_core.surfaces import SURFACES, Point
from lrd_core.tasks import Metrics

STEPS_PER_EPOCH = 100


class Descent:
    """Each starting point of the surface is one run; the metrics are over all runs."""

    data_sha256: str | None = None

    def __init__(
        self,
        spec: TrialSpec,
        device: torch.device,
        data_dir: Path | None = None,
        starts: Sequence[Point] | None = None,
    ) -> None:
        """`starts`: starting points to use instead of the surface's own."""
        self.surface = SURFACES[spec.data.surface or "toy"]
        self.device = device
        self.starts = starts or self.surface.starts
        self.optima = torch.tensor(self.surface.optima, device=device)

    def model(self) -> nn.Module:
        """All runs at their starting points."""
        return Points(self.starts).to(self.device)

    def train_epoch(self, model: nn.Module, optimizer: Optimizer, epoch: int) -> Metrics:
        """Take `STEPS_PER_EPOCH` steps of every run; the loss is the mean height over them."""
        total = torch.zeros((), dtype=torch.float64, device=self.device)
        for _ in range(STEPS_PER_EPOCH):
            total += self.step(model, optimizer).double().mean()
        return {"train_loss": total / STEPS_PER_EPOCH}

    def step(self, model: nn.Module, optimizer: Optimizer) -> Tensor:
        """Take one step of every run; return the heights `(n,)` before it."""
        heights: Tensor = self.surface.height(*model())
        optimizer.zero_grad()
        heights.sum().backward()  # type: ignore[no-untyped-call]  # each run has its own gradient
        optimizer.step()
        return heights.detach()

    @torch.inference_mode()
    def evaluate(self, model: nn.Module) -> Metrics:
        """The mean height of the runs, their mean distance to the nearest optimum, and the share
        that has reached it. One run that escaped to infinity makes the means infinite."""
        x, y = model()
        points = torch.stack([x, y], 1)  # (n, 2)
        # By differences: the matrix products that torch uses for many points lose all below 5e-4.
        mode = "donot_use_mm_for_euclid_dist"
        distance = torch.cdist(points, self.optima, compute_mode=mode).amin(1)
        return {
            "final_loss": self.surface.height(x, y).double().mean(),
            "optimum_distance": distance.double().mean(),
            "reached_share": (distance <= self.surface.radius).double().mean(),
        }


def paths(
    spec: TrialSpec,
    starts: Sequence[Point] | None = None,
    steps: int | None = None,
    points: int | None = None,
) -> NDArray[np.float32]:
    """The paths that the runs of a trial take, for a figure.

    Args:
        spec: a trial on dataset `surface`.
        starts: starting points; by default the surface's own. A point's masks depend on its place
            in this list, so other lists give other paths of the same kind.
        steps: how many; by default all of the trial's.
        points: about how many points of each path, evenly spaced; by default all.

    Returns:
        `(points, n, 2)`: every run's (x, y) at its start and after each step, or each k-th.
    """
    task = Descent(spec, torch.device("cpu"), starts=starts)
    model: Any = task.model()
    optimizer = optimizer_of(spec, model.parameters())
    scheduler = build_scheduler(spec.schedule, optimizer, spec.epochs)
    count = steps or spec.epochs * STEPS_PER_EPOCH
    every = max(1, (count + 1) // points) if points else 1
    path = [model.at.detach().numpy().copy()]
    for number in range(1, count + 1):
        task.step(model, optimizer)
        if number % every == 0:
            path.append(model.at.detach().numpy().copy())
        if number % STEPS_PER_EPOCH == 0:
            scheduler.step()
    return np.stack(path)
