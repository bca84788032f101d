"""What torch.compile makes of a function for a GPU that is not here, run by Triton's interpreter.

It is Inductor's code for an H100, made without asking a driver; the sizes are fixed in it.
"""

import os
import re
import runpy
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch
import triton
from torch import Tensor
from torch._inductor import config as inductor
from torch._inductor.debug import DebugContext
from torch._inductor.decomposition import select_decomp_table
from torch._inductor.graph import GraphLowering
from torch._inductor.runtime.hints import DeviceProperties
from torch._inductor.virtualized import V
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx
from triton.backends.compiler import GPUTarget

HOPPER: dict[str, Any] = {
    "major": 9,
    "multi_processor_count": 132,
    "regs_per_multiprocessor": 65536,
    "max_threads_per_multi_processor": 2048,
    "warp_size": 32,
}
BLOCK = 256
"""Elements of a program of a kernel; what it is makes no difference to what is computed."""


def code_for(function: Callable[..., None], tensors: Sequence[Tensor]) -> str:
    """Inductor's Python and Triton, for tensors of the CPU as if they were the GPU's."""
    fake = FakeTensorMode()
    with fake:
        theirs = [
            torch.empty_strided(each.shape, each.stride(), dtype=each.dtype, device="cuda")
            for each in tensors
        ]
    pure = torch.func.functionalize(function, remove="mutations")  # as torch.compile does
    graph = make_fx(pure, decomposition_table=select_decomp_table(), tracing_mode="fake")(*theirs)
    with _hopper(), V.set_fake_mode(fake), V.set_debug_handler(DebugContext()):
        lowering = GraphLowering(graph, example_inputs=theirs)
        with V.set_graph_handler(lowering):
            lowering.run(*theirs)
            return str(lowering.codegen()[0].value)


def kernels_in(code: str) -> list[str]:
    """The names of its Triton kernels."""
    return re.findall(r"^def (triton_\w+)\(", code, re.MULTILINE)


def interpreted(code: str, names: Sequence[str], tensors: Sequence[Tensor], folder: Path) -> None:
    """Run its one kernel of one dimension on tensors of the CPU, which it changes.

    `names`: those of the function's arguments, in order, by which the code calls the tensors.
    """
    (kernel,) = kernels_in(code)
    body = code.split("@triton.jit\n")[1].split("''', device_str")[0]
    file = folder / f"{kernel}.py"
    file.write_text(f"import triton\nimport triton.language as tl\n\n@triton.jit\n{body}")
    with mock.patch.dict(os.environ, TRITON_INTERPRET="1"):
        run = runpy.run_path(str(file))[kernel]
        (call,) = re.findall(rf"{kernel}\.run\((.*), stream=", code)
        known: dict[str, Any] = {
            f"{name}_1": each for name, each in zip(names, tensors, strict=True)
        }
        arguments = [known[word] if word in known else int(word) for word in call.split(", ")]
        programs = -(-arguments[-1] // BLOCK)
        run[(programs,)](*arguments, XBLOCK=BLOCK)


class _Driver:
    def get_current_target(self) -> GPUTarget:
        return GPUTarget("cuda", 90, 32)

    def get_current_device(self) -> int:
        return 0


@contextmanager
def _hopper() -> Iterator[None]:
    properties = DeviceProperties(type="cuda", index=0, cc=90, **HOPPER)
    answers: dict[str, Any] = {
        "torch.cuda.current_device": 0,
        "torch.cuda.get_device_capability": (9, 0),
        "torch.cuda.get_device_properties": SimpleNamespace(**HOPPER, minor=0, gcnArchName=""),
        "torch._inductor.scheduler.has_triton": True,
        "torch._inductor.runtime.hints.DeviceProperties.create": properties,
    }
    driver = triton.runtime.driver
    with inductor.patch(compile_threads=1), ExitStack() as stack:  # no pool: nothing is compiled
        stack.enter_context(mock.patch.object(driver, "_active", _Driver()))
        for name, answer in answers.items():
            stack.enter_context(mock.patch(name, return_value=answer))
        yield
