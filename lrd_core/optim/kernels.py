"""What torch.compile makes one pass over memory of: the mask's hash, and a whole step with it.

Pure torch on what `loops` gives; moments and parameters are changed in place. Each kernel is
compiled once for tensors of every size, in each of two layouts. What changes from step to step
comes in small tensors, so that nothing is compiled anew: `place`, int32, says where the mask is
(see `places_of`), and `scalars`, of the parameters' type, holds the numbers named below.
"""

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from lrd_core.optim.mask import Draw, signed32

RATE, DECAY, FIRST, FIRST_REST, SECOND, SECOND_REST, EPS, UNBIAS_FIRST, UNBIAS_SECOND, RECTIFIER = (
    range(10)
)
"""Learning rate, weight decay, the decay of φ and 1 minus it, that of ψ and 1 minus it, ε, Adam's
two corrections of bias as factors, and RAdam's rectifier (0: not yet)."""


@functools.cache
def compiled(kernel: Callable[..., None]) -> Callable[..., None]:
    """`kernel` as one machine loop; it takes seconds when first called."""
    # Otherwise the size of the first tensor decides whether threads are used, for good, and by way
    # of the cache on disk for other processes too: a small one made later ones twice as slow.
    options: dict[str, Any] = {"cpp.dynamic_threads": True}
    result: Callable[..., None] = torch.compile(
        kernel, fullgraph=True, dynamic=True, options=options
    )
    return result


def places_of(draw: Draw, firsts: list[int], device: torch.device) -> list[Tensor]:
    """For each first position `(5,)` int32: it, two keys, the greatest hash kept, whether any is.

    All go to the device in one copy. They are no views of it (see `loops`).
    """
    greatest = max(draw.threshold - 1, 0) - 2**31
    words = [draw.key1, draw.key2, greatest, int(not draw.keeps_none)]
    rows = torch.tensor([[signed32(first), *words] for first in firsts], dtype=torch.int32)
    return [row.clone() for row in rows.to(device, non_blocking=True)]


def fits(tensor: Tensor) -> bool:
    """Whether `loops` takes it."""
    return tensor.is_contiguous() or _is_channels_last(tensor)


def loops(like: Tensor, *tensors: Tensor, dtype: torch.dtype | None = None) -> list[Tensor]:
    """The tensors in the layout of `like`, as `(outer, places, channels)` in the order of memory.

    A contiguous tensor is `(1, 1, elements)`. What is changed in them changes in the tensors, but
    for one that is not laid out like `like`. `dtype`, of the same width, reads the bits otherwise.
    """
    if like.is_contiguous():
        shape, memory_format = (1, 1, like.numel()), torch.contiguous_format
    else:
        outer, channels, *sides = like.shape
        shape, memory_format = (outer, sides[0] * sides[1], channels), torch.channels_last
    strides = (shape[1] * shape[2], shape[2], 1)
    results = []
    for tensor in tensors:
        ordered = tensor.contiguous(memory_format=memory_format)
        # Not a view: a kernel is compiled anew for each shape of what its arguments are views of.
        same = torch.empty(0, dtype=dtype or tensor.dtype, device=tensor.device)
        storage, start = ordered.untyped_storage(), ordered.storage_offset()
        results.append(same.set_(storage, start, shape, strides))
    return results


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


def restore(new: Tensor, old: Tensor, place: Tensor) -> None:
    """The old value where the mask is 0; both are given as integers, so that no bit changes."""
    new.copy_(torch.where(kept(new, place), new, old))


def sgdm(w: Tensor, g: Tensor, m: Tensor, scalars: Tensor, place: Tensor) -> None:
    m.mul_(scalars[FIRST]).add_(g + scalars[DECAY] * w)
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
    m.add_((g - m) * scalars[FIRST_REST])
    v.mul_(scalars[SECOND]).add_(g * g * scalars[SECOND_REST])


def _move(w: Tensor, step: Tensor, place: Tensor) -> None:
    """eq. 2 of arXiv 1912.00144: the whole step where the mask is 1, and none where it is 0."""
    w.copy_(torch.where(kept(w, place), w - step, w))


def _count(number: int, place: Tensor) -> Tensor:
    return torch.arange(number, dtype=torch.int32, device=place.device)


def _is_channels_last(tensor: Tensor) -> bool:
    return tensor.dim() == 4 and tensor.is_contiguous(memory_format=torch.channels_last)


def failure(action: Callable[[], Any]) -> str | None:
    """Do `action`, which compiles; None, or in words why it cannot be done here."""
    try:
        action()
    except Exception as error:  # there are many ways of having no compiler
        return str(error).strip().partition("\n")[0] or type(error).__name__
    return None
