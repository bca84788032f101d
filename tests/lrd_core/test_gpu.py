"""On a real GPU: the kernels' bits, a trial's numbers, graphs, and how often the host waits.

What can be known without one is tested in `optim/kernels/test_gpu.py` and `test_device.py`.
"""

import copy
import gc
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from torch import Tensor

from lrd_core.environment import pin
from lrd_core.optim import kernels
from lrd_core.optim.kernels import RULES, Masked, Move, Scalars, native
from lrd_core.optim.mask import Draw, keep_mask
from lrd_core.spec import TrialSpec
from lrd_core.tasks import classification
from lrd_core.training import TrainState, train
from tests.lrd_core.optim.interpreted import interpreted
from tests.lrd_core.small_cifar import cifar_is_small
from tests.lrd_core.voc_tree import voc_tree

__all__ = ["cifar_is_small"]  # for all tests here

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU is here")
GPU, CPU = torch.device("cuda"), torch.device("cpu")
POSITION = 2**32 - 700
"""Positions of the tensors below pass 2³²."""
MOMENTS = {"sgdm": 1, "rmsprop": 1, "adam": 2, "amsgrad": 3, "radam": 2}


def tensors(dtype: torch.dtype) -> list[Tensor]:
    draws = torch.Generator().manual_seed(0)
    shapes = [(3000,), (5, 6, 4, 5), (), (0,), (64, 33, 3, 3), (1,)]
    made = [torch.rand(shape, generator=draws, dtype=torch.float64) + 0.5 for shape in shapes]
    return [
        each.to(dtype, memory_format=torch.channels_last) if each.dim() == 4 else each.to(dtype)
        for each in made
    ]


def moves(rule: str, dtype: torch.dtype, device: torch.device) -> list[Move]:
    made, position = [], POSITION
    for tensor in tensors(dtype):
        moments = [torch.full_like(tensor, 0.25, device=device) for _ in range(MOMENTS[rule])]
        scalars = Scalars(0.1, 0.01, 0.9, 0.1, 0.99, 0.01, 1e-8, 2.0, 3.0, 0.5)
        here = tensor.to(device)
        made.append(Move(here, here - 1, moments, scalars, Draw.of(1, 2, 0.5), position))
        position += tensor.numel()
    return made


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("rule", RULES)
def test_a_step_has_the_interpreters_bits_and_the_cpus_numbers(
    rule: str, dtype: torch.dtype
) -> None:
    ours, cpus, read = (moves(rule, dtype, device) for device in (GPU, CPU, CPU))
    kernels.step(rule, ours)
    native.step(rule, cpus)
    interpreted().step(rule, read)
    for one, other, third in zip(changed(ours), changed(cpus), changed(read), strict=True):
        torch.testing.assert_close(one.cpu(), other)
        assert torch.equal(one.cpu(), third)


def changed(moves: list[Move]) -> list[Tensor]:
    return [tensor for move in moves for tensor in (move.tensor, *move.moments)]


@pytest.mark.parametrize("dtype", [torch.uint8, torch.bfloat16, torch.float32, torch.float64])
def test_what_is_dropped_is_put_back(dtype: torch.dtype) -> None:
    parts, expected, position = [], [], POSITION
    for tensor in tensors(torch.float32):
        new = tensor.mul(100).to(dtype).to(GPU)
        old = torch.zeros_like(new)
        mask, cpus = (
            keep_mask(5, 9, new.numel(), 0.3, offset=position, device=device).view(new.shape)
            for device in (GPU, CPU)
        )
        assert torch.equal(mask.cpu(), cpus)
        expected.append(torch.where(mask, new, old))
        parts.append(Masked(new, old, Draw.of(5, 9, 0.3), position))
        position += new.numel()
    kernels.restore(parts)
    for part, right in zip(parts, expected, strict=True):
        assert torch.equal(part.tensor, right)


# --- trials ---------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _waits_are_allowed() -> Iterator[None]:
    yield
    torch.cuda.set_sync_debug_mode("default")


FCNET: dict[str, Any] = {
    "dataset": "digits",
    "data": {"max_examples": 1000},
    "model": "fcnet",
    "optimizer": {"name": "adam", "keep_prob": 0.5},
    "epochs": 3,
    "batch_size": 64,
    "execution": {"compile": "on"},
}
RESNET = {"dataset": "cifar10", "data": {"cutout": 8}, "model": "resnet34", "batch_size": 7}
DENSENET = RESNET | {"model": "densenet121"}
BF16 = {"execution": {"compile": "on", "precision": "bf16"}}
ALL = [
    pytest.param({}, id="fcnet"),
    pytest.param({"regularizers": ["NL", "NG", "DG"]}, id="regularizers"),
    pytest.param({"regularizers": ["SD"]}, id="SD"),
    pytest.param({"optimizer": {"name": "nadam", "keep_prob": 0.5}}, id="universal"),
    pytest.param(RESNET, id="resnet34"),
    pytest.param(RESNET | BF16, id="resnet34 bf16"),
    pytest.param(DENSENET, id="densenet121"),
]


