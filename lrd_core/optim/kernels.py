"""What torch.compile makes one pass over memory of: the mask's hash, and a whole step with it.

Pure torch on what `loops` gives; moments and parameters are changed in place. Each kernel is
compiled once for tensors of every size, in each of two layouts. What changes from step to step
comes in small tensors, so that nothing is compiled anew: `place`, int32, says where the mask is
(see `place_of`), and `scalars`, of the parameters' type, holds the numbers named below.
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


def place_of(draw: Draw, first: int, device: torch.device) -> Tensor:
    """`(5,)` int32: the first position, two keys, the greatest hash kept, and whether any is."""
    greatest = max(draw.threshold - 1, 0) - 2**31
    words = [signed32(first), draw.key1, draw.key2, greatest, not draw.keeps_none]
    return torch.tensor(words, dtype=torch.int32, device=device)


def fits(tensor: Tensor) -> bool:
    """Whether `loops` takes it."""
    return tensor.is_contiguous() or _is_channels_last(tensor)


def loops(like: Tensor, *tensors: Tensor) -> list[Tensor]:
    """The tensors in the layout of `like`, as `(outer, places, channels)` in the order of memory.

    A contiguous tensor is `(1, 1, elements)`. Views, unless a tensor is not laid out like `like`.
    """
    if like.is_contiguous():
        return [tensor.contiguous().view(1, 1, -1) for tensor in tensors]
    memory_format = torch.channels_last
    ordered = [tensor.contiguous(memory_format=memory_format) for tensor in tensors]
    return [tensor.permute(0, 2, 3, 1).flatten(1, 2) for tensor in ordered]


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
