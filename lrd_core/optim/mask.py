"""The mask: a keyed 32-bit hash of (seed, step, position); elements below p · 2³² are kept.

It is stateless: resuming is exact, replicas agree, and nothing is drawn from the global generators.
The hash has three multiplications; weaker ones failed tests of independence between elements and
steps. It makes masks and is not a general random number generator.
"""

import operator
import threading
from dataclasses import dataclass
from functools import cached_property
from numbers import Real
from typing import Any, SupportsIndex

import torch
from torch import Tensor

_U64 = (1 << 64) - 1
_ADDED = 0x846CA68B
_CPU_WINDOW, _GPU_WINDOW = 1 << 17, 1 << 20
"""Elements hashed at a time, a power of two: on a CPU the scratch stays in a core's cache, on a GPU
each launch has enough to do."""


class _Kept:
    """How much of a mask is kept."""

    threshold: int

    @property
    def keeps_all(self) -> bool:
        return self.threshold >= 2**32

    @property
    def keeps_none(self) -> bool:
        return self.threshold <= 0


@dataclass(frozen=True)
class Draw(_Kept):
    """What decides a mask besides the position: two keys, and the threshold of a kept hash."""

    key1: int
    key2: int
    threshold: int
    """0 (none is kept) to 2³² (all are)."""

    @classmethod
    def of(cls, seed: int, step: int, keep_prob: float, stream: int = 0) -> "Draw":
        """The draw of one step; each `stream` is independent of the others, for another purpose.

        Raises:
            ValueError: `keep_prob` is not within 0 to 1.
        """
        word, kept = mixed(seed, step, stream), probability(keep_prob)
        return cls(signed32(word), signed32(word >> 32), round(kept * 2**32))

    @cached_property
    def words(self) -> tuple[int, int, int, int]:
        """For a kernel: both keys, the greatest signed hash that is kept, and whether any is."""
        greatest = max(self.threshold - 1, 0) - 2**31
        return self.key1, self.key2, greatest, int(not self.keeps_none)

    def first_word(self, high: int) -> int:
        """The word for a position's higher bits, to be xored with its mixed lower bits."""
        rest = (high ^ self.key1) & 0xFFFFFFFF
        return signed32(rest ^ (rest >> 16))

    @property
    def added(self) -> int:
        return signed32(self.key2 * _ADDED)


@dataclass(frozen=True)
class CountedDraw(_Kept):
    """A `Draw` for a step that is counted on a device, which makes the keys, with the same bits.

    So the host need not know the step, and each launch of a CUDA graph draws a new mask.
    """

    key1: Tensor
    key2: Tensor
    """Scalar tensors, int32."""
    threshold: int

    @classmethod
    def of(cls, seed: int, step: Tensor, keep_prob: float, stream: int) -> "CountedDraw":
        """`step`: a scalar tensor, int64."""
        whole = Draw.of(seed, 0, keep_prob)  # raises if keep_prob is not a probability
        word = _mixed_there(seed, step, stream)
        return cls(word.to(torch.int32), (word >> 32).to(torch.int32), whole.threshold)

    def first_word(self, high: int) -> Tensor:
        """As `Draw.first_word`."""
        rest = self.key1 ^ signed32(high)
        return rest ^ ((rest >> 16) & 0xFFFF)

    @property
    def added(self) -> Tensor:
        return self.key2 * signed32(_ADDED)


class Masks:
    """Makes masks on one device, in a scratch buffer of three windows that is allocated once.

    A result is a view of the scratch, valid until the next call: see `masks_on`.
    """

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self.window = _CPU_WINDOW if torch.device(device).type == "cpu" else _GPU_WINDOW
        """The most positions in one result."""
        index = torch.arange(self.window, dtype=torch.int32, device=device)
        # x ^ (x >> 16), the hash's first mixing, is linear over xor: for the index it is computed
        # once, and for the rest of a position it is one number per window.
        self._mixed = index ^ ((index >> 16) & 0xFFFF)
        self._x, self._shifted = torch.empty_like(index), torch.empty_like(index)

    def dropped(self, draw: Draw | CountedDraw, first: int, count: int) -> Tensor:
        """`(count,)` int32: 1 where the position, counted from `first`, is dropped, else 0.

        Args:
            draw: which mask.
            first: positions are taken modulo 2³².
            count: 1 to `window`.
        """
        x, shifted = self._x[:count], self._shifted[:count]
        if draw.keeps_all or draw.keeps_none:
            return x.fill_(draw.keeps_none)
        start = 0
        while start < count:  # a window may straddle one boundary
            place = (first + start) % self.window
            length = min(count - start, self.window - place)
            torch.bitwise_xor(
                self._mixed[place : place + length],
                draw.first_word(first + start - place),
                out=x[start : start + length],
            )
            start += length
        x.mul_(0x7FEB352D)
        _xor_shifted(x, 15, shifted)
        # (x + key2) · _ADDED in one pass
        torch.add(draw.added, x, alpha=signed32(_ADDED), out=x)
        _xor_shifted(x, 16, shifted)
        x.mul_(signed32(0x9E3779B1))
        # The hash is a signed integer: kept where hash < threshold − 2³¹, in signed order.
        bound = draw.threshold - 2**31
        # The last mixing changes only the lower 17 bits, which matter only if the bound has some.
        if bound & 0x1FFFF:
            _xor_shifted(x, 15, shifted)
        return x.ge_(bound)


