"""The CPU kernels: `native.cpp`, built once per machine; one call for all tensors of a step.

They are written by hand because torch.compile's loops take half as long again: it builds vectors of
positions element by element and makes one call per tensor
(docs/decisions/forms-of-the-optimizer.md).
"""

import contextlib
import ctypes
import functools
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lrd_core.optim.kernels.moves import RULES, Masked, Move, apart, laid_out_like, shape_in_memory

SOURCE = Path(__file__).with_suffix(".cpp")
FLAGS = (
    "-std=c++17", "-O3", "-march=native", "-fopenmp", "-shared", "-fPIC",
    # Without these two, a square root or a choice between two values prevents vectorisation.
    # Neither changes a value; -ffast-math would.
    "-fno-math-errno", "-fno-trapping-math",
)  # fmt: skip


def step(rule: str, moves: Sequence[Move]) -> None:
    """Take a step, with one call per element type."""
    for dtype, here in apart(moves, lambda move: move.tensor.dtype):
        tensors = [
            (move.tensor, laid_out_like(move.gradient, move.tensor), *move.moments) for move in here
        ]  # keeps gradients that were copied for their layout alive until the call ends
        _library().lrd_step(
            RULES.index(rule),
            dtype == torch.float64,
            len(here),
            _addresses(tensors, 5),
            _places(here),
            np.array([move.scalars for move in here], np.float64),
            torch.get_num_threads(),
        )


def restore(tensors: Sequence[Masked]) -> None:
    """Restore the old bits of all dropped elements, with one call per element width."""
    for width, here in apart(tensors, lambda masked: masked.tensor.element_size()):
        _library().lrd_restore(
            width.bit_length() - 1,
            len(here),
            _addresses([(masked.tensor, masked.old) for masked in here], 2),
            _places(here),
            torch.get_num_threads(),
        )


def prepare(device: torch.device) -> None:
    """Build and load the kernels, so that a missing compiler raises here."""
    _library()


def _addresses(tensors: Sequence[tuple[Tensor, ...]], width: int) -> Any:
    """`(tensors, width)` int64; 0 for moments that a rule does not have."""
    addresses = np.zeros((len(tensors), width), np.int64)
    rows = [[tensor.data_ptr() for tensor in row] for row in tensors]
    addresses[:, : len(rows[0])] = rows
    return addresses


def _places(parts: Sequence[Move] | Sequence[Masked]) -> Any:
    """`(tensors, 8)` int64: the fields of `Place` in the source."""
    rows = []
    for part in parts:
        outer, places, channels = shape_in_memory(part.tensor)
        elements = outer * places * channels
        rows.append((elements, channels, places, part.position, *part.draw.words))
    return np.array(rows, np.int64)


# --- building -------------------------------------------------------------------------------------


@functools.cache
def _library() -> ctypes.CDLL:
    compiler = os.environ.get("CXX") or shutil.which("g++") or shutil.which("c++")
    if compiler is None:
        raise RuntimeError("no C++ compiler was found; install g++, or name one in CXX")
    version = _said_by([compiler, "--version"])
    inputs = "\n".join([SOURCE.read_text(), compiler, *FLAGS, version, _processor()])
    name = f"kernels-{hashlib.sha256(inputs.encode()).hexdigest()[:16]}.so"
    try:
        folder = _cache()
        folder.mkdir(parents=True, exist_ok=True)
        library = _loaded(compiler, folder / name)
    except OSError:  # e.g. a read-only home: build for this process only
        library = _loaded(compiler, Path(tempfile.mkdtemp()) / name)
    # An array of this type is passed by its address and kept alive until the call ends.
    words = np.ctypeslib.ndpointer(np.int64, ndim=2, flags="C_CONTIGUOUS")
    numbers = np.ctypeslib.ndpointer(np.float64, ndim=2, flags="C_CONTIGUOUS")
    integer, count = ctypes.c_int, ctypes.c_int64
    library.lrd_step.argtypes = [integer, integer, count, words, words, numbers, integer]
    library.lrd_restore.argtypes = [integer, count, words, words, integer]
    library.lrd_step.restype = library.lrd_restore.restype = None
    return library


def _loaded(compiler: str, path: Path) -> ctypes.CDLL:
    if path.exists():
        with contextlib.suppress(OSError):  # incomplete, e.g. after a full disk: build it again
            return ctypes.CDLL(str(path))
    _build(compiler, path)
    return ctypes.CDLL(str(path))


def _build(compiler: str, path: Path) -> None:
    """Build under a unique name first, so that other processes, even after a crash of the machine,
    find the whole file or none."""
    half = path.with_suffix(f".{uuid.uuid4().hex}")  # process ids clash between machines
    _said_by([compiler, *FLAGS, "-o", str(half), str(SOURCE)])
    with half.open("rb") as file:
        os.fsync(file.fileno())
    half.replace(path)


def _said_by(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True)  # noqa: S603
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if "error" in line] or [
            "it says no more"
        ]
        raise RuntimeError(f"{command[0]} does not build the kernels: {lines[0]}")
    return done.stdout


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "learning-rate-dropout"


def _processor() -> str:
    """What -march=native depends on: different kinds of machines may share a home directory."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    telling = ("model name", "flags", "Features", "CPU part")
    known = sorted({line for line in lines if line.startswith(telling)})
    return "\n".join([platform.machine(), platform.processor(), *known])
