"""The sign-flip test and the BCa bootstrap against brute force and scipy."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from service.analysis import resampling
from service.analysis.resampling import EXACT_UP_TO, FLIPS, bca_interval, sign_flip

EXACT = np.zeros(1)
INTEGERS = st.lists(st.integers(-20, 20), min_size=1, max_size=9)


def p_of(differences, tolerance=0.0):
    row = np.array([differences], dtype=float)
    return sign_flip(row, np.array([tolerance]))[0]


def brute_force(differences):
    """All 2^n sign patterns, one by one."""
    observed = abs(sum(differences))
    sums = [
        abs(sum(sign * d for sign, d in zip(signs, differences, strict=True)))
        for signs in itertools.product((1, -1), repeat=len(differences))
    ]
    return sum(total >= observed for total in sums) / len(sums)


class TestSignFlip:
    @given(INTEGERS)
    def test_counts_all_sign_patterns(self, differences):
        assert p_of(differences) == brute_force(differences)

    @pytest.mark.parametrize("n", [11, 13, 16])
    def test_meeting_in_the_middle_counts_all_sign_patterns(self, n):
        differences = np.random.default_rng(n).integers(-9, 12, n).tolist()
        assert p_of(differences) == brute_force(differences)

    @pytest.mark.parametrize("n", [5, 10, 12])
    def test_agrees_with_scipy(self, n):
        differences = np.random.default_rng(n).normal(0.4, 1.0, n)
        oracle = stats.permutation_test(
            (differences,), np.sum, permutation_type="samples", n_resamples=np.inf
        )
        # scipy doubles the smaller tail; with symmetric sums that is the same count.
        assert p_of(differences) == pytest.approx(oracle.pvalue, rel=1e-12)

    @pytest.mark.parametrize("n", range(1, EXACT_UP_TO + 1))
    def test_the_extreme_is_two_over_two_to_the_n(self, n):
        # The sum is taken in two orders; the tolerance is what `paired_statistics` gives.
        assert p_of([0.1 + 0.01 * i for i in range(n)], tolerance=1e-14) == 2 / 2**n
        assert p_of([-0.1 - 0.01 * i for i in range(n)], tolerance=1e-14) == 2 / 2**n

    def test_by_hand(self):
        # |±1 ±2 ±3| >= 4: of eight patterns + + + and + + of 1 3 (1 - 2 + 3 = 2: no), -1 2 3: 4.
        assert p_of([-1, 2, 3]) == 4 / 8

    @pytest.mark.parametrize("n", [1, 6, 15, 30])
    def test_no_difference_gives_one(self, n):
        assert p_of([0.0] * n) == 1.0

    def test_rounding_breaks_no_tie(self):
        # 0.3 - 0.1 - 0.2 is not 0 in floats; without a tolerance two patterns would be lost.
        assert p_of([0.1, 0.2, -0.3], tolerance=1e-15) == 1.0

    @given(INTEGERS, st.randoms())
    def test_neither_order_nor_direction_nor_scale_matter(self, differences, random):
        shuffled = random.sample(differences, len(differences))
        assert p_of(shuffled) == p_of(differences)
        assert p_of([-d for d in differences]) == p_of(differences)
        assert p_of([4 * d for d in differences]) == p_of(differences)

    def test_above_the_limit_random_flips_estimate_it(self):
        n = EXACT_UP_TO + 2
        differences = np.random.default_rng(3).normal(0.4, 1.0, n)
        exact = resampling._exact(differences, abs(differences.sum()) - 1e-12)
        estimate = p_of(differences)
        # Five standard errors of a share: a false alarm once in 1.7 million seeds.
        assert estimate == pytest.approx(exact, abs=5 * np.sqrt(exact * (1 - exact) / FLIPS))
        assert estimate * (1 + FLIPS) == pytest.approx(round(estimate * (1 + FLIPS)))

    def test_the_estimate_is_never_zero_and_always_the_same(self):
        differences = [1.0] * (EXACT_UP_TO + 20)
        assert p_of(differences) == 1 / (1 + FLIPS) == p_of(differences)

    def test_rows_do_not_touch_each_other(self):
        rows = np.random.default_rng(1).normal(0.3, 1, (5, 25))
        together = sign_flip(rows, np.zeros(5))
        assert together.tolist() == [p_of(row) for row in rows]


class TestBootstrap:
    @pytest.mark.parametrize("n", [4, 5, 9, 25])
    def test_agrees_with_scipy(self, n):
        # Multiples of 1/64: their sums are exact, so that scipy sees the ties that we see.
        differences = np.round(np.random.default_rng(n).gamma(2.0, 1.0, n) * 64) / 64
        oracle = stats.bootstrap(
            (differences,), np.mean, method="BCa", n_resamples=resampling.RESAMPLES,
            rng=np.random.default_rng(resampling.SEED),
        ).confidence_interval  # fmt: skip
        low, high = bca_interval(differences[None])
        assert (low[0], high[0]) == pytest.approx((oracle.low, oracle.high), rel=1e-9)

    def test_is_the_same_every_time_and_for_every_row(self):
        row = np.random.default_rng(0).normal(size=6)
        low, high = bca_interval(np.array([row, row, row + 0]))
        assert len(set(low.tolist())) == len(set(high.tolist())) == 1
        assert bca_interval(row[None])[0][0] == low[0]

    @given(st.lists(st.floats(-100, 100), min_size=1, max_size=8))
    def test_lies_within_the_data_and_around_the_mean(self, differences):
        low, high = (end[0] for end in bca_interval(np.array([differences])))
        slack = 1e-9 * max(map(abs, differences), default=0)
        assert min(differences) - slack <= low <= np.mean(differences) + slack
        assert np.mean(differences) - slack <= high <= max(differences) + slack

    @pytest.mark.parametrize("n", [1, 2, 5])
    def test_equal_differences_are_both_ends(self, n):
        low, high = bca_interval(np.full((1, n), 0.3))
        assert low[0] == high[0] == 0.3

    def test_blocks_change_nothing(self, monkeypatch):
        rows = np.random.default_rng(2).normal(size=(2, 30))
        whole = bca_interval(rows)
        monkeypatch.setattr(resampling, "_BLOCK", 30 * 700)
        assert np.allclose(whole, bca_interval(rows), rtol=0, atol=0.05)
