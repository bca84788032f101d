"""The mask's bits, and whether they are as good as independent coin tosses."""

import hashlib
import math
import threading
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from lrd_core.optim.mask import Draw, Masks, keep_mask

# --- frozen ---------------------------------------------------------------------------------------
# Every result with learning-rate dropout ever recorded depends on these bits. Only a new major
# version, whose notes say that old trials can no longer be repeated, may regenerate them.

BITS = [
    ((1, 2, 24, 0.5), {}, "001100101100111001001000"),
    ((0, 1, 24, 0.5), {}, "110100000011001100100111"),
    ((7, 3, 24, 0.3), {"offset": 2**32 - 12}, "001000100001000000011000"),
    ((2**63 - 1, 1, 24, 0.7), {"offset": 65530}, "111010111110110101100111"),
]
DIGESTS = [
    ((0, 1, 300_000, 0.5), {}, "50e219eaaa0034a7", 150_370),
    ((3, 17, 300_000, 0.3), {"offset": 70_001}, "96bf3a21a2233ac1", 90_157),
    (
        (11, 5, 200_000, 1 / 3),
        {"stream": 2, "offset": 2**32 - 99_999},
        "7778df3a52cc3bce",
        66_760,
    ),
    ((4, 4, 300_000, 2**-20), {}, "886715e4051e827f", 0),
]


@pytest.mark.parametrize(("arguments", "options", "bits"), BITS)
def test_the_mask_s_bits_never_change(arguments: Any, options: Any, bits: str) -> None:
    kept = keep_mask(*arguments, **options)
    assert "".join(str(int(bit)) for bit in kept) == bits


@pytest.mark.parametrize(("arguments", "options", "digest", "count"), DIGESTS)
def test_long_masks_never_change(arguments: Any, options: Any, digest: str, count: int) -> None:
    kept = keep_mask(*arguments, **options)
    assert int(kept.sum()) == count
    assert hashlib.sha256(kept.numpy().tobytes()).hexdigest().startswith(digest)


# --- by position alone ----------------------------------------------------------------------------


@pytest.mark.parametrize("keep_prob", [0.5, 0.3])
def test_a_mask_cut_in_any_places_is_the_same_mask(keep_prob: float) -> None:
    # Catches: a wrong position where a window straddles a boundary of the scratch.
    whole = keep_mask(5, 6, 400_000, keep_prob, offset=123)
    masks, draw = Masks(), Draw.of(5, 6, keep_prob)
    cuts = [0, 1, 7, 131_000, 131_073, 262_021, 300_000, 400_000]
    for start, stop in pairwise(cuts):
        dropped = masks.dropped(draw, 123 + start, stop - start)
        assert torch.equal(dropped == 0, whole[start:stop])


def test_scratch_made_in_inference_mode_can_be_used_outside() -> None:
    # Else one evaluation before the first step would end the training.
    masks: list[Tensor] = []

    def both() -> None:
        with torch.inference_mode():
            masks.append(keep_mask(5, 6, 99, 0.3).clone())
        masks.append(keep_mask(5, 6, 99, 0.3))

    thread = threading.Thread(target=both)  # a fresh thread has no scratch yet
    thread.start()
    thread.join()
    assert len(masks) == 2
    assert torch.equal(masks[0], masks[1])


def test_nothing_is_kept_at_0_and_all_at_1() -> None:
    assert not keep_mask(0, 1, 1000, 0.0).any()
    assert keep_mask(0, 1, 1000, 1.0).all()
    assert len(keep_mask(0, 1, 0, 0.5)) == 0


def test_a_larger_keep_prob_keeps_what_a_smaller_one_kept() -> None:
    # So the arms of a sweep over p differ only where they must.
    masks = [keep_mask(3, 4, 10_000, p) for p in (0.1, 0.3, 0.5, 0.9)]
    for fewer, more in pairwise(masks):
        assert not (fewer & ~more).any()


# --- quality --------------------------------------------------------------------------------------
# The bits are frozen, so each of these either holds for ever or never: the rates below say how
# often a perfect source with another seed would fail, which is how far a new hash may be trusted.

COUNT = 1 << 18


def test_the_hash_reaches_every_value_once() -> None:
    """P(kept) is p to 2⁻³², not only in the mean: over all 2³² positions each hash occurs once.

    Shown by its inverse: the hash is a chain of steps of which each can be undone.
    """
    draw = Draw.of(9, 9, 0.5)
    for hashed in (0, 1, 2**31, 2**32 - 1, 0xDEADBEEF):
        assert _hash(_inverse(hashed, draw), draw) == hashed
    for share in range(1001):
        keep_prob = share / 1000
        assert abs(Draw.of(9, 9, keep_prob).threshold / 2**32 - keep_prob) <= 2**-33


