"""A GPU's kernels where there is none: read by Triton's interpreter, and compiled for an H100.

On a real GPU they have the interpreter's bits: `tests/lrd_core/test_gpu.py`.
"""

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from lrd_core.optim.kernels import RULES, Masked, Move, Scalars, native
from lrd_core.optim.mask import Draw, keep_mask
from tests.lrd_core.optim.interpreted import interpreted

triton = pytest.importorskip("triton", reason="there is no Triton for this platform")
backends = pytest.importorskip("triton.backends.compiler")
gpu = pytest.importorskip("lrd_core.optim.kernels.gpu")

MOMENTS = {"sgdm": 1, "rmsprop": 1, "adam": 2, "amsgrad": 3, "radam": 2}
SCALARS = Scalars(0.1, 0.01, 0.9, 0.1, 0.99, 0.01, 1e-8, 2.0, 3.0, 0.5)
FIRST = pytest.mark.parametrize("first", [0, 2**32 - 1700], ids=["from 0", "past 2**32"])


def tensors(dtype: torch.dtype) -> list[Tensor]:
    """Less than a block, some blocks to the last element and beyond it, none, and channels-last."""
    shapes = [(3,), (gpu.BLOCK,), (2 * gpu.BLOCK + 1,), (0,), (5, 6, 4, 5), (), (40, 7, 3, 3)]
    made = [torch.linspace(0.5, 1.5, torch.Size(shape).numel()).view(shape) for shape in shapes]
    return [
        each.to(dtype, memory_format=torch.channels_last) if each.dim() == 4 else each.to(dtype)
        for each in made
    ]


@FIRST
@pytest.mark.parametrize("dtype", [torch.uint8, torch.bfloat16, torch.float32, torch.float64])
def test_each_element_gets_its_bit_of_the_mask(dtype: torch.dtype, first: int) -> None:
    draw, parts, expected, position = Draw.of(5, 9, 0.3), [], [], first
    for tensor in tensors(torch.float32):
        new = tensor.mul(100).to(dtype)
        old = torch.zeros_like(new)
        mask = keep_mask(5, 9, new.numel(), 0.3, offset=position).view(new.shape)
        expected.append(torch.where(mask, new, old))
        parts.append(Masked(new, old, draw, position))
        position += new.numel()
    interpreted().restore(parts)
    for part, right in zip(parts, expected, strict=True):
        assert torch.equal(part.tensor, right)


def moves(rule: str, dtype: torch.dtype, first: int) -> list[Move]:
    """Of two groups, and with gradients in a layout of their own."""
    made, position = [], first
    for number, tensor in enumerate(tensors(dtype)):
        moments = [torch.full_like(tensor, 0.25) for _ in range(MOMENTS[rule])]
        draw = Draw.of(1, 2, 0.5 if number % 2 else 0.8)
        gradient = (tensor - 1).contiguous()
        made.append(Move(tensor, gradient, moments, SCALARS, draw, position))
        position += tensor.numel()
    return made


@FIRST
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("rule", RULES)
def test_a_rule_moves_as_the_cpus_does(rule: str, dtype: torch.dtype, first: int) -> None:
    before, ours, theirs = (moves(rule, dtype, first) for _ in range(3))
    interpreted().step(rule, ours)
    native.step(rule, theirs)
    for old, one, other in zip(before, ours, theirs, strict=True):
        assert torch.equal(one.tensor != old.tensor, other.tensor != old.tensor)
        torch.testing.assert_close(one.tensor, other.tensor)
        torch.testing.assert_close(one.moments, other.moments)


def test_a_step_is_one_launch_for_all_tensors(monkeypatch: pytest.MonkeyPatch) -> None:
    launches: list[Any] = []

    class Kernel:
        def __getitem__(self, grid: Any) -> Any:
            return lambda *args, **constants: launches.append(grid)

    @contextmanager
    def current(device: torch.device) -> Iterator[None]:  # where Triton launches
        launches.append(device)
        yield
        launches.append("back")

    module = interpreted()
    monkeypatch.setattr(module, "_step", Kernel())
    monkeypatch.setattr(module, "_current", current)
    module.step("adam", moves("adam", torch.float32, 0))
    assert launches == [torch.device("cpu"), (1 + 1 + 3 + 0 + 1 + 1 + 3,), "back"]


def built(kernel: Any, folder: Path, **constants: Any) -> str:
    """What the assembler for an H100 says of it: registers, and bytes that are kept in memory."""
    signature = {"table": "*i64", "tensors": "i32"} | dict.fromkeys(constants, "constexpr")
    source = triton.compiler.ASTSource(fn=kernel, signature=signature, constexprs=constants)
    target = backends.GPUTarget("cuda", 90, 32)
    code = triton.compile(source, target=target, options={"enable_fp_fusion": False}).asm["ptx"]
    file = folder / "kernel.ptx"
    file.write_text(code)
    assembler = pytest.importorskip("triton.backends.nvidia.compiler").get_ptxas(90).path
    done = subprocess.run(
        [assembler, "-v", "--gpu-name=sm_90a", str(file), "-o", str(folder / "kernel.cubin")],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stderr


NO_SPILL = re.compile(r"\b0 bytes spill stores, 0 bytes spill loads")


@pytest.mark.parametrize("dtype", ["fp32", "fp64"])
@pytest.mark.parametrize("rule", RULES)
def test_a_step_is_compiled_for_a_gpu_without_a_spill(
    rule: str, dtype: str, tmp_path: Path
) -> None:
    """Catches: what the interpreter runs and no compiler takes; and a kernel that is out of
    registers and keeps its numbers in memory."""
    kind = {"fp32": gpu.tl.float32, "fp64": gpu.tl.float64}[dtype]
    assert NO_SPILL.search(built(gpu._step, tmp_path, rule=rule, kind=kind, block=gpu.BLOCK))


def test_a_block_that_is_too_large_is_seen_to_spill(tmp_path: Path) -> None:
    """That the tests beside it can fail."""
    said = built(gpu._step, tmp_path, rule="amsgrad", kind=gpu.tl.float64, block=8192)
    assert not NO_SPILL.search(said)


@pytest.mark.parametrize("kind", [gpu.tl.int8, gpu.tl.int16, gpu.tl.int32, gpu.tl.int64], ids=str)
def test_so_is_what_puts_dropped_elements_back(kind: Any, tmp_path: Path) -> None:
    assert NO_SPILL.search(built(gpu._put_back, tmp_path, kind=kind, block=gpu.BLOCK))
