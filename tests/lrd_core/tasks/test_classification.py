"""Classification: how it is computed moves results by rounding at most."""

import copy
import gc
import itertools
import weakref
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lrd_core.models import build
from lrd_core.regularizers import StandardDropout
from lrd_core.seeds import derive
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


def dropped(model: nn.Module) -> list[StandardDropout]:
    return [part for part in model.modules() if isinstance(part, StandardDropout)]


def test_copied_layers_of_sd_drop_units_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: six blocks of a transformer that all drop the same units; SD between them, which the
    paper's comparison means, there is none."""

    def network(shape: Any, classes: int, dropout: Any) -> nn.Module:
        first = dropout()
        block = nn.Sequential(nn.Linear(64, 64), first)
        copies = [copy.deepcopy(block) for _ in range(3)]
        # Made in another order than they stand in, and one of them in two places.
        return nn.Sequential(dropout(), block, *copies, first)

    monkeypatch.setitem(build._BUILDERS, "fcnet", network)
    trial = spec(model="fcnet", regularizers=[{"kind": "SD", "keep_prob": 0.5}])
    layers = dropped(Classification(trial, CPU, None).model())
    masks = [layer.train()(torch.ones(256)) != 0 for layer in layers]
    assert len(masks) == 5
    for mask, other in itertools.combinations(masks, 2):
        assert 0.3 < (mask == other).float().mean() < 0.7
    again = dropped(Classification(trial, CPU, None).model())
    assert [layer.seed for layer in again] == [layer.seed for layer in layers]
    assert derive(0, "standard dropout", 0) == layers[1].seed  # the original keeps its own


@pytest.mark.parametrize("model", ["fcnet", "resnet34", "densenet121"])
def test_the_layers_of_sd_of_our_own_networks_keep_the_seeds_of_old_results(model: str) -> None:
    """Catches: other numbers than those recorded, of every trial with SD."""
    trial = spec(model=model, regularizers=["SD"], seed=3)
    layers = dropped(Classification(trial, CPU, None).model())
    assert len(layers) > 1
    made = [derive(3, "standard dropout", number) for number in range(len(layers))]
    assert sorted(layer.seed for layer in layers) == sorted(made)


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
