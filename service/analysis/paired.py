"""Statistics of paired numbers, the tests of a comparison, and Holm's adjustment of their p."""

import math
from collections.abc import Sequence

import numpy as np
from scipy import special

from service.analysis.arms import CONFIDENCE, ArmSummary, scale_of, t_quantile
from service.analysis.data import Floats
from service.analysis.resampling import bca_interval, sign_flip

ALPHA = 0.05


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's step-down adjustment (1979), in the given order.

    The family is every comparison asked for: a missing p stays None but counts as one, so that an
    adjusted p does not rise merely because another arm has finished.
    """
    order = sorted(
        (index for index, p in enumerate(p_values) if p is not None),
        key=lambda index: p_values[index] or 0.0,
    )
    adjusted: list[float | None] = [None] * len(p_values)
    reached = 0.0
    for rank, index in enumerate(order):
        reached = max(reached, min(1.0, (len(p_values) - rank) * (p_values[index] or 0.0)))
        adjusted[index] = reached
    return adjusted


def paired_statistics(arm: Floats, baseline: Floats) -> dict[str, Floats]:
    """Statistics of k comparisons with n pairs each; both arrays are (k, n), n ≥ 1. NaN is
    undefined."""
    n = arm.shape[1]
    exponent = scale_of(np.concatenate([arm, baseline], axis=1))
    arm, baseline = (np.ldexp(rows, -exponent[:, None]) for rows in (arm, baseline))
    size = np.abs(arm) + np.abs(baseline)
    rounding = 4 * np.finfo(float).eps
    differences = arm - baseline
    # Differences that are equal up to rounding have no spread: in floats, 0.3 - 0.2 != 0.2 - 0.1.
    constant = np.ptp(differences, axis=1) <= rounding * size.max(axis=1)
    differences = np.where(constant[:, None], differences[:, :1], differences)
    mean = np.where(constant, differences[:, 0], differences.mean(axis=1))
    in_units = {"difference": mean}
    found = {"p_sign_flip": sign_flip(differences, rounding * size.sum(axis=1))}
    if n > 1:
        std = np.where(constant, 0.0, differences.std(axis=1, ddof=1))
        half = t_quantile(n - 1) * std / np.sqrt(n)
        low, high = bca_interval(differences, CONFIDENCE)
        in_units |= {
            "std": std, "ci_low": low, "ci_high": high, "t_low": mean - half, "t_high": mean + half,
        }  # fmt: skip
        d_z = np.divide(mean, std, out=np.full_like(mean, np.nan), where=~constant)
        found |= {"d_z": d_z, "p_t": 2 * special.stdtr(n - 1, -np.abs(d_z) * np.sqrt(n))}
    if n > 2:
        found["g_z"] = d_z * small_sample_factor(n - 1)
        found["correlation"] = _pearson(arm, baseline)
    with np.errstate(over="ignore"):
        return found | {name: np.ldexp(rows, exponent) for name, rows in in_units.items()}


def small_sample_factor(freedom: int) -> float:
    """Hedges' factor, which removes the bias of Cohen's d; `freedom` ≥ 2."""
    log = special.gammaln(freedom / 2) - special.gammaln((freedom - 1) / 2)
    return float(np.exp(log) / np.sqrt(freedom / 2))


def sign_test(wins: int, losses: int) -> float | None:
    """Two-sided exact p of these wins and losses if both are equally likely (Dixon and Mood 1946);
    None without any."""
    if not wins + losses:
        return None
    return min(1.0, 2 * float(special.bdtr(min(wins, losses), wins + losses, 0.5)))


def welch_p(one: ArmSummary, other: ArmSummary) -> float | None:
    """Two-sided p of Welch's t test; None if an arm has fewer than two numbers, or if neither has a
    spread."""
    if one.standard_error is None or other.standard_error is None:
        return None
    error = math.hypot(one.standard_error, other.standard_error)
    if error == 0 or one.mean is None or other.mean is None:
        return None
    freedom = 1 / (
        (one.standard_error / error) ** 4 / (one.n - 1)
        + (other.standard_error / error) ** 4 / (other.n - 1)
    )
    return float(2 * special.stdtr(freedom, -abs(one.mean - other.mean) / error))


# --- inside ---------------------------------------------------------------------------------------


def _pearson(one: Floats, other: Floats) -> Floats:
    a, b = (rows - rows.mean(axis=1, keepdims=True) for rows in (one, other))
    flat = (np.ptp(one, axis=1) == 0) | (np.ptp(other, axis=1) == 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        r = (a * b).sum(axis=1) / np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    return np.where(flat, np.nan, np.clip(r, -1, 1))
