"""The kernels of a GPU, compiled for the CPU: what torch.compile makes of them is the same."""

import math

import pytest
import torch
import torch._dynamo.utils
from torch import Tensor

from lrd_core.optim import kernels
from lrd_core.optim.fused import FusedSGDM
from lrd_core.optim.kernels import Masked, Move, Scalars, compiled, native
from lrd_core.optim.mask import Draw, keep_mask

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    if reason := kernels.cannot_run(CPU):
        pytest.skip(f"no compiler is here: {reason}")
    monkeypatch.setattr(kernels, "_kernels_of", lambda device: compiled)


def tensors() -> list[Tensor]:
    flat, image = torch.linspace(0.5, 1.5, 1000), torch.linspace(0.5, 1.5, 600).view(5, 6, 4, 5)
    return [flat, image.to(memory_format=torch.channels_last)]


def moves() -> list[Move]:
    made, position = [], 0
    for tensor in tensors():
        gradient, moments = tensor - 1, [torch.full_like(tensor, 0.25) for _ in range(3)]
        scalars = Scalars(0.1, 0.01, 0.9, 0.1, 0.99, 0.01, 1e-8, 2.0, 3.0, 0.5)
        made.append(Move(tensor, gradient, moments, scalars, Draw.of(1, 2, 0.5), position))
        position += tensor.numel()
    return made


@pytest.mark.slow
@pytest.mark.parametrize("rule", native.RULES)
def test_a_compiled_rule_moves_as_the_native_one_does(rule: str) -> None:
    names = {"sgdm": 1, "rmsprop": 1, "adam": 2, "amsgrad": 3, "radam": 2}
    ours, theirs = (
        [
            Move(each.tensor, each.gradient, each.moments[: names[rule]], each.scalars, each.draw,
                 each.position)
            for each in moves()
        ]
        for _ in range(2)
    )  # fmt: skip
    kernels.step(rule, ours)
    native.step(rule, theirs)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a.tensor, b.tensor)
        torch.testing.assert_close(a.moments, b.moments)


@pytest.mark.parametrize("first", [0, 2**32 - 700], ids=["from 0", "past 2**32"])
def test_the_compiled_mask_is_the_same_bits(first: int) -> None:
    position = first
    for new in tensors():
        mask = keep_mask(5, 9, new.numel(), 0.3, offset=position).view(new.shape)
        old = torch.full_like(new, math.nan)
        expected = torch.where(mask, new, old)
        kernels.restore([Masked(new, old, Draw.of(5, 9, 0.3), position)])
        torch.testing.assert_close(new, expected, rtol=0, atol=0, equal_nan=True)
        position += new.numel()


def test_shapes_of_all_kinds_share_the_kernels() -> None:
    """Catches: a kernel for each shape, until torch gives up compiling (at eight of them)."""
    torch.compiler.reset()
    shapes = [(7,), (4, 9), (2, 3, 4), (2, 3, 4, 5), (1, 2, 3, 4, 5), (30,), (50, 2), ()]
    params = [torch.ones(shape, requires_grad=True) for shape in shapes]
    buffer = torch.ones(500)
    params += [buffer[a:b].requires_grad_() for a, b in ((8, 40), (100, 300))]
    images = [torch.ones(shape) for shape in ((4, 3, 2, 2), (8, 16, 3, 3), (1, 2, 3, 3))]
    params += [x.to(memory_format=torch.channels_last).requires_grad_() for x in images]
    graphs = torch._dynamo.utils.counters["stats"]
    before = graphs["unique_graphs"]
    optimizer = FusedSGDM(params, lr=0.1, momentum=0.9)
    for _ in range(2):
        for param in params:
            param.grad = torch.ones_like(param)
        optimizer.step()
    # flat, one element, in a buffer, channels last, channels last of one image
    assert graphs["unique_graphs"] - before <= 5
