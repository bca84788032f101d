"""The sign test of wins against losses, in which a diverged seed is lost."""

import pytest
from scipy import stats

from service.analysis.paired import sign_test

from .test_comparisons import comparison


@pytest.mark.parametrize(("wins", "losses"), [(0, 1), (3, 3), (2, 9), (12, 0), (40, 20)])
def test_it_agrees_with_scipys_binomial_test(wins: int, losses: int) -> None:
    oracle = stats.binomtest(wins, wins + losses, 0.5).pvalue
    assert sign_test(wins, losses) == pytest.approx(oracle, rel=1e-12)
    assert sign_test(0, 0) is None


def test_seeds_that_diverge_count_and_equal_ones_do_not() -> None:
    found = comparison([0.9, 0.9, "diverged", 0.8], ["diverged", 0.8, 0.9, 0.8])
    assert (found.wins, found.ties, found.losses) == (2, 1, 1)
    assert found.p_wins == 1.0
    assert comparison([0.5] * 3, [0.5] * 3).p_wins is None
