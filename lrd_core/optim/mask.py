"""The mask: a keyed 32-bit hash of (seed, step, position), kept where it is at most p · 2³².

Stateless: resuming is exact, replicas agree, and nothing is drawn from the global generators.
The hash has three multiplications; weaker ones failed tests of independence between elements and
steps. It is a source of masks, no general random number generator.
"""

import torch
from torch import Tensor

_U64 = (1 << 64) - 1
CHUNK = 1 << 18
"""Elements hashed at a time: the temporaries stay in a core's cache."""


def keep_mask(
    seed: int,
    step: int,
    count: int,
    keep_prob: float,
    *,
    offset: int = 0,
    stream: int = 0,
    device: torch.device | str = "cpu",
) -> Tensor:
    """`(count,)` booleans, each true with probability `keep_prob` (to 2⁻³²).

    Args:
        seed: of the run; any integer.
        step: counts optimizer steps.
        count: how many elements.
        keep_prob: 0 to 1.
        offset: position of the first element; positions are taken modulo 2³².
        stream: another number gives an independent mask for another purpose.
        device: where the mask is made; its bits are the same everywhere.
    """
    kept = torch.empty(count, dtype=torch.bool, device=device)
    threshold = round(keep_prob * 2**32)
    if threshold <= 0 or threshold >= 2**32:
        return kept.fill_(threshold > 0)
    key1, key2 = _keys(seed, step, stream)
    # The hash is a signed integer: kept where hash < threshold − 2³¹, in signed order.
    signed = threshold - 2**31
    for start in range(0, count, CHUNK):
        stop = min(start + CHUNK, count)
        first = _signed32(offset + start)
        index = torch.arange(stop - start, dtype=torch.int32, device=device).add_(first)
        torch.lt(_hash(index, key1, key2), signed, out=kept[start:stop])
    return kept


def _hash(x: Tensor, key1: int, key2: int) -> Tensor:
    """Mixes int32 in place; `>>` is arithmetic, so the sign's copies are masked off."""
    x.bitwise_xor_(key1)
    x ^= (x >> 16) & 0xFFFF
    x *= 0x7FEB352D
    x ^= (x >> 15) & 0x1FFFF
    x += key2
    x *= _signed32(0x846CA68B)
    x ^= (x >> 16) & 0xFFFF
    x *= _signed32(0x9E3779B1)
    x ^= (x >> 15) & 0x1FFFF
    return x


def _keys(seed: int, step: int, stream: int) -> tuple[int, int]:
    """Two int32 keys; sequential seeds and steps must be mixed first, or masks are related."""
    word = _splitmix64(_splitmix64(_splitmix64(seed & _U64) ^ (step & _U64)) ^ (stream & _U64))
    return _signed32(word), _signed32(word >> 32)


def _splitmix64(z: int) -> int:
    z = (z + 0x9E3779B97F4A7C15) & _U64
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _U64
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _U64
    return z ^ (z >> 31)


def _signed32(value: int) -> int:
    value &= 0xFFFFFFFF
    return value - (1 << 32) if value >> 31 else value
