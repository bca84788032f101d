"""The two resampling methods, batched: the sign-flip test and the BCa bootstrap of a mean.

Both take `differences` of shape (k, n): k comparisons of n pairs each.
"""

import functools
from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt
from scipy import special

from service.analysis.data import Floats

EXACT_UP_TO = 24
"""Pairs up to which all 2^n sign patterns are counted; above that, FLIPS random ones."""
FLIPS = 9_999
"""Random sign patterns; with the observed one they make p a multiple of 1 / 10,000."""
RESAMPLES = 5_000
"""Bootstrap resamples."""
SEED = 1912_00144
"""Seed of both random streams, so that the same numbers always give the same p and interval."""

_TABULATED_UP_TO = 10
_FEW_RESAMPLES_UP_TO = 7
"""7 pairs have 1,716 different resamples; 8 have more than RESAMPLES."""
_BLOCK = 4_000_000


def exactness(flips: Iterable[int | None]) -> str:
    """`exact` if no test drew random sign patterns (None), otherwise `Monte-Carlo`."""
    return "exact" if all(each is None for each in flips) else "Monte-Carlo"


def sign_flip(differences: Floats, tolerance: Floats) -> Floats:
    """Two-sided p of the paired sign-flip test, for each row of `differences` (k, n).

    Under the hypothesis that the arms do not differ, each difference is as likely to be −d as d.
    p is the share of the 2^n sign patterns whose |sum| is at least the observed one's, so it is
    never below 2 / 2^n. Above EXACT_UP_TO pairs it is estimated from FLIPS random patterns as
    (1 + hits) / (1 + FLIPS), which is a valid p in itself (Phipson and Smyth 2010).

    `tolerance` (k,): sums that differ by less count as equal, so that rounding breaks no ties.
    """
    n = differences.shape[1]
    observed = np.abs(differences.sum(axis=1)) - tolerance
    if n <= _TABULATED_UP_TO:
        # A pattern and its mirror have the same |sum|: the first sign may stay +.
        signs = np.ones((n, 2 ** (n - 1)))
        for row in range(1, n):
            signs[row] = 1 - 2 * ((np.arange(2 ** (n - 1)) >> (row - 1)) & 1)
        shares: Floats = (np.abs(differences @ signs) >= observed[:, None]).mean(axis=1)
        return shares
    if n <= EXACT_UP_TO:
        return np.array(
            [_exact(row, limit) for row, limit in zip(differences, observed, strict=True)]
        )
    hits = np.zeros(len(differences))
    for signs in _random_signs(n):
        hits += (np.abs(differences @ signs) >= observed[:, None]).sum(axis=1)
    return (1 + hits) / (1 + FLIPS)


def bca_interval(differences: Floats, confidence: float = 0.95) -> tuple[Floats, Floats]:
    """Bias-corrected and accelerated bootstrap interval of each row's mean (Efron 1987).

    Equal to `scipy.stats.bootstrap(method="BCa")` with the same random stream. A row whose
    differences are all equal gets that value as both ends.
    """
    n = differences.shape[1]
    if n == 1:
        return differences[:, 0].copy(), differences[:, 0].copy()
    means, times = _resampled_means(differences)
    observed = differences.mean(axis=1)
    # Resampled means that equal the observed one up to rounding count half.
    slack = 8 * np.finfo(float).eps * np.abs(differences).max(axis=1)
    below = (times * (means < (observed - slack)[:, None])).sum(axis=1)
    up_to = (times * (means <= (observed + slack)[:, None])).sum(axis=1)
    bias = special.ndtri((below + up_to) / 2 / RESAMPLES)

    centred = differences - observed[:, None]
    flat = np.ptp(differences, axis=1) == 0
    with np.errstate(divide="ignore", invalid="ignore"):
        # Scaled first, because the cube of 1e-163 would underflow.
        centred = centred / np.abs(centred).max(axis=1, keepdims=True)
        spread = (centred**2).sum(axis=1)
        # The jackknife's acceleration; for a mean it is the skewness over 6 sqrt(n).
        acceleration = (centred**3).sum(axis=1) / spread**1.5 / 6
    ends = []
    for tail in ((1 - confidence) / 2, (1 + confidence) / 2):
        z = bias + special.ndtri(tail)
        with np.errstate(invalid="ignore"):
            level = special.ndtr(bias + z / (1 - acceleration * z))
        end = _quantiles(means, times, np.where(flat, 0.5, level))
        ends.append(np.where(flat, differences[:, 0], end))
    return ends[0], ends[1]


