"""A checkpoint of a device on which weights lie otherwise."""

import io
from typing import Any

import pytest
import torch

from lrd_core.spec import TrialSpec
from lrd_core.tasks import classification
from lrd_core.training import TrainState, train
from tests.lrd_core.one_thread import one_thread
from tests.lrd_core.small_cifar import cifar_is_small

__all__ = ["cifar_is_small", "one_thread"]  # for all tests here


def spec(optimizer: dict[str, Any], compile: str) -> TrialSpec:
    document = {
        "dataset": "cifar10", "data": {"max_examples": 16}, "model": "resnet34", "epochs": 2,
        "batch_size": 8, "optimizer": optimizer, "execution": {"compile": compile},
    }  # fmt: skip
    return TrialSpec.parse(document)


@pytest.mark.parametrize(
    ("optimizer", "compile"),
    [
        ({"name": "adamw", "lr": 1e-3}, "off"),
        ({"name": "sgdm", "lr": 1e-3, "nesterov": True}, "auto"),
        ({"name": "adam", "lr": 1e-3}, "off"),
        ({"name": "adam", "lr": 1e-3}, "auto"),
    ],
    ids=str,
)
@pytest.mark.parametrize("first", [True, False], ids=["channels last first", "contiguous first"])
def test_a_checkpoint_goes_on_where_weights_lie_otherwise(
    optimizer: dict[str, Any], compile: str, first: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: moments read in the order of memory of another layout, by torch's fused kernels."""
    trial = spec(optimizer, compile)

    def lie(last: bool) -> None:
        monkeypatch.setattr(classification, "in_channels_last", lambda *_: last)

    lie(first)
    straight = TrainState.create(trial)
    next(train(trial, straight))
    stored = io.BytesIO()
    torch.save(straight.state_dict(), stored)
    lie(not first)
    resumed = TrainState.create(trial)
    resumed.load_state_dict(torch.load(io.BytesIO(stored.getvalue()), weights_only=True))
    for state in (straight, resumed):  # a network would round otherwise in another layout
        draws = torch.Generator().manual_seed(0)
        for parameter in state.model.parameters():
            gradient = torch.randn(parameter.shape, generator=draws) / 100
            parameter.grad = torch.empty_like(parameter).copy_(gradient)
        state.optimizer.step()
    for ours, theirs in zip(resumed.model.parameters(), straight.model.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)
