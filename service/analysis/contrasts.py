"""The mean of contrasts over settings, when some seeds are missing in some settings."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import special

from service.analysis.arms import t_quantile
from service.analysis.data import Floats
from service.analysis.resampling import EXACT_UP_TO, FLIPS, sign_flip

ROUNDING = 4 * np.finfo(float).eps
"""Sums that differ by less than this share of their terms are equal: 0.3 − 0.2 is not 0.2 − 0.1."""


def averaged(contrasts: Sequence[Floats]) -> list[dict[str, Any]]:
    """The numbers of each contrast, under their names in `effects.Effect`.

    Each contrast is (settings, arms of a setting, seeds) and holds the arms' numbers with their
    signs, so that a setting's difference is their sum. It is NaN in all arms where a seed does not
    count in a setting. With two arms (level, −reference), `lowest` and `highest` are extremes over
    the settings; with four (both, −first, −second, neither), the first factor's effect without and
    with the second.
    """
    found: list[dict[str, Any]] = []
    shares: dict[int, list[tuple[int, Floats, float]]] = {}
    for index, values in enumerate(contrasts):
        numbers, each, tolerance = _of_one(values)
        found.append(numbers)
        if len(each):
            shares.setdefault(len(each), []).append((index, each, tolerance))
    for n, group in shares.items():
        p_values = sign_flip(
            np.array([each for _, each, _ in group]), np.array([slack for *_, slack in group])
        )
        for (index, *_), p in zip(group, p_values.tolist(), strict=True):
            found[index] |= {"p_sign_flip": p, "flips": FLIPS if n > EXACT_UP_TO else None}
    return found


# --- inside ---------------------------------------------------------------------------------------


def _of_one(values: Floats) -> tuple[dict[str, Any], Floats, float]:
    """The numbers except those of the sign flips, each seed's share in the difference, and the
    tolerance within which sums of shares are equal."""
    counts = np.isfinite(values[:, 0])
    values, counts = values[counts.any(axis=1)], counts[counts.any(axis=1)]
    values, counts = values[:, :, counts.any(axis=0)], counts[:, counts.any(axis=0)]
    n = counts.shape[1]
    per_setting = counts.sum(axis=1)
    numbers: dict[str, Any] = {
        "settings": len(counts), "n": n, "n_least": int(per_setting.min()) if n else 0,
    }  # fmt: skip
    if not n:
        return numbers, np.zeros(0), 0.0
    exponent = int(np.frexp(np.nanmax(np.abs(values)))[1])
    values = np.where(counts[:, None], np.ldexp(values, -exponent), 0.0)
    weights = 1.0 / (per_setting * len(counts))
    differences = values.sum(axis=1)
    sizes = weights @ np.abs(values).sum(axis=1)
    share = weights @ differences
    means = differences.sum(axis=1) / per_setting
    tolerance = ROUNDING * float(sizes.sum())
    difference = float(share.sum())
    numbers |= _in_units(
        exponent, {"difference": difference if abs(difference) > tolerance else 0.0}
    )
    if values.shape[1] == 2:
        ends = {"lowest": float(means.min()), "highest": float(means.max())}
    else:
        both, first, second, neither = np.einsum("s,sak->a", weights, values).tolist()
        ends = {"lowest": -(first + neither), "highest": both + second}
    numbers |= _in_units(exponent, ends)
    if (freedom := numbers["n_least"] - 1) > 0:
        # Residuals of few seeds are too small, and those of one are 0, so each setting has its own
        # factor; if every seed counts, it is √(n / (n − 1)).
        factors = np.sqrt(per_setting / (per_setting - 1) / (n / (n - 1)))
        rest = (weights * factors) @ np.where(counts, differences - means[:, None], 0.0)
        spread = not (np.abs(rest) <= ROUNDING * sizes.max()).all()
        error = math.sqrt(n / (n - 1) * float((rest**2).sum())) if spread else 0.0
        half = t_quantile(freedom) * error
        numbers |= _in_units(
            exponent,
            {
                "t_low": difference - half,
                "t_high": difference + half,
                "std": math.sqrt(n) * error,
            },
        )
        if spread:
            t = difference / error
            p_t = float(2 * special.stdtr(freedom, -abs(t)))
            numbers |= {"d_z": t / math.sqrt(n), "p_t": p_t}
    return numbers, share, tolerance


def _in_units(exponent: int, numbers: dict[str, float]) -> dict[str, float | None]:
    """The numbers scaled back; None if no float can hold the result."""
    with np.errstate(over="ignore"):
        back = {name: float(np.ldexp(number, exponent)) for name, number in numbers.items()}
    return {name: number if math.isfinite(number) else None for name, number in back.items()}
