"""The GPU kernels, in Triton: one launch for all tensors of a step.

A table in the GPU's memory holds the tensors' addresses. Each step sends it in one copy that the
host does not wait for (up to 64 KB, some 740 tensors). torch.compile would make a kernel per
tensor, and launching one costs the host more than an H200 needs to run most of them
(docs/decisions/forms-of-the-optimizer.md).
"""

import struct
from collections.abc import Sequence
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from lrd_core.optim.kernels.moves import Masked, Move, apart, laid_out_like, shape_in_memory
from lrd_core.optim.mask import Draw

BLOCK = 1024
"""Elements per program; a power of two."""

_COLUMNS, _WIDTH = tl.constexpr(11), tl.constexpr(13)
"""Words of 8 bytes in a row of the table, and in a row of the numbers after it. A row of the table
holds the addresses of a parameter, its gradient and three moments (0: none), then its first block,
its elements, channels and places, the position of its first element, and its row of numbers."""
_NUMBERS = struct.Struct("=10d3q")
"""`Scalars`, two keys, and the lowest hash that is dropped."""
_NO_SCALARS = (0.0,) * 10
_TYPES = {torch.float32: tl.float32, torch.float64: tl.float64}
_INTEGERS = {1: tl.int8, 2: tl.int16, 4: tl.int32, 8: tl.int64}


def step(rule: str, moves: Sequence[Move]) -> None:
    """Take a step, with one launch per element type."""
    for dtype, here in apart(moves, lambda move: move.tensor.dtype):
        tensors = [
            (move.tensor, laid_out_like(move.gradient, move.tensor), *move.moments) for move in here
        ]  # keeps gradients that were copied for their layout alive until the launch
        numbers = [(move.scalars, move.draw) for move in here]
        places = [move.position for move in here]
        _launch(_step, tensors, places, numbers, rule=rule, kind=_TYPES[dtype])


def restore(tensors: Sequence[Masked]) -> None:
    """Restore the old bits of all dropped elements, with one launch per element width."""
    for width, here in apart(tensors, lambda masked: masked.tensor.element_size()):
        pairs = [(masked.tensor, masked.old) for masked in here]
        numbers = [(_NO_SCALARS, masked.draw) for masked in here]
        places = [masked.position for masked in here]
        _launch(_put_back, pairs, places, numbers, kind=_INTEGERS[width])


def prepare(device: torch.device) -> None:
    """Compile a kernel, so that a missing compiler raises here."""
    new = torch.zeros(2, dtype=torch.int32, device=device)
    restore([Masked(new, new.clone(), Draw.of(0, 1, 0.5), 0)])


