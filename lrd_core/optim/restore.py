"""Applies masks to tensors, bit for bit, in windows that stay in a core's cache.

The bits are moved as integers, so that a dropped element's value is exact even if the other value
is infinite or not a number. An element of a complex tensor is one position. Positions count the
elements in their logical order, whatever their layout in memory.
"""

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from lrd_core.optim import kernels
from lrd_core.optim.mask import Draw, masks_on

_INTEGERS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}

Placed = tuple[int, tuple[Tensor, ...]]
"""The position of the first element, and tensors of one shape."""


def restore(new_and_old: Iterable[Placed], draw: Draw, *, compiled: bool = False) -> None:
    """Give each new tensor its old values wherever `draw` drops; the old tensors are overwritten.

    `compiled`: use a kernel that hashes and restores in one pass, for the layouts that it knows.
    """
    if draw.keeps_none:
        for _, (new, old) in new_and_old:
            new.copy_(old)
    elif not draw.keeps_all:
        if compiled:
            new_and_old = _restore_by_kernel(new_and_old, draw)
        for (new, old), dropped in _masked(new_and_old, draw):
            # new + dropped · (old − new), wrapping around: exactly `new` or `old`. Two passes in
            # place; torch.where on a random mask takes 30 times as long on a CPU.
            new.addcmul_(dropped, old.sub_(new))


def _restore_by_kernel(new_and_old: Iterable[Placed], draw: Draw) -> list[Placed]:
    """Restore the tensors whose layout the kernels know; return the others."""
    known: list[kernels.Masked] = []
    others: list[Placed] = []
    for placed in new_and_old:
        position, (new, old) = placed
        alike = kernels.fits(new) and new.stride() == old.stride()
        if alike and new.element_size() in _INTEGERS:
            known.append(kernels.Masked(new, old, draw, position))
        else:
            others.append(placed)
    kernels.restore(known)
    return others


def erase(tensors: Iterable[Placed], draw: Draw) -> None:
    """Set each tensor to zero wherever `draw` drops."""
    if not draw.keeps_all:
        for (tensor,), dropped in _masked(tensors, draw):
            tensor.mul_(dropped.bitwise_xor_(1))


def _masked(tensors: Iterable[Placed], draw: Draw) -> Iterator[tuple[list[Tensor], Tensor]]:
    """Pieces of the tensors as integers, and for each a mask: 1 for a dropped element, else 0."""
    by_device: dict[torch.device, list[Placed]] = {}
    for placed in tensors:
        by_device.setdefault(placed[1][0].device, []).append(placed)
    for device, here in by_device.items():
        masks = masks_on(device)
        for first, count, pieces in _windows(here, masks.window):
            all_dropped, start = masks.dropped(draw, first, count), 0
            for piece in pieces:
                shape, number = piece[0].shape, piece[0].numel()
                dropped = all_dropped[start : start + number].view(shape)
                start += number
                if piece[0].element_size() == 16:
                    piece, dropped = tuple(map(torch.view_as_real, piece)), dropped.unsqueeze(-1)
                integers = _INTEGERS[piece[0].element_size()]
                yield [tensor.view(integers) for tensor in piece], dropped.to(integers)


def _windows(
    tensors: Iterable[Placed], limit: int
) -> Iterator[tuple[int, int, list[tuple[Tensor, ...]]]]:
    """(first position, count, pieces) of ranges without gaps: small tensors share a mask."""
    first = count = 0
    pieces: list[tuple[Tensor, ...]] = []
    for position, wholes in tensors:
        for piece in _pieces(wholes, limit):
            number = piece[0].numel()
            if pieces and (position != first + count or count + number > limit):
                yield first, count, pieces
                pieces = []
            if not pieces:
                first, count = position, 0
            pieces.append(piece)
            count += number
            position += number
    if pieces:
        yield first, count, pieces


def _pieces(wholes: tuple[Tensor, ...], limit: int) -> Iterator[tuple[Tensor, ...]]:
    """The tensors cut alike into pieces of at most `limit` elements, in logical order."""
    size = wholes[0].numel()
    if 0 < size <= limit:
        yield wholes
    elif all(whole.is_contiguous() for whole in wholes):
        yield from zip(*(torch.split(whole.view(-1), limit) for whole in wholes), strict=True)
    else:  # another memory format, e.g. channels last
        rows = max(1, limit * len(wholes[0]) // size)
        for some in zip(*(torch.split(whole, rows) for whole in wholes), strict=True):
            if some[0].numel() <= limit:
                yield some
            else:
                yield from _pieces(tuple(part[0] for part in some), limit)
