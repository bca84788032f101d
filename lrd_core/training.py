"""Training as a generator: state in, one report an epoch out.

It knows nothing of Ray, HTTP, files or progress bars: whoever asks for the next report decides
about those, and stops by not asking.
"""

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from lrd_core.errors import CheckpointError, Diverged, PluginError
from lrd_core.optim import Form, build_optimizer, form_of
from lrd_core.regularizers import apply_gradient_regularizers
from lrd_core.report import RESERVED, EpochReport
from lrd_core.schedule import build_scheduler
from lrd_core.seeds import derive, seeded
from lrd_core.spec import TrialSpec, config_hash
from lrd_core.tasks import Metrics, Task, build_task


@dataclass
class TrainState:
    """All that a trial is between two epochs. It knows no paths."""

    spec: TrialSpec
    device: torch.device
    task: Task
    model: nn.Module
    optimizer: Optimizer
    scheduler: LRScheduler
    epoch: int = 0
    """Epochs done."""

    @classmethod
    def create(
        cls,
        spec: TrialSpec,
        device: torch.device | str = "cpu",
        data_dir: Path | None = None,
    ) -> "TrainState":
        """The state before the first epoch.

        Raises:
            DataNotFound: the data set is not below `data_dir` and could not be downloaded.
            PluginError: a part of the spec is another package's, and is not what it is to be.
        """
        device = torch.device(device)
        # For what draws from torch's global generators: dropout of a model, tasks of others.
        with seeded(derive(spec.seed, "task"), device):
            task = build_task(spec, device, data_dir)
        with seeded(derive(spec.seed, "weights"), device):
            model = task.model()
        _refuse_but_tensors(model)
        optimizer = build_optimizer(
            spec.optimizer,
            model.parameters(),
            seed=derive(spec.seed, "learning rate dropout"),
            compile=spec.execution.compile != "off",
        )
        apply_gradient_regularizers(
            optimizer, spec.regularizers, derive(spec.seed, "gradient regularizers")
        )
        scheduler = build_scheduler(spec.schedule, optimizer, spec.epochs)
        return cls(spec, device, task, model, optimizer, scheduler)

    @property
    def optimizer_form(self) -> Form:
        """How learning-rate dropout is computed; results differ by rounding between the forms."""
        return form_of(self.optimizer)

    def state_dict(self) -> dict[str, Any]:
        """Everything that `load_state_dict` needs to go on as if nothing had happened."""
        return {
            "config": config_hash(self.spec.config()),
            "seed": self.spec.seed,
            "epoch": self.epoch,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state.

        Raises:
            CheckpointError: it was saved by another trial.
        """
        theirs, ours = (
            (state["config"], state["seed"]),
            (config_hash(self.spec.config()), self.spec.seed),
        )
        if theirs != ours:
            raise CheckpointError(
                f"the checkpoint is of configuration {theirs[0][:12]} seed {theirs[1]}, "
                f"this trial of {ours[0][:12]} seed {ours[1]}"
            )
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        _lay_out_state(self.optimizer)
        self.scheduler.load_state_dict(state["scheduler"])
        self.epoch = state["epoch"]


def _refuse_but_tensors(model: nn.Module) -> None:
    """Before an epoch is trained: there would be no sum over the weights at the end.

    Raises:
        PluginError: the model's `state_dict` holds something else.
    """
    for name, part in model.state_dict().items():
        if not isinstance(part, Tensor):
            raise PluginError(
                f"the model's state_dict() has {name!r}, which is a {type(part).__name__}; it is "
                "to hold tensors alone: make a buffer of it (`register_buffer`) in place of "
                "`get_extra_state`"
            )


def train(spec: TrialSpec, state: TrainState) -> Iterator[EpochReport]:
    """Train from `state.epoch` to `spec.epochs`, yielding one report after each epoch.

    Between two reports the state is consistent: that is the moment to save it, or to stop asking.

    Raises:
        Diverged: the training loss of the epoch just reported is not finite.
        PluginError: another package's task returns what makes no report.
    """
    while state.epoch < spec.epochs:
        started = time.perf_counter()
        lr = state.optimizer.param_groups[0]["lr"]
        epoch = state.epoch + 1
        with seeded(derive(spec.seed, "model", epoch), state.device):
            trained = state.task.train_epoch(state.model, state.optimizer, epoch)
        state.scheduler.step()
        with seeded(derive(spec.seed, "evaluation", epoch), state.device):
            evaluated = state.task.evaluate(state.model)
        metrics = _numbers(
            dict(_given(state.task, "train_epoch", trained))
            | dict(_given(state.task, "evaluate", evaluated))
        )
        state.epoch = epoch
        seconds = time.perf_counter() - started
        yield EpochReport(epoch=epoch, lr=float(lr), seconds=seconds, metrics=metrics)
        if not math.isfinite(metrics["train_loss"]):
            raise Diverged(f"the training loss of epoch {epoch} is {metrics['train_loss']}")


def _given(task: Task, function: str, metrics: Any) -> Metrics:
    """What a function of a task has returned.

    Raises:
        PluginError: another package's task returns what are no metrics, or one that is no number.
    """
    of = f"{type(task).__module__}.{type(task).__qualname__}.{function}"
    if not isinstance(metrics, Mapping):
        raise PluginError(
            f"{of} returned {_short(metrics)}; it is to return a mapping of metrics, "
            "{} where there are none"
        )
    for name, value in metrics.items():
        if isinstance(value, Tensor):
            continue
        try:
            number = None if isinstance(value, str | bytes) else float(value)
        except (TypeError, ValueError):
            number = None
        if number is None:
            raise PluginError(
                f"{of} returned {_short(value)} as the metric {name!r}; each is to be one number"
            )
    return metrics


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _numbers(metrics: Metrics) -> dict[str, float]:
    """Plain numbers; those on a device come over together: the epoch's one synchronisation with it.

    Raises:
        PluginError: another package's task reports what makes no report.
    """
    tensors = {name: value for name, value in metrics.items() if isinstance(value, Tensor)}
    if "train_loss" not in metrics:
        raise PluginError(
            "the task's train_epoch gives no train_loss; it is to be among its metrics"
        )
    if taken := [name for name in RESERVED if name in metrics]:
        raise PluginError(
            f"the task calls a metric {taken[0]!r}; a report has that name for something else"
        )
    for name, value in tensors.items():
        if value.dim() > 0:
            shape = tuple(value.shape)
            raise PluginError(
                f"the task's metric {name!r} has shape {shape}; it is to be one number"
            )
    brought: dict[str, float] = {}
    for device in {value.device for value in tensors.values()}:
        here = {name: value for name, value in tensors.items() if value.device == device}
        values = torch.stack([value.double() for value in here.values()]).tolist()
        brought |= zip(here, values, strict=True)
    return {name: float(brought.get(name, value)) for name, value in metrics.items()}


def _lay_out_state(optimizer: Optimizer) -> None:
    """Lay each moment out as its parameter is. A checkpoint may be of another device, where images
    and weights lie otherwise, and torch's fused kernels take equal layouts for granted."""
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            state = optimizer.state.get(parameter, {})
            for name, part in state.items():
                alike = isinstance(part, Tensor) and part.shape == parameter.shape
                if alike and part.stride() != parameter.stride():
                    state[name] = torch.empty_like(parameter.detach(), dtype=part.dtype).copy_(part)