def test_the_vectorised_hash_is_the_plain_one() -> None:
    positions = [0, 1, 65_535, 65_536, 2**31, 2**32 - 1]
    for keep_prob in (0.5, 0.37):
        draw = Draw.of(9, 10, keep_prob)
        for position in positions:
            kept = bool(keep_mask(9, 10, 1, keep_prob, offset=position))
            assert kept == ((_hash(position, draw) + 2**31) % 2**32 < draw.threshold)


@pytest.mark.parametrize("keep_prob", [0.999, 0.9, 0.7, 0.5, 0.3, 0.1, 0.01, 0.001])
def test_the_kept_share_is_keep_prob(keep_prob: float) -> None:
    # 12 million elements, 5 sigma: a false alarm once in 1.7 million; all eight, in 200,000.
    kept = sum(int(keep_mask(7, step, 1_000_000, keep_prob).sum()) for step in range(12))
    sigma = math.sqrt(keep_prob * (1 - keep_prob) / 12e6)
    assert abs(kept / 12e6 - keep_prob) < 5 * sigma


def signs(seed: int, step: int) -> Tensor:
    """±1, of mean 0 and variance 1."""
    return keep_mask(seed, step, COUNT, 0.5).float() * 2 - 1


def z(a: Tensor, b: Tensor) -> float:
    """How many sigma the correlation is away from none."""
    return float((a * b).sum()) / math.sqrt(len(a))


def test_seeds_0_1_2_and_steps_0_1_2_are_unrelated() -> None:
    # 36 pairs within 5.5 sigma: a false alarm once in 700,000.
    masks = [signs(seed, step) for seed in range(3) for step in range(3)]
    for i, mask in enumerate(masks):
        for other in masks[:i]:
            assert abs(z(mask, other)) < 5.5


@pytest.mark.parametrize("stream", [1, 2])
def test_streams_are_unrelated(stream: int) -> None:
    # Else DG would drop the gradients of just the elements that LRD keeps. Twice: once in 10⁷.
    other = keep_mask(0, 1, COUNT, 0.5, stream=stream).float() * 2 - 1
    assert abs(z(signs(0, 1), other)) < 5.5


def test_neighbours_in_a_mask_are_unrelated() -> None:
    # 4 masks × 20 lags within 5.5 sigma: a false alarm once in 300,000.
    lags = (*range(1, 13), 16, 28, 64, 256, 784, 1000, 4096, 1 << 16)
    for step in range(4):
        mask = signs(1, step)
        for lag in lags:
            assert abs(z(mask[lag:], mask[:-lag])) < 5.5


def test_each_element_is_kept_independently_over_the_steps() -> None:
    # Catches: elements that are always kept. χ² of the number of times that each of 2¹⁵ elements
    # is kept in 64 steps, within 5.5 sigma of its mean: a false alarm once in 26 million.
    steps, elements = 64, 1 << 15
    counts = torch.stack([keep_mask(2, step, elements, 0.5) for step in range(steps)]).sum(0)
    chi2 = float(((counts - steps / 2) ** 2 / (steps / 4)).sum())
    # A count's (x − mean)² / variance has mean 1 and variance 2 − 2 / steps.
    assert abs(chi2 - elements) < 5.5 * math.sqrt(elements * (2 - 2 / steps))


_MASK = 0xFFFFFFFF
_CONSTANTS = (0x7FEB352D, 0x846CA68B, 0x9E3779B1)


def _hash(x: int, draw: Draw) -> int:
    x ^= draw.key1 & _MASK
    x ^= x >> 16
    x = x * _CONSTANTS[0] & _MASK
    x ^= x >> 15
    x = (x + draw.key2) * _CONSTANTS[1] & _MASK
    x ^= x >> 16
    x = x * _CONSTANTS[2] & _MASK
    return x ^ x >> 15


def _inverse(x: int, draw: Draw) -> int:
    first, second, third = (pow(constant, -1, 1 << 32) for constant in _CONSTANTS)
    x ^= x >> 15 ^ x >> 30
    x = x * third & _MASK
    x ^= x >> 16
    x = (x * second - draw.key2) & _MASK
    x ^= x >> 15 ^ x >> 30
    x = x * first & _MASK
    x ^= x >> 16
    return x ^ draw.key1 & _MASK
