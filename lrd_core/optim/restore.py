"""Giving back the old value wherever the mask is 0, bit for bit, in windows of a core's cache."""

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from lrd_core.optim.mask import Draw, Masks

_INTEGERS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}

Remembered = tuple[int, Tensor, Tensor]
"""A tensor's first position in the mask, its new values, and its old ones."""


def restore(remembered: Iterable[Remembered], draw: Draw, masks: Masks) -> None:
    """Give each new tensor its old values back where `draw` drops; the old ones are used up.

    The bits are moved as integers, so that the old value comes back exactly even where the new one
    is infinite or not a number. An element of a complex tensor is one position. Positions count
    the elements in their logical order, whatever their layout in memory.
    """
    if draw.keeps_none:
        for _, new, old in remembered:
            new.copy_(old)
    elif not draw.keeps_all:
        for first, count, pieces in _windows(remembered, masks.window):
            dropped, start = masks.dropped(draw, first, count), 0
            for new, old in pieces:
                _put_back(new, old, dropped[start : start + new.numel()])
                start += new.numel()


def _put_back(new: Tensor, old: Tensor, dropped: Tensor) -> None:
    dropped = dropped.view(new.shape)
    if new.element_size() == 16:
        new, old, dropped = torch.view_as_real(new), torch.view_as_real(old), dropped.unsqueeze(-1)
    integers = _INTEGERS[new.element_size()]
    new, old = new.view(integers), old.view(integers)
    # new + dropped · (old − new), wrapping around: exactly `new` or `old`. Two passes in place;
    # torch.where on a random mask takes 30 times as long on a CPU.
    new.addcmul_(dropped.to(integers), old.sub_(new))


def _windows(
    remembered: Iterable[Remembered], limit: int
) -> Iterator[tuple[int, int, list[tuple[Tensor, Tensor]]]]:
    """(first position, count, pieces) of stretches without a gap: small tensors share a mask."""
    first = count = 0
    pieces: list[tuple[Tensor, Tensor]] = []
    for position, whole_new, whole_old in remembered:
        for new, old in _pieces(whole_new, whole_old, limit):
            if pieces and (position != first + count or count + new.numel() > limit):
                yield first, count, pieces
                pieces = []
            if not pieces:
                first, count = position, 0
            pieces.append((new, old))
            count += new.numel()
            position += new.numel()
    if pieces:
        yield first, count, pieces


def _pieces(new: Tensor, old: Tensor, limit: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Both tensors cut alike into pieces of at most `limit` elements, in logical order."""
    if 0 < new.numel() <= limit:
        yield new, old
    elif new.is_contiguous() and old.is_contiguous():
        yield from zip(
            torch.split(new.view(-1), limit), torch.split(old.view(-1), limit), strict=True
        )
    else:  # another memory format, e.g. channels last
        rows = max(1, limit * len(new) // new.numel())
        for some_new, some_old in zip(torch.split(new, rows), torch.split(old, rows), strict=True):
            if some_new.numel() <= limit:
                yield some_new, some_old
            else:
                yield from _pieces(some_new[0], some_old[0], limit)
