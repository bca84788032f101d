"""The kernels of a GPU, made where there is none: one a tensor, with the mask's own bits."""

import inspect
from pathlib import Path

import pytest
import torch
from torch import Tensor

from lrd_core.optim.kernels.compiled import RULES, put_back
from lrd_core.optim.mask import Draw, keep_mask, signed32

pytest.importorskip("triton", reason="torch has no Triton on this platform")
from tests.lrd_core.optim.h100 import code_for, interpreted, kernels_in

SEED, STEP, KEEP_PROB, POSITION = 7, 3, 0.5, 1234
SCALARS = [0.01, 0.001, 0.9, 0.1, 0.999, 0.001, 1e-8, 1.3, 1.2, 0.7]
"""In the order of `Scalars`."""
SHAPES = pytest.mark.parametrize(
    "shape", [(1, 1, 1000), (16, 9, 8)], ids=["contiguous", "channels last"]
)
Shape = tuple[int, int, int]
"""(outer, places, channels), as `loops` gives a tensor."""


def place() -> Tensor:
    words = Draw.of(SEED, STEP, KEEP_PROB).words
    return torch.tensor([signed32(POSITION), *words], dtype=torch.int32)


def kept(shape: Shape) -> Tensor:
    """The mask, whose positions count channels before places, in the order of memory."""
    outer, places, channels = shape
    mask = keep_mask(SEED, STEP, outer * places * channels, KEEP_PROB, offset=POSITION)
    return mask.view(outer, channels, places).transpose(1, 2)


@SHAPES
@pytest.mark.parametrize("rule", RULES)
def test_a_step_is_one_kernel_and_moves_what_the_mask_keeps(
    rule: str, shape: Shape, tmp_path: Path
) -> None:
    """Catches: a step of two passes over memory, and a hash that is not the CPU's."""
    names = list(inspect.signature(RULES[rule]).parameters)
    draws = torch.Generator().manual_seed(0)
    tensors = [torch.rand(shape, generator=draws) for _ in names[:-2]]
    tensors += [torch.tensor(SCALARS), place()]
    expected = [tensor.clone() for tensor in tensors]
    before = tensors[0].clone()

    code = code_for(RULES[rule], tensors)
    assert len(kernels_in(code)) == 1
    interpreted(code, names, tensors, tmp_path)

    assert torch.equal(tensors[0] != before, kept(shape))
    RULES[rule](*expected)
    for ours, theirs in zip(tensors, expected, strict=True):
        torch.testing.assert_close(ours, theirs)


@SHAPES
def test_dropped_elements_are_put_back_by_one_kernel(shape: Shape, tmp_path: Path) -> None:
    draws = torch.Generator().manual_seed(0)
    new, old = torch.randint(-(2**31), 2**31, (2, *shape), generator=draws).int()
    expected = torch.where(kept(shape), new, old)
    tensors = [new, old, place()]
    code = code_for(put_back, tensors)
    assert len(kernels_in(code)) == 1
    interpreted(code, ["new", "old", "place"], tensors, tmp_path)
    assert torch.equal(new, expected)
