"""When a step is a CUDA graph, and what must hold around one; real ones are in `test_gpu.py`."""

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from lrd_core import graphs, regularizers
from lrd_core.configuration import PluginOptimizer
from lrd_core.graphs import EAGER, Graphed, Replay
from lrd_core.spec import TrialSpec
from lrd_core.tasks import classification
from lrd_core.tasks.classification import WORTH_A_GRAPH, in_channels_last, is_graphed
from lrd_core.training import TrainState, train
from tests.lrd_core.one_thread import one_thread
from tests.lrd_core.recorded import recorded
from tests.lrd_core.small_cifar import cifar_is_small

__all__ = ["cifar_is_small", "one_thread"]  # for all tests here

CPU, GPU = torch.device("cpu"), torch.device("cuda")
BATCHES = [8] * (EAGER + 2) + [3] + [8] * 3 + [3]
"""Their sizes; an epoch's last is smaller."""


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

    def counted(function: Callable[[], None], device: torch.device) -> Replay:
        replay = recorded(function, device)

        def replay_and_count() -> None:
            replays.append(1)
            replay()

        return replay_and_count

    ours = trained(lambda model, compute: Graphed(compute, model.parameters(), counted))
    theirs = trained(lambda model, compute: compute)
    assert all(map(torch.equal, ours, theirs))
    assert len(replays) == BATCHES.count(8) - EAGER


def test_what_the_host_counts_is_not_counted_in_a_graph() -> None:
    """That the test below can fail."""
    passes = 0

    def lazy(model: nn.Module, compute: Callable[..., None]) -> Callable[..., None]:
        def counting(images: Tensor, labels: Tensor) -> None:
            nonlocal passes
            passes += 1
            compute(images * passes, labels)

        return counting

    theirs = trained(lazy)
    passes = 0
    ours = trained(
        lambda model, compute: Graphed(lazy(model, compute), model.parameters(), recorded)
    )
    assert not any(map(torch.equal, ours, theirs))


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"regularizers": ["SD", "NL", "NG", "DG"]}, id="regularizers"),
        pytest.param({"optimizer": {"name": "nadam", "keep_prob": 0.5}}, id="universal"),
        pytest.param({"model": "resnet34", "regularizers": ["SD"]}, id="resnet34"),
        pytest.param({"model": "resnet34", "execution": {"precision": "bf16"}}, id="resnet34 bf16"),
        pytest.param({"model": "densenet121"}, id="densenet121", marks=pytest.mark.slow),
    ],
)
def test_a_trial_has_no_number_that_a_graph_would_keep(
    changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its networks, regularizers and precisions; by a graph that was recorded on the CPU."""
    monkeypatch.setattr(regularizers, "int", lambda count: count, raising=False)  # as on a GPU
    made: list[Graphed] = []

    def graphed(function: Callable[..., None], parameters: Any) -> Graphed:
        made.append(Graphed(function, parameters, recorded))
        return made[-1]

    monkeypatch.setattr(classification, "Graphed", graphed)
    document: dict[str, Any] = {
        "dataset": "digits" if "model" not in changes else "cifar10",
        "data": {"max_examples": 39},
        "optimizer": {"name": "sgdm", "lr": 0.01, "keep_prob": 0.5},
        "batch_size": 9,
        "epochs": 2,
    }
    results = []
    asked: list[int] = []
    for so in (True, False):

        def answer(trial: TrialSpec, device: torch.device, steps: int, so: bool = so) -> bool:
            asked.append(steps)
            return so

        monkeypatch.setattr(classification, "is_graphed", answer)
        trial = spec(**document | changes)
        results.append([each.metrics for each in train(trial, TrainState.create(trial))])
    assert results[0] == results[1]
    assert asked == [2 * 5] * 2  # of the whole trial
    assert [each._replay is not None for each in made] == [True]


@pytest.mark.parametrize(
    "error",
    [(torch.OutOfMemoryError, "CUDA out of memory. Tried"), (RuntimeError, "error: out of memory")],
)
def test_a_graph_that_memory_does_not_hold_is_done_without(
    error: tuple[type[Exception], str],
) -> None:
    tries: list[int] = []
    left: list[weakref.ref[Tensor]] = []

    def capture(function: Callable[[], None], device: torch.device) -> Replay:
        tries.append(1)
        function()
        gradient = models[0].weight.grad
        assert gradient is not None
        left.append(weakref.ref(gradient))  # its memory is the graph's
        raise error[0](error[1])

    models: list[Any] = []

    def make(model: nn.Module, compute: Callable[..., None]) -> Graphed:
        models.append(model)
        return Graphed(compute, model.parameters(), capture)

    ours = trained(make)
    # What was captured is run here at once: without the sum of losses, which has it twice.
    theirs = trained(lambda model, compute: compute)
    assert all(map(torch.equal, ours[:-1], theirs[:-1]))
    assert tries == [1]
    assert left[0]() is None


def test_another_fault_of_a_capture_is_told() -> None:
    def capture(function: Callable[[], None], device: torch.device) -> Replay:
        raise RuntimeError("operation not permitted when stream is capturing")

    with pytest.raises(RuntimeError, match="not permitted"):
        trained(lambda model, compute: Graphed(compute, model.parameters(), capture))


def test_each_device_has_a_stream_for_captures_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: torch's, which is of the device that a kept process had first."""
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: f"a stream of {device}")
    stream = graphs._stream.__wrapped__
    assert [stream(torch.device("cuda", n)) for n in (0, 1)] == [
        "a stream of cuda:0",
        "a stream of cuda:1",
    ]
    entered: list[Any] = []

    @contextmanager
    def entering(*args: Any, **options: Any) -> Iterator[None]:
        entered.append((args[-1], options))
        yield

    class Graph:
        def replay(self) -> None: ...

    graph = Graph()
    monkeypatch.setattr(graphs, "_stream", stream)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", lambda: graph)
    monkeypatch.setattr(torch.cuda, "device", entering)
    monkeypatch.setattr(torch.cuda, "graph", entering)
    graphs.captured(lambda: entered.append("run"), torch.device("cuda", 1))
    assert entered == [
        (torch.device("cuda", 1), {}),
        (graph, {"stream": "a stream of cuda:1"}),
        "run",
    ]


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
        ({"regularizers": ["SD", "NL", "NG", "DG"]}, GPU, 10**6, True),
        ({}, CPU, 10**6, False),
    ],
)
def test_which_trials_have_graphs(
    changes: dict[str, Any], device: torch.device, steps: int, expected: bool
) -> None:
    assert is_graphed(spec(**changes), device, steps) is expected


def test_another_packages_optimizer_has_none() -> None:
    """It may put other tensors in the place of weights, or keep the gradients of a step."""
    optimizer = PluginOptimizer.model_construct(name="theirs", lr=0.1)
    theirs = spec(execution={"compile": "on"}).model_copy(update={"optimizer": optimizer})
    assert not is_graphed(theirs, GPU, 10**6)


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


def test_another_packages_network_lies_so_only_where_it_is_asked_to() -> None:
    """Catches: `x.view(-1, 400)`, as in PyTorch's own tutorial, which fails on channels-last."""
    theirs = spec().model_copy(update={"model": "theirs"})
    assert not in_channels_last(theirs, CPU)
    asked = spec(execution={"channels_last": "on"}).model_copy(update={"model": "theirs"})
    assert in_channels_last(asked, CPU)
