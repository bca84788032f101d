"""What the notes under a table say of arms that were not tested, or could not be."""

from service.analysis.arms import summarise
from service.analysis.comparisons import compare
from service.analysis.notes import notes_on

from .cases import arm, pair, trials


def notes(samples, arms):
    """`samples`: arm id -> its seeds."""
    observations = [trial for key, sample in samples.items() for trial in trials(key, sample)]
    summaries = summarise(arms, observations)
    return list(notes_on(summaries, compare(summaries, observations), bold=None))


def test_an_arm_with_too_few_pairs_is_named_where_others_have_enough():
    # Catches: one arm with all its seeds, and silence about those without.
    arms = [arm("plain", baseline=True), arm("a", keep_prob=0.3), arm("b", keep_prob=0.5)]
    spread = [0.5 + i / 100 for i in range(8)]
    found = notes({"plain": spread, "a": spread[::-1], "b": spread[:2]}, arms)
    assert found[-1] == "With too few pairs for any †, whatever the data: b (2)."


def test_without_a_single_pair_the_reader_is_told():
    # Catches: a winner in bold and a dagger explained, though nothing could be tested.
    found = notes({"plain": [0.5, "oom"], "lrd": ["oom", 0.9]}, pair())
    assert found[-1] == "No seed gave a number in an arm and in its baseline: nothing is tested."


def test_where_no_seed_changes_anything_nothing_is_tested():
    found = notes({"plain": [0.5] * 6, "lrd": [0.9] * 6}, pair())
    assert found[-1] == "Not tested, for no seed changes it or its baseline: lrd."
