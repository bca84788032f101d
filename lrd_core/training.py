"""Training as a generator: state in, one report per epoch out.

It knows nothing of Ray, HTTP, files or progress bars: these are up to the caller, who stops the
training by not asking for the next report.
"""

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from lrd_core import plugins
from lrd_core.environment import fault_of_changed, settings
from lrd_core.errors import CheckpointError, Diverged, PluginError
from lrd_core.faults import short_repr
from lrd_core.optim import Form, form_of
from lrd_core.regularizers import optimizer_of
from lrd_core.report import RESERVED, EpochReport
from lrd_core.schedule import build_scheduler
from lrd_core.seeds import derive, seeded
from lrd_core.spec import MetricName, TrialSpec, config_hash
from lrd_core.tasks import Metrics, Task, build_task

MOST_METRICS = 500
"""Metrics per epoch, at most: VOC's classes, each with a few, are a tenth of that."""
_METRIC_NAME = TypeAdapter(MetricName)


@dataclass
class TrainState:
    """The whole state of a trial between two epochs. It knows no paths."""

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
            PluginError: a plugin that the spec names is not what it should be, or changes torch's
            settings for the whole process.
        """
        device, before, everywhere = torch.device(device), settings(), _has_plugins(spec)
        # For code that draws from global generators: a model's dropout, a plugin's task.
        with seeded(derive(spec.seed, "task"), device, everywhere=everywhere):
            task = build_task(spec, device, data_dir)
        with seeded(derive(spec.seed, "weights"), device, everywhere=everywhere):
            model = task.model()
        _refuse_wrong_model(task, model)
        if (fault := fault_of_changed(before)) is not None:
            raise PluginError(fault)
        compile = spec.execution.compile != "off"
        optimizer = optimizer_of(spec, model.parameters(), compile=compile)
        scheduler = build_scheduler(spec.schedule, optimizer, spec.epochs)
        return cls(spec, device, task, model, optimizer, scheduler)

    @property
    def optimizer_form(self) -> Form:
        """How learning-rate dropout is computed; results differ by rounding between the forms."""
        return form_of(self.optimizer)

    def state_dict(self) -> dict[str, Any]:
        """Everything that `load_state_dict` needs to continue as if nothing had happened."""
        return {
            "config": config_hash(self.spec.config()),
            "seed": self.spec.seed,
            "epoch": self.epoch,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a saved state.

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


def _has_plugins(spec: TrialSpec) -> bool:
    return bool(plugins.used(spec.config()))


def _refuse_wrong_model(task: Task, model: Any) -> None:
    """Check before training that there is a model whose final weights can be hashed.

    Raises:
        PluginError: it is not an `nn.Module`, or its `state_dict` holds something other than
            tensors.
    """
    if not isinstance(model, nn.Module):
        raise PluginError(
            f"{_name_of(task)}.model returned {short_repr(model)}; it must return an nn.Module"
        )
    for name, part in model.state_dict().items():
        if not isinstance(part, Tensor):
            raise PluginError(
                f"the model's state_dict() has {name!r}, which is a {type(part).__name__}; it must "
                "hold only tensors: make it a buffer (`register_buffer`) instead of using "
                "`get_extra_state`"
            )


def train(spec: TrialSpec, state: TrainState) -> Iterator[EpochReport]:
    """Train from `state.epoch` to `spec.epochs`, yielding one report after each epoch.

    Between two reports the state is consistent: that is the moment to save it, or to stop asking.

    Raises:
        Diverged: the training loss of the epoch just reported is not finite.
        PluginError: a plugin's task returns something that is not a report's metrics.
    """
    everywhere = _has_plugins(spec)
    while state.epoch < spec.epochs:
        started = time.perf_counter()
        lr = state.optimizer.param_groups[0]["lr"]
        epoch = state.epoch + 1
        with seeded(derive(spec.seed, "model", epoch), state.device, everywhere=everywhere):
            trained = state.task.train_epoch(state.model, state.optimizer, epoch)
        state.scheduler.step()
        with seeded(derive(spec.seed, "evaluation", epoch), state.device, everywhere=everywhere):
            evaluated = state.task.evaluate(state.model)
        _refuse_wrong_metrics(state.task, "train_epoch", trained)
        _refuse_wrong_metrics(state.task, "evaluate", evaluated)
        _refuse_wrong_report(trained, evaluated)
        measured = {**trained, **evaluated}
        metrics = _to_floats(measured)
        state.epoch = epoch
        seconds = time.perf_counter() - started
        yield EpochReport(epoch=epoch, lr=float(lr), seconds=seconds, metrics=metrics)
        if not math.isfinite(metrics["train_loss"]):
            raise Diverged(f"the training loss of epoch {epoch} is {metrics['train_loss']}")


def _refuse_wrong_metrics(task: Task, function: str, metrics: Any) -> None:
    """Check what a task's `function` has returned.

    Raises:
        PluginError: it is not a mapping of names, such as a spec may mention, to numbers.
    """
    of = f"{_name_of(task)}.{function}"
    if not isinstance(metrics, Mapping):
        raise PluginError(
            f"{of} returned {short_repr(metrics)}; it must return a mapping of metrics, "
            "{} if there are none"
        )
    for name, value in metrics.items():
        try:
            _METRIC_NAME.validate_python(name)
        except ValidationError:
            raise PluginError(
                f"{of} returned a metric named {short_repr(name)}; a name is text of 1 to 100 "
                "characters, none of them invisible"
            ) from None
        if isinstance(value, Tensor):
            continue
        try:
            number = None if isinstance(value, str | bytes) else float(value)
        except (TypeError, ValueError, OverflowError):
            number = None
        if number is None:
            raise PluginError(
                f"{of} returned {short_repr(value)} as the metric {name!r}; each must be one number"
            )


def _refuse_wrong_report(trained: Metrics, evaluated: Metrics) -> None:
    """Check that an epoch's metrics make a report.

    Raises:
        PluginError: `train_loss` is missing, a name is taken, there are too many metrics, or a
            tensor is not one real number.
    """
    if twice := [name for name in evaluated if name in trained]:
        raise PluginError(
            f"the task's train_epoch and evaluate both return {twice[0]!r}, and only one of the "
            "numbers could be kept; give one of them another name"
        )
    metrics = {**trained, **evaluated}
    if len(metrics) > MOST_METRICS:
        raise PluginError(
            f"the task reports {len(metrics)} metrics per epoch; {MOST_METRICS} at most are kept: "
            "report those that a table or a figure is to show"
        )
    if "train_loss" not in metrics:
        raise PluginError(
            "the task's train_epoch returns no train_loss; it must be among its metrics"
        )
    if taken := [name for name in RESERVED if name in metrics]:
        raise PluginError(
            f"the task calls a metric {taken[0]!r}; a report uses that name for something else, so "
            "the metric must have another one"
        )
    for name, value in metrics.items():
        if isinstance(value, Tensor) and value.dim() > 0:
            shape = tuple(value.shape)
            raise PluginError(
                f"the task's metric {name!r} has shape {shape}; it must be one number"
            )
        if isinstance(value, Tensor) and value.is_complex():
            raise PluginError(f"the task's metric {name!r} is complex; it must be a real number")


def _name_of(task: Task) -> str:
    return f"{type(task).__module__}.{type(task).__qualname__}"


def _to_floats(metrics: Metrics) -> dict[str, float]:
    """The metrics as plain numbers. Those of one device are fetched together: that is the epoch's
    only synchronisation with it."""
    tensors = {name: value for name, value in metrics.items() if isinstance(value, Tensor)}
    brought: dict[str, float] = {}
    for device in {value.device for value in tensors.values()}:
        here = {name: value for name, value in tensors.items() if value.device == device}
        values = torch.stack([value.double() for value in here.values()]).tolist()
        brought |= zip(here, values, strict=True)
    return {name: float(brought.get(name, value)) for name, value in metrics.items()}


def _lay_out_state(optimizer: Optimizer) -> None:
    """Give each moment the memory layout of its parameter. A checkpoint may come from a device with
    another layout, and torch's fused kernels take equal layouts for granted."""
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            state = optimizer.state.get(parameter, {})
            for name, part in state.items():
                alike = isinstance(part, Tensor) and part.shape == parameter.shape
                if alike and part.stride() != parameter.stride():
                    state[name] = torch.empty_like(parameter.detach(), dtype=part.dtype).copy_(part)
