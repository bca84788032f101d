"""The kernels of a GPU: what torch.compile makes one pass over memory of.

Pure torch on what `loops` gives; moments and parameters are changed in place. Each kernel is
compiled once for tensors of every size, in each of two layouts. What changes from step to step
comes in small tensors, so that nothing is compiled anew: `place`, int32, says where the mask is
(see `_places`), and `scalars`, of the parameters' type, holds `Scalars` in its order.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from lrd_core.optim.kernels.moves import Masked, Move, Scalars, laid_out_like, shape_in_memory
from lrd_core.optim.mask import Draw, signed32

RATE, DECAY, FIRST, FIRST_REST, SECOND, SECOND_REST, EPS, UNBIAS_FIRST, UNBIAS_SECOND, RECTIFIER = (
    range(len(Scalars._fields))
)
_INTEGERS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def step(rule: str, moves: Sequence[Move]) -> None:
    """One step of all, a kernel a tensor."""
    device, kernel = moves[0].tensor.device, compiled(RULES[rule])
    known: dict[Any, Tensor] = {}
    for move, place in zip(moves, _places(moves), strict=True):
        like, key = move.tensor, (move.scalars, move.tensor.dtype)
        if key not in known:
            scalars = torch.tensor(move.scalars, dtype=like.dtype)
            known[key] = scalars.to(device, non_blocking=True)
        kernel(*loops(like, like, move.gradient, *move.moments), known[key], place)


def restore(tensors: Sequence[Masked]) -> None:
    """The old bits of all that is dropped, a kernel a tensor."""
    kernel = compiled(put_back)
    for masked, place in zip(tensors, _places(tensors), strict=True):
        integers = _INTEGERS[masked.tensor.element_size()]
        kernel(*loops(masked.tensor, masked.tensor, masked.old, dtype=integers), place)


def prepare(device: torch.device) -> None:
    """Compile something, or raise for want of a compiler."""
    new = torch.zeros(2, dtype=torch.int32, device=device)
    restore([Masked(new, new.clone(), Draw.of(0, 1, 0.5), 0)])


# --- how they are compiled and called -------------------------------------------------------------


@functools.cache
def compiled(kernel: Callable[..., None]) -> Callable[..., None]:
    """`kernel` as one machine loop; it takes seconds when first called."""
    result: Callable[..., None] = torch.compile(kernel, fullgraph=True, dynamic=True)
    return result


def _places(parts: Sequence[Move] | Sequence[Masked]) -> list[Tensor]:
    """For each `(5,)` int32: its first position, two keys, the greatest hash kept, whether any is.

    All go to the device in one copy. They are no views of it (see `loops`).
    """
    rows = [[signed32(part.position), *part.draw.words] for part in parts]
    table = torch.tensor(rows, dtype=torch.int32).to(parts[0].tensor.device, non_blocking=True)
    return [row.clone() for row in table]


def loops(like: Tensor, *tensors: Tensor, dtype: torch.dtype | None = None) -> list[Tensor]:
    """The tensors in the layout of `like`, as `(outer, places, channels)` in the order of memory.

    A contiguous tensor is `(1, 1, elements)`. What is changed in them changes in the tensors, but
    for one that is not laid out like `like`. `dtype`, of the same width, reads the bits otherwise.
    """
    shape = shape_in_memory(like)
    strides = (shape[1] * shape[2], shape[2], 1)
    results = []
    for tensor in tensors:
        ordered = laid_out_like(tensor, like)
        # Not a view: a kernel is compiled anew for each shape of what its arguments are views of.
        same = torch.empty(0, dtype=dtype or tensor.dtype, device=tensor.device)
        storage, start = ordered.untyped_storage(), ordered.storage_offset()
        results.append(same.set_(storage, start, shape, strides))
    return results


# --- the kernels ----------------------------------------------------------------------------------


def kept(like: Tensor, place: Tensor) -> Tensor:
    """Booleans of the shape of `like`, as `loops` gives it: the bits of `mask.keep_mask`.

    Positions count the elements in their logical order, in which channels come before places.
    """
    outer, places, channels = like.shape
    x = (
        place[0]
        + _count(outer, place).view(-1, 1, 1) * (places * channels)
        + _count(places, place).view(-1, 1)
        + _count(channels, place) * places
    )
    x = x ^ place[1]
    x = (x ^ ((x >> 16) & 0xFFFF)) * 0x7FEB352D
    x = x ^ ((x >> 15) & 0x1FFFF)
    x = (x + place[2]) * signed32(0x846CA68B)
    x = (x ^ ((x >> 16) & 0xFFFF)) * signed32(0x9E3779B1)
    x = x ^ ((x >> 15) & 0x1FFFF)
    return (x <= place[3]) & (place[4] != 0)


def put_back(new: Tensor, old: Tensor, place: Tensor) -> None:
    """The old value where the mask is 0; both are given as integers, so that no bit changes."""
    new.copy_(torch.where(kept(new, place), new, old))


def sgdm(w: Tensor, g: Tensor, m: Tensor, scalars: Tensor, place: Tensor) -> None:
    # Without momentum nothing is remembered, as in torch: 0 times an infinity is no number.
    past = torch.where(scalars[FIRST] > 0, scalars[FIRST] * m, 0.0)
    m.copy_(past + (g + scalars[DECAY] * w))
    _move(w, scalars[RATE] * m, place)


def rmsprop(w: Tensor, g: Tensor, v: Tensor, scalars: Tensor, place: Tensor) -> None:
    g = g + scalars[DECAY] * w
    v.mul_(scalars[SECOND]).add_(g * g * scalars[SECOND_REST])
    _move(w, scalars[RATE] * g / (v.sqrt() + scalars[EPS]), place)


def adam(w: Tensor, g: Tensor, m: Tensor, v: Tensor, scalars: Tensor, place: Tensor) -> None:
    _accumulate(w, g, m, v, scalars)
    root = v.sqrt() * scalars[UNBIAS_SECOND] + scalars[EPS]
    _move(w, scalars[RATE] * scalars[UNBIAS_FIRST] * m / root, place)


def amsgrad(
    w: Tensor, g: Tensor, m: Tensor, v: Tensor, v_max: Tensor, scalars: Tensor, place: Tensor
) -> None:
    _accumulate(w, g, m, v, scalars)
    v_max.copy_(torch.maximum(v_max, v))
    root = v_max.sqrt() * scalars[UNBIAS_SECOND] + scalars[EPS]
    _move(w, scalars[RATE] * scalars[UNBIAS_FIRST] * m / root, place)


def radam(w: Tensor, g: Tensor, m: Tensor, v: Tensor, scalars: Tensor, place: Tensor) -> None:
    _accumulate(w, g, m, v, scalars)
    step = scalars[RATE] * scalars[UNBIAS_FIRST] * m
    rectified = step * scalars[RECTIFIER] / ((v.sqrt() + scalars[EPS]) * scalars[UNBIAS_SECOND])
    _move(w, torch.where(scalars[RECTIFIER] > 0, rectified, step), place)


def _accumulate(w: Tensor, g: Tensor, m: Tensor, v: Tensor, scalars: Tensor) -> None:
    g = g + scalars[DECAY] * w
    # From the nearer end, as torch.lerp: where little of m stays, its rounding must not hide g.
    near, rest = scalars[FIRST_REST] < 0.5, scalars[FIRST_REST]
    m.copy_(torch.where(near, m, g) + (g - m) * torch.where(near, rest, rest - 1))
    v.mul_(scalars[SECOND]).add_(g * g * scalars[SECOND_REST])


def _move(w: Tensor, step: Tensor, place: Tensor) -> None:
    """eq. 2 of arXiv 1912.00144: the whole step where the mask is 1, and none where it is 0."""
    w.copy_(torch.where(kept(w, place), w - step, w))


def _count(number: int, place: Tensor) -> Tensor:
    return torch.arange(number, dtype=torch.int32, device=place.device)


RULES: dict[str, Callable[..., None]] = {
    "sgdm": sgdm,
    "rmsprop": rmsprop,
    "adam": adam,
    "amsgrad": amsgrad,
    "radam": radam,
}
