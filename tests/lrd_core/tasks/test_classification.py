"""Classification: how it is computed moves results by rounding at most, and nothing waits."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from lrd_core.datasets import images
from lrd_core.datasets.images import ImageData
from lrd_core.spec import TrialSpec, config_hash
from lrd_core.tasks.classification import Classification
from lrd_core.training import TrainState, train

CPU = torch.device("cpu")
COUNT = 48


@pytest.fixture(autouse=True)
def small_cifar(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """CIFAR-10 is 48 random images, the last 8 of which are to be recognised."""
    draws = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (COUNT, 3, 32, 32), generator=draws, dtype=torch.uint8)
    labels = torch.arange(COUNT) % 10
    data = ImageData(
        pixels[:-8], labels[:-8], pixels[-8:], labels[-8:], classes=10, scale=255,
        mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25), crop_and_flip=True,
    )  # fmt: skip
    monkeypatch.setitem(images._LOADERS, "cifar10", lambda root: data)
    images._load.cache_clear()
    yield
    images._load.cache_clear()


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


WAITING = {"item", "tolist", "cpu", "nonzero", "__bool__", "__float__", "__int__", "__index__"}
"""Calls for which the host waits until the device has computed."""


class Waits(TorchFunctionMode):
    """Counts them."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: Counter[str] = Counter()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        masked = name == "__getitem__" and getattr(args[1], "dtype", None) == torch.bool
        if name in WAITING or masked:
            self.seen[name] += 1
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("dataset", ["digits", "cifar10"])
def test_the_host_waits_for_the_device_once_an_epoch(dataset: str) -> None:
    # Not the fused form: it reads its counts of steps, which are on the host also where the device
    # is a GPU, and on a CPU this test cannot tell.
    options = {"data": {"cutout": 4}, "execution": {"compile": "off"}}
    trial = spec(dataset=dataset, model="fcnet", epochs=3, **options)
    state = TrainState.create(trial)
    with Waits() as waits:
        assert len(list(train(trial, state))) == 3
    assert waits.seen == {"tolist": 3}


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
