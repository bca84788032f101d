"""When a step is a CUDA graph, and what must hold around one; a real one is in `test_gpu.py`."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from lrd_core.graphs import EAGER, Graphed, Replay
from lrd_core.spec import TrialSpec
from lrd_core.tasks.classification import WORTH_A_GRAPH, in_channels_last, is_graphed

CPU, GPU = torch.device("cpu"), torch.device("cuda")
BATCHES = [8] * (EAGER + 2) + [3] + [8] * 3 + [3]
"""Their sizes; an epoch's last is smaller."""


def stand_in(model: nn.Module, replays: list[int]) -> Callable[[Callable[[], None]], Replay]:
    """As a CUDA graph: nothing runs when it is captured, and each replay writes to the memory that
    the gradients had then."""

    def capture(function: Callable[[], None]) -> Replay:
        own = [torch.full_like(parameter, torch.nan) for parameter in model.parameters()]
        for parameter, gradient in zip(model.parameters(), own, strict=True):
            parameter.grad = gradient

        def replay() -> None:
            replays.append(1)
            function()
            for parameter, gradient in zip(model.parameters(), own, strict=True):
                assert parameter.grad is not None
                gradient.copy_(parameter.grad)
                parameter.grad = None

        return replay

    return capture


def trained(make: Callable[[nn.Module, Callable[..., None]], Callable[..., None]]) -> list[Tensor]:
    draws = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    model = nn.Linear(4, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    sums = torch.zeros(())

    def compute(images: Tensor, labels: Tensor) -> None:
        model.zero_grad()
        loss = F.cross_entropy(model(images), labels)
        loss.backward()  # type: ignore[no-untyped-call]
        sums.add_(loss.detach())

    gradients = make(model, compute)
    for size in BATCHES:
        images = torch.randn(size, 4, generator=draws)
        gradients(images, torch.randint(3, (size,), generator=draws))
        for parameter in model.parameters():
            assert parameter.grad is not None
            parameter.grad.mul_(0.5)  # as NG and DG change them in place
        optimizer.step()
    return [*model.parameters(), sums]


def test_replays_learn_what_the_steps_themselves_do() -> None:
    """Catches: inputs that are not copied, and gradients left by a batch of another size."""
    replays: list[int] = []
    ours = trained(
        lambda model, compute: Graphed(compute, model.parameters(), stand_in(model, replays))
    )
    theirs = trained(lambda model, compute: compute)
    assert all(map(torch.equal, ours, theirs))
    assert len(replays) == BATCHES.count(8) - EAGER


def test_a_graph_that_memory_does_not_hold_is_done_without() -> None:
    tries: list[int] = []

    def capture(function: Callable[[], None]) -> Replay:
        tries.append(1)
        raise torch.OutOfMemoryError("CUDA out of memory")

    ours = trained(lambda model, compute: Graphed(compute, model.parameters(), capture))
    assert all(map(torch.equal, ours, trained(lambda model, compute: compute)))
    assert tries == [1]


def spec(**changes: Any) -> TrialSpec:
    document = {"dataset": "digits", "model": "fcnet", "optimizer": {"name": "adam"}, "epochs": 1}
    return TrialSpec.parse(document | changes)


@pytest.mark.parametrize(
    ("changes", "device", "steps", "expected"),
    [
        ({}, GPU, WORTH_A_GRAPH, True),
        ({}, GPU, WORTH_A_GRAPH - 1, False),
        ({"execution": {"compile": "on"}}, GPU, 1, True),
        ({"execution": {"compile": "off"}}, GPU, 10**6, False),
        ({"regularizers": ["NL", "NG", "DG"]}, GPU, 10**6, True),
        ({"regularizers": ["SD"], "execution": {"compile": "on"}}, GPU, 10**6, False),
        ({}, CPU, 10**6, False),
    ],
)
def test_which_trials_have_graphs(
    changes: dict[str, Any], device: torch.device, steps: int, expected: bool
) -> None:
    assert is_graphed(spec(**changes), device, steps) is expected


def test_another_packages_network_has_none() -> None:
    theirs = spec(execution={"compile": "on"}).model_copy(update={"model": "theirs"})
    assert not is_graphed(theirs, GPU, 10**6)


@pytest.mark.parametrize(
    ("channels_last", "precision", "device", "expected"),
    [
        ("auto", "fp32", CPU, True),
        ("auto", "fp32", GPU, False),
        ("auto", "tf32", GPU, True),
        ("auto", "bf16", GPU, True),
        ("on", "fp32", GPU, True),
        ("off", "bf16", GPU, False),
    ],
)
def test_which_trials_lie_channels_last(
    channels_last: str, precision: str, device: torch.device, expected: bool
) -> None:
    execution = {"channels_last": channels_last, "precision": precision}
    images = spec(execution=execution).model_copy(update={"model": "resnet34"})
    assert in_channels_last(images, device) is expected
    assert not in_channels_last(spec(execution=execution), device)  # FCNet has no convolutions
