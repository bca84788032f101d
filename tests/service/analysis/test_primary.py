"""Primary comparisons are one family; the others are shown, and neither adjusted nor marked."""

from dataclasses import replace

import pytest

from service.analysis.arms import summarise
from service.analysis.comparison_table import ComparisonTable
from service.analysis.comparisons import compare
from service.analysis.listings import latex, markdown
from service.analysis.metrics import Metric
from service.analysis.notes import advice_on, notes_on

from .cases import arm, trials

BETTER = [0.1 + seed / 100 for seed in range(10)]
ARMS = 26


def compared(primary, seeds=10):
    """26 arms, all as much better than their baseline, of which those numbered are primary."""
    arms = [arm("plain", baseline=True)]
    arms += [
        replace(arm(f"a{at}", keep_prob=(at + 1) / 100), is_primary=at in primary)
        for at in range(ARMS)
    ]
    observations = trials("plain", [0.0] * seeds)
    for each in arms[1:]:
        observations += trials(each.id, BETTER[:seeds])
    summaries = summarise(arms, observations)
    return summaries, compare(summaries, observations)


@pytest.mark.parametrize("count", [1, 25, 26])
def test_the_family_is_the_primary_ones_alone(count):
    """Catches: a further arm that takes the dagger from every other."""
    _, found = compared(range(count))
    alone = 2 / 2**10
    assert {each.p_sign_flip for each in found} == {alone}
    for at, each in enumerate(found):
        assert each.primary == (at < count)
        assert each.p_holm == (pytest.approx(min(1.0, count * alone)) if each.primary else None)
        assert each.significant == (each.primary and count * alone < 0.05)


def test_it_is_said_which_are_not():
    summaries, found = compared({0, 1})
    text = " ".join(notes_on(summaries, found, bold=None))
    assert "Holm-adjusted over 2 primary comparisons" in text
    assert "Exploratory, so their p is not adjusted and they are never marked: a2, a3, " in text
    assert "a1, " not in text.split("Exploratory")[1]
    (all_primary, everything) = compared(range(ARMS))
    text = " ".join(notes_on(all_primary, everything, bold=None))
    assert "primary" not in text
    assert "Exploratory" not in text


def test_one_primary_comparison_is_not_adjusted_but_named_so():
    summaries, found = compared({3})
    assert "Holm-adjusted over 1 primary comparison." in " ".join(
        notes_on(summaries, found, bold=None)
    )


def test_advice_is_about_the_primary_ones():
    _, found = compared(range(3), seeds=6)
    (said,) = advice_on(found)
    assert "under Holm over 3 comparisons" in said
    _, found = compared({0}, seeds=6)
    assert not list(advice_on(found))  # six pairs are enough for one


def test_a_listing_has_a_dash_and_the_figure_a_word_for_what_is_exploratory():
    summaries, found = compared({0})
    table = ComparisonTable(tuple(found), tuple(summaries), Metric("test_accuracy"), "last")
    marked, other = markdown(table).splitlines()[4:6]
    assert "†" in marked
    assert "†" not in other
    assert "–" in other
    assert found[1].tested == "n = 10, exploratory"
    assert "exploratory" not in found[0].tested
    assert "primary" in latex(table, {}, name="s").lower()
