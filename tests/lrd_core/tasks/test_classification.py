"""Classification: how it is computed moves results by rounding at most."""

import gc
import weakref
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lrd_core.spec import TrialSpec, config_hash
from lrd_core.tasks.classification import Classification
from lrd_core.training import TrainState, train
from tests.lrd_core.small_cifar import cifar_is_small

__all__ = ["cifar_is_small"]  # for all tests here

CPU = torch.device("cpu")


def spec(**changes: Any) -> TrialSpec:
    return TrialSpec.parse(
        {
            "dataset": "cifar10",
            "model": "resnet34",
            "optimizer": {"name": "sgdm", "lr": 0.01, "keep_prob": 0.5},
            "epochs": 1,
            "batch_size": 8,
        }
        | changes
    )


def losses(trial: TrialSpec) -> list[float]:
    return [report.metrics["train_loss"] for report in train(trial, TrainState.create(trial))]


def test_the_steps_of_an_epoch_are_those_that_are_counted() -> None:
    """Catches: 40 images in batches of 13, counted as four steps and trained in three."""
    trial = spec(model="fcnet", batch_size=13)
    task = Classification(trial, CPU, None)
    model, steps = task.model(), 0

    class Counted(torch.optim.SGD):
        def step(self, closure: Any = None) -> Any:
            nonlocal steps
            steps += 1
            return super().step(closure)

    task.train_epoch(model, Counted(model.parameters(), lr=0.01), 1)
    assert task.steps_per_epoch == steps == 3


def test_evaluation_leaves_no_graph_and_no_layer_in_training() -> None:
    trial = spec(model="fcnet")
    task = Classification(trial, CPU, None)
    model = task.model()
    seen: list[tuple[bool, bool]] = []

    def note(module: nn.Module, inputs: Any, output: Tensor) -> None:
        seen.append((output.is_inference(), module.training))

    model.register_forward_hook(note)
    metrics = task.evaluate(model)
    assert seen == [(True, False)]
    assert not any(value.requires_grad for value in metrics.values() if isinstance(value, Tensor))


@pytest.mark.parametrize(
    ("model", "asked", "layout"),
    [
        ("resnet34", "auto", torch.channels_last),
        ("resnet34", "off", torch.contiguous_format),
        ("fcnet", "auto", torch.contiguous_format),
    ],
)
def test_network_and_images_share_one_layout(
    model: str, asked: str, layout: torch.memory_format
) -> None:
    task = Classification(spec(model=model, execution={"channels_last": asked}), CPU, None)
    network = task.model()
    seen: list[bool] = []
    network.register_forward_pre_hook(
        lambda _, inputs: seen.append(inputs[0].is_contiguous(memory_format=layout))
    )
    task.evaluate(network)
    assert seen == [True]
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            assert module.weight.is_contiguous(memory_format=layout)


@pytest.mark.parametrize(
    ("execution", "tolerance"),
    [({"channels_last": "off"}, 1e-4), ({"precision": "bf16"}, 0.05)],
)
def test_layout_and_precision_move_the_loss_by_rounding(
    execution: dict[str, Any], tolerance: float
) -> None:
    # One step, whose loss is that of the initial weights: further ones would magnify the rounding.
    one, other = spec(batch_size=40), spec(batch_size=40, execution=execution)
    assert config_hash(one.config()) == config_hash(other.config())
    found = losses(other)
    assert found == pytest.approx(losses(one), rel=tolerance)
    assert found != losses(one)  # it was computed otherwise


def test_a_task_trains_the_model_that_it_is_given() -> None:
    state, other = TrainState.create(spec()), TrainState.create(spec(seed=1))
    next(train(state.spec, state))
    before = [each.detach().clone() for each in other.model.parameters()]
    state.task.train_epoch(other.model, other.optimizer, 1)
    changed = [not torch.equal(a, b) for a, b in zip(before, other.model.parameters(), strict=True)]
    assert all(changed)


def test_a_task_is_gone_with_its_trial() -> None:
    # Catches: a task and what computes its gradients that refer to each other. A GPU's memory would
    # be taken until garbage is collected, which no lack of a GPU's memory brings about.
    state = TrainState.create(spec())
    next(train(state.spec, state))
    task, model = weakref.ref(state.task), weakref.ref(state.model)
    gc.disable()
    try:
        del state
        assert (task(), model()) == (None, None)
    finally:
        gc.enable()