def trained(
    changes: dict[str, Any], device: torch.device = GPU, saved: Any = None, epochs: int = 3
) -> tuple[list[dict[str, float]], TrainState]:
    spec = TrialSpec.parse(FCNET | changes)
    pin(spec)
    state = TrainState.create(spec, device)
    if saved is not None:
        state.load_state_dict(saved)
    reports = train(spec, state)
    return [next(reports).metrics for _ in range(epochs)], state


def weights(state: TrainState) -> list[Tensor]:
    return [each.detach().cpu() for each in state.model.state_dict().values()]


@pytest.mark.parametrize("changes", ALL)
def test_a_graph_changes_no_bit(changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    graphs = torch.cuda.CUDAGraph
    with mock.patch.object(torch.cuda, "CUDAGraph", side_effect=graphs) as made:
        ours, graphed = trained(changes)
        assert made.call_count == 1
        monkeypatch.setattr(classification, "GRAPHED", ())
        theirs, plain = trained(changes)
        assert made.call_count == 1
    assert ours == theirs
    for a, b in zip(weights(graphed), weights(plain), strict=True):
        assert torch.equal(a, b)


def test_where_memory_does_not_hold_the_graph_the_numbers_are_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    changes = RESNET | {"batch_size": 40, "epochs": 6}
    monkeypatch.setattr(classification, "GRAPHED", ())
    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    theirs = trained(changes, epochs=6)[0]
    enough = torch.cuda.max_memory_reserved() + 2**25
    monkeypatch.setattr(classification, "GRAPHED", ("resnet34",))
    gc.collect()
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(GPU).total_memory
    torch.cuda.set_per_process_memory_fraction(enough / total)
    try:
        ours, state = trained(changes, epochs=6)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert ours == theirs
    assert state.task._trained[2]._fits is False  # type: ignore[attr-defined]


@pytest.mark.parametrize("changes", ALL)
def test_a_trial_goes_on_from_its_checkpoint_bit_for_bit(changes: dict[str, Any]) -> None:
    straight, _ = trained(changes)
    first, state = trained(changes, epochs=1)
    saved = copy.deepcopy(state.state_dict())
    rest, _ = trained(changes, saved=saved, epochs=2)
    assert first + rest == straight


def test_a_trial_learns_what_it_learns_on_a_cpu() -> None:
    ours, state = trained({})
    theirs, cpus = trained({}, CPU)
    assert state.optimizer_form == cpus.optimizer_form == "fused"
    for one, other in zip(ours, theirs, strict=True):
        assert one["train_loss"] == pytest.approx(other["train_loss"], rel=1e-3)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(
    ("dataset", "model", "data"),
    [
        ("voc_segmentation", "pspnet", {"crop_size": 33, "max_examples": 3}),
        ("voc_detection", "ssd300", {"max_examples": 3}),
    ],
)
def test_segmentation_and_detection_learn_what_they_learn_on_a_cpu(
    dataset: str, model: str, data: dict[str, Any], precision: str, tmp_path: Path
) -> None:
    if dataset == "voc_detection":
        pytest.importorskip("pycocotools")
    voc_tree(tmp_path)
    document = {"dataset": dataset, "model": model, "data": data, "batch_size": 2, "epochs": 1}
    document |= {"optimizer": {"name": "sgdm", "lr": 1e-3, "keep_prob": 0.5}}
    losses = []
    for device in (GPU, CPU):
        spec = TrialSpec.parse(document | {"execution": {"precision": precision}})
        pin(spec)
        reports = train(spec, TrainState.create(spec, device, data_dir=tmp_path))
        losses.append(next(reports).metrics["train_loss"])
    assert losses[0] == pytest.approx(losses[1], rel=0.05 if precision == "bf16" else 0.01)


@pytest.mark.parametrize("changes", ALL)
def test_the_host_waits_once_an_epoch(changes: dict[str, Any]) -> None:
    spec = TrialSpec.parse(FCNET | changes)
    pin(spec)
    reports = train(spec, TrainState.create(spec, GPU))
    next(reports)  # what waits once: kernels are loaded, a graph is made
    torch.cuda.set_sync_debug_mode("warn")
    for _ in range(2):
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            next(reports)
        assert len(seen) == 1, [str(each.message) for each in seen]