def masks_on(device: torch.device) -> Masks:
    """The calling thread's maker of masks on `device`; use each result before the next call."""
    if device not in _makers.on:
        with torch.inference_mode(
            False
        ):  # otherwise it could not be written to outside inference mode
            _makers.on[device] = Masks(device)
    return _makers.on[device]


class _Makers(threading.local):
    def __init__(self) -> None:
        self.on: dict[torch.device, Masks] = {}


_makers = _Makers()


def keep_mask(
    seed: int,
    step: int | Tensor,
    count: int,
    keep_prob: float,
    *,
    offset: int = 0,
    stream: int = 0,
    device: torch.device | str = "cpu",
) -> Tensor:
    """`(count,)` booleans, each true with probability `keep_prob` (to 2⁻³²).

    Args:
        seed: the run's; any integer.
        step: count of optimizer steps, or of anything else; a number, or an int64 tensor on
            `device`.
        count: how many elements.
        keep_prob: 0 to 1.
        offset: position of the first element; positions are taken modulo 2³².
        stream: another number gives an independent mask for another purpose.
        device: where the mask is made; its bits are the same on every device.
    """
    kept = torch.empty(count, dtype=torch.bool, device=device)
    masks = masks_on(kept.device)
    draw = (
        Draw.of(seed, step, keep_prob, stream)
        if isinstance(step, int)
        else CountedDraw.of(seed, step, keep_prob, stream)
    )
    for start in range(0, count, masks.window):
        part = kept[start : start + masks.window]
        torch.eq(masks.dropped(draw, offset + start, len(part)), 0, out=part)
    return kept


def probability(keep_prob: Any) -> float:
    """`keep_prob` as a plain number: one of NumPy's would be refused in a checkpoint.

    Raises:
        ValueError: it is not a number within 0 to 1.
    """
    if not isinstance(keep_prob, Real) or not 0.0 <= float(keep_prob) <= 1.0:
        raise ValueError(f"keep_prob is a probability, a number from 0 to 1, got {keep_prob!r}")
    return float(keep_prob)


def seed_word(seed: Any) -> int:
    """`seed` as a plain integer: one of NumPy's would be refused in a checkpoint.

    Raises:
        TypeError: it is not an integer.
    """
    if not isinstance(seed, SupportsIndex):
        raise TypeError(f"seed is an integer, got {seed!r}")
    return operator.index(seed)


def mixed(seed: int, step: int, stream: int) -> int:
    """64 bits mixed from all three, so that sequential seeds and steps give unrelated masks."""
    seed = operator.index(seed)  # NumPy's integers cannot be masked with 2⁶⁴ − 1
    return _splitmix64(_splitmix64(_splitmix64(seed & _U64) ^ (step & _U64)) ^ (stream & _U64))


def signed32(value: int) -> int:
    """The int32 with the lower 32 bits of `value`."""
    value &= 0xFFFFFFFF
    return value - (1 << 32) if value >> 31 else value


def _mixed_there(seed: int, step: Tensor, stream: int) -> Tensor:
    """`mixed` for a step on a device."""
    z = _splitmix64_there(step ^ _signed64(_splitmix64(seed & _U64)))
    return _splitmix64_there(z ^ stream)


def _splitmix64_there(z: Tensor) -> Tensor:
    z = z + _signed64(0x9E3779B97F4A7C15)
    z = (z ^ ((z >> 30) & ((1 << 34) - 1))) * _signed64(0xBF58476D1CE4E5B9)
    z = (z ^ ((z >> 27) & ((1 << 37) - 1))) * _signed64(0x94D049BB133111EB)
    return z ^ ((z >> 31) & ((1 << 33) - 1))


def _signed64(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def _xor_shifted(x: Tensor, bits: int, scratch: Tensor) -> None:
    """x ^= x >> bits, as if x were unsigned: `>>` copies the sign, which is masked off."""
    torch.bitwise_right_shift(x, bits, out=scratch)
    scratch.bitwise_and_((1 << (32 - bits)) - 1)
    x.bitwise_xor_(scratch)


def _splitmix64(z: int) -> int:
    z = (z + 0x9E3779B97F4A7C15) & _U64
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _U64
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _U64
    return z ^ (z >> 31)
