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
from lrd_core.optim import build_optimizer
from lrd_core.regularizers import apply_gradient_regularizers
from lrd_core.schedule import build_scheduler
from lrd_core.seeds import derive
from lrd_core.spec import TrialSpec
from lrd_core.surfaces import SURFACES, Point
from lrd_core.tasks import Metrics

STEPS_PER_EPOCH = 100


class Descent:
    """Every starting point of the surface is a run of its own; the metrics are over all runs."""

    steps_per_epoch = STEPS_PER_EPOCH
    data_sha256: str | None = None

    def __init__(
        self,
        spec: TrialSpec,
        device: torch.device,
        data_dir: Path | None = None,
        starts: Sequence[Point] | None = None,
    ) -> None:
        """`starts`: other starting points than the surface's own."""
        self.surface = SURFACES[spec.data.surface or "toy"]
        self.device = device
        self.starts = starts or self.surface.starts
        self.optima = torch.tensor(self.surface.optima, device=device)

    def model(self) -> nn.Module:
        """All runs at their starting points."""
        return Points(self.starts).to(self.device)

    def train_epoch(self, model: nn.Module, optimizer: Optimizer, epoch: int) -> Metrics:
        """`STEPS_PER_EPOCH` steps of every run; the mean height over steps and runs."""
        total = torch.zeros((), dtype=torch.float64, device=self.device)
        for _ in range(STEPS_PER_EPOCH):
            total += self.step(model, optimizer).double().mean()
        return {"train_loss": total / STEPS_PER_EPOCH}

    def step(self, model: nn.Module, optimizer: Optimizer) -> Tensor:
        """One step of every run; gives the heights `(n,)` before it."""
        heights: Tensor = self.surface.height(*model())
        optimizer.zero_grad()
        heights.sum().backward()  # type: ignore[no-untyped-call]  # each run has its own gradient
        optimizer.step()
        return heights.detach()

    @torch.inference_mode()
    def evaluate(self, model: nn.Module) -> Metrics:
        """Where the runs are now: their mean height and distance to the nearest optimum, and the
        share of them that has reached it. A run that left for infinity makes the means so too."""
        x, y = model()
        points = torch.stack([x, y], 1)  # (n, 2)
        # By differences: the sums of products that it takes for many points lose all below 5e-4.
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
    """The ways that the runs of a trial take, for a figure.

    Args:
        spec: of a trial on dataset `surface`.
        starts: starting points; the surface's own if left out. The masks of a point depend on its
            place in this list, so other lists give other paths of the same kind.
        steps: how many; all of the trial's if left out.
        points: about so many of each way, evenly; all if left out.

    Returns:
        `(points, n, 2)`: every run's (x, y) at its start and after each step, or each k-th.
    """
    task = Descent(spec, torch.device("cpu"), starts=starts)
    model: Any = task.model()
    optimizer = build_optimizer(
        spec.optimizer, model.parameters(), seed=derive(spec.seed, "learning rate dropout")
    )
    apply_gradient_regularizers(
        optimizer, spec.regularizers, derive(spec.seed, "gradient regularizers")
    )
    scheduler = build_scheduler(spec.schedule, optimizer, spec.epochs)
    count = steps or spec.epochs * STEPS_PER_EPOCH
    every = max(1, (count + 1) // points) if points else 1
    ways = [model.at.detach().numpy().copy()]
    for number in range(1, count + 1):
        task.step(model, optimizer)
        if number % every == 0:
            ways.append(model.at.detach().numpy().copy())
        if number % STEPS_PER_EPOCH == 0:
            scheduler.step()
    return np.stack(ways)