# --- inside ---------------------------------------------------------------------------------------


def _exact(row: Floats, limit: float) -> float:
    """The same share for more pairs: meet in the middle with the sorted sums of both halves."""
    if limit <= 0:
        return 1.0
    half = len(row) // 2
    left, right = (np.sort(_signed_sums(part)) for part in (row[:half], row[half:]))
    at_least = len(right) - np.searchsorted(right, limit - left)
    hits = int(at_least.sum())
    return min(1.0, hits / float(2 ** (len(row) - 1)))


def _signed_sums(values: Floats) -> Floats:
    sums = np.zeros(1)
    for value in values:
        sums = np.concatenate([sums + value, sums - value])
    return sums


def _random_signs(n: int) -> Iterator[Floats]:
    rng = np.random.default_rng(SEED)
    left = FLIPS
    while left:
        size = min(left, max(1, _BLOCK // n))
        bits = np.frombuffer(rng.bytes((n * size + 7) // 8), dtype=np.uint8)
        signs = 1 - 2 * np.unpackbits(bits, count=n * size).reshape(n, size).astype(np.float64)
        yield signs
        left -= size


def _bootstrap_weights(n: int) -> Iterator[Floats]:
    """How often each pair is drawn, over n, for blocks of resamples: (n, size)."""
    rng = np.random.default_rng(SEED)
    left = RESAMPLES
    while left:
        size = min(left, max(1, _BLOCK // n))
        drawn = rng.integers(0, n, (size, n)) + n * np.arange(size)[:, None]
        drawn_times = np.bincount(drawn.ravel(), minlength=n * size).reshape(size, n)
        yield np.asarray(drawn_times.T / n, dtype=np.float64)
        left -= size


def _resampled_means(differences: Floats) -> tuple[Floats, npt.NDArray[np.int64]]:
    """The RESAMPLES means of each row, sorted, and how many resamples have each: both (k, u).

    Few pairs have few different resamples (5 have 126), so each is computed once.
    """
    n = differences.shape[1]
    if n > _FEW_RESAMPLES_UP_TO:
        means = np.concatenate([differences @ each for each in _bootstrap_weights(n)], axis=1)
        means.sort(axis=1)
        return means, np.ones((1, 1), np.int64)
    weights, times = _few_resamples(n)
    means = differences @ weights
    order = np.argsort(means, axis=1)
    return np.take_along_axis(means, order, axis=1), times[order]


@functools.lru_cache
def _few_resamples(n: int) -> tuple[Floats, npt.NDArray[np.int64]]:
    every = np.concatenate(list(_bootstrap_weights(n)), axis=1)
    weights, times = np.unique(every, axis=1, return_counts=True)
    return weights, times.astype(np.int64)


def _quantiles(rows: Floats, times: npt.NDArray[np.int64], levels: Floats) -> Floats:
    """One quantile of each sorted row whose elements occur `times` times, linearly interpolated as
    in `numpy.quantile`."""
    place = np.clip(levels, 0, 1) * (RESAMPLES - 1)
    lower = np.floor(place).astype(np.intp)
    upper = np.minimum(lower + 1, RESAMPLES - 1)
    if times.shape == rows.shape:
        last = np.cumsum(times, axis=1)
        lower_at, upper_at = ((last <= rank[:, None]).sum(axis=1) for rank in (lower, upper))
    else:
        lower_at, upper_at = lower, upper
    each = np.arange(len(rows))
    low, high = rows[each, lower_at], rows[each, upper_at]
    return np.asarray(low + (high - low) * (place - lower))