def _launch(
    kernel: Any,
    tensors: Sequence[tuple[Tensor, ...]],
    positions: Sequence[int],
    numbers: Sequence[tuple[Sequence[float], Draw]],
    **constants: Any,
) -> None:
    rows: dict[tuple[int, int], int] = {}
    words = bytearray()
    table: list[int] = []
    blocks = 0
    for row, position, (scalars, draw) in zip(tensors, positions, numbers, strict=True):
        outer, places, channels = shape_in_memory(row[0])
        elements = outer * places * channels
        key = id(scalars), id(draw)
        if key not in rows:
            rows[key] = len(rows)
            words += _NUMBERS.pack(*scalars, draw.key1, draw.key2, draw.threshold - 2**31)
        table += [each.data_ptr() for each in row]
        table += [0] * (5 - len(row))
        table += [blocks, elements, channels, places, position, rows[key]]
        blocks += -(-elements // BLOCK)
    if blocks > 0:
        device = tensors[0][0].device
        packed = bytearray(struct.pack(f"={len(table)}q", *table)) + words
        there = torch.frombuffer(packed, dtype=torch.int64).to(device, non_blocking=True)
        with _current(device):
            kernel[(blocks,)](there, len(tensors), block=BLOCK, enable_fp_fusion=False, **constants)


def _current(device: torch.device) -> Any:
    """Triton launches on the current device."""
    return torch.get_device_module(device).device(device)


# --- on the device --------------------------------------------------------------------------------


@triton.jit
def _step(table, tensors, rule: tl.constexpr, kind: tl.constexpr, block: tl.constexpr):
    row, offset, inside = _elements(table, tensors, block)
    numbers = _numbers_of(table, tensors, row)
    w_at, g_at = _at(row, 0, kind) + offset, _at(row, 1, kind) + offset
    m_at = _at(row, 2, kind) + offset
    w, g = tl.load(w_at, inside), tl.load(g_at, inside)
    rate, decay = _scalar(numbers, 0, kind), _scalar(numbers, 1, kind)
    first, first_rest = _scalar(numbers, 2, kind), _scalar(numbers, 3, kind)
    second, second_rest = _scalar(numbers, 4, kind), _scalar(numbers, 5, kind)
    eps, unbias_first = _scalar(numbers, 6, kind), _scalar(numbers, 7, kind)
    unbias_second, rectifier = _scalar(numbers, 8, kind), _scalar(numbers, 9, kind)
    g += decay * w
    if rule == "sgdm":
        # Without momentum nothing is accumulated, as in torch: 0 times infinity would be NaN, and a
        # momentum that is raised later starts from the gradient at that step.
        if first > 0:
            g += first * tl.load(m_at, inside)
            tl.store(m_at, g, inside)
        move = rate * g
    elif rule == "rmsprop":
        v = second * tl.load(m_at, inside) + second_rest * g * g
        tl.store(m_at, v, inside)
        move = _quotient(rate * g, _root(v) + eps)
    else:
        v_at = _at(row, 3, kind) + offset
        m, v = tl.load(m_at, inside), tl.load(v_at, inside)
        # From the nearer end, as torch.lerp: if little of m remains, its rounding must not hide g.
        if first_rest < 0.5:
            m += first_rest * (g - m)
        else:
            m = g + (first_rest - 1) * (g - m)
        v = second * v + second_rest * g * g
        tl.store(m_at, m, inside)
        tl.store(v_at, v, inside)
        move = rate * unbias_first * m
        if rule == "adam":
            move = _quotient(move, _root(v) * unbias_second + eps)
        elif rule == "amsgrad":
            max_at = _at(row, 4, kind) + offset
            v = tl.maximum(tl.load(max_at, inside), v, tl.PropagateNan.ALL)
            tl.store(max_at, v, inside)
            move = _quotient(move, _root(v) * unbias_second + eps)
        elif rectifier > 0:
            move = _quotient(move * rectifier, (_root(v) + eps) * unbias_second)
    # eq. 2 of arXiv 1912.00144: the whole step where the mask is 1, none where it is 0.
    tl.store(w_at, w - move, inside & _kept(row, offset, numbers))


@triton.jit
def _put_back(table, tensors, kind: tl.constexpr, block: tl.constexpr):
    row, offset, inside = _elements(table, tensors, block)
    kept = _kept(row, offset, _numbers_of(table, tensors, row))
    old = tl.load(_at(row, 1, kind) + offset, inside)
    tl.store(_at(row, 0, kind) + offset, old, inside & (kept == 0))


@triton.jit
def _elements(table, tensors, block: tl.constexpr):
    """The row of this program's tensor, and the elements of it that this program handles."""
    program = tl.program_id(0)
    low, high = 0, tensors  # the last tensor whose first block is no later than this one
    while high - low > 1:
        middle = (low + high) // 2
        if tl.load(table + middle * _COLUMNS + 5) <= program:
            low = middle
        else:
            high = middle
    row = table + low * _COLUMNS
    offset = (program - tl.load(row + 5)) * block + tl.arange(0, block)
    return row, offset, offset < tl.load(row + 6)


@triton.jit
def _numbers_of(table, tensors, row):
    return table + tensors * _COLUMNS + tl.load(row + 10) * _WIDTH


@triton.jit
def _at(row, column: tl.constexpr, kind: tl.constexpr):
    return tl.load(row + column).to(tl.pointer_type(kind))


@triton.jit
def _scalar(numbers, column: tl.constexpr, kind: tl.constexpr):
    return tl.load(numbers + column).to(tl.float64, bitcast=True).to(kind)


@triton.jit
def _root(x):
    return tl.sqrt_rn(x) if x.dtype == tl.float32 else tl.sqrt(x)


@triton.jit
def _quotient(x, y):
    return tl.div_rn(x, y) if x.dtype == tl.float32 else x / y


@triton.jit
def _kept(row, offset, numbers):
    """Whether the mask is 1, for elements in the order of memory: the bits of `mask.keep_mask`.

    Positions count the elements in their logical order, in which channels come before places.
    """
    channels, places = tl.load(row + 7).to(tl.uint32), tl.load(row + 8).to(tl.uint32)
    x = offset.to(tl.uint32)
    if places > 1:  # no kernel of a convolution has 2³² elements
        pixel = x // channels
        channel = x - pixel * channels
        outer = pixel // places
        x = (outer * channels + channel) * places + (pixel - outer * places)
    x += tl.load(row + 9).to(tl.uint32)
    x ^= tl.load(numbers + 10).to(tl.uint32)
    x = (x ^ (x >> 16)) * 0x7FEB352D
    x ^= x >> 15
    x = (x + tl.load(numbers + 11).to(tl.uint32)) * 0x846CA68B
    x = (x ^ (x >> 16)) * 0x9E3779B1
    x ^= x >> 15
    return x.to(tl.int32, bitcast=True).to(tl.int64) < tl.load(numbers + 12)
