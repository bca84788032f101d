"""What the notes under a table say of arms that were not tested, or could not be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.analysis.arms import summarise
from service.analysis.comparisons import compare
from service.analysis.notes import advice_on, notes_on

from .cases import arm, pair, trials
from .test_baselines import TUNED
from .test_tables import cells, grid, table

WIDE = [0.9 + i / 100 for i in range(6)]


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
    assert found[-1] == "Too few pairs for any †, whatever the data: b (2)."


@given(st.lists(st.tuples(st.integers(0, 10), st.booleans()), min_size=1, max_size=8))
def test_no_arm_with_a_dagger_has_too_few_pairs_for_any(family):
    """Catches: "too few pairs for any †, whatever the data: X (8)" below a table that gives X one,
    because Holm's later steps multiply by less than the first."""
    arms = [arm("plain", baseline=True)]
    arms += [arm(f"a{at}", keep_prob=(at + 1) / 10) for at in range(len(family))]
    samples = {"plain": [0.5] * 10}
    for at, (n, is_clear) in enumerate(family):
        wins = [0.6 + seed / 100 for seed in range(n)]
        samples[f"a{at}"] = [*(wins if is_clear else [0.4, *wins[1:]][:n]), *["oom"] * (10 - n)]
    observations = [trial for key, sample in samples.items() for trial in trials(key, sample)]
    summaries = summarise(arms, observations)
    compared = compare(summaries, observations)
    said = " ".join(notes_on(summaries, compared, bold=None))
    _, _, few = said.partition("Too few pairs for any †, whatever the data: ")
    assert not [each.arm for each in compared if each.significant and f"{each.arm} (" in few]
    if any(each.significant for each in compared):
        assert "Nothing is marked" not in said


def test_without_a_single_pair_the_reader_is_told():
    # Catches: a winner in bold and a dagger explained, though nothing could be tested.
    found = notes({"plain": [0.5, "oom"], "lrd": ["oom", 0.9]}, pair())
    assert found[-1] == "No seed gave a number in both an arm and its baseline: nothing is tested."


@pytest.mark.parametrize(
    "noise", [[], [{"kind": "NG", "eta": 0.0, "gamma": 0.5}], [{"kind": "DG", "keep_prob": 1.0}]]
)
def test_where_no_seed_changes_anything_nothing_is_tested(noise):
    """Catches: † on one observation, n times, also where the noise asked for is of strength 0."""
    same = {"dataset": "surface", "model": "point", "regularizers": noise}
    descents = [arm("plain", baseline=True, **same), arm("lrd", keep_prob=1.0, lr=0.2, **same)]
    observations = [*trials("plain", [0.5] * 6), *trials("lrd", [0.9] * 6)]
    summaries = summarise(descents, observations)
    compared = compare(summaries, observations, baseline=["optimizer"])
    found = list(notes_on(summaries, compared, bold=None))
    assert found[-1] == "Not tested, because no seed changes the arm or its baseline: lrd."


@pytest.mark.parametrize("seeds", [1, 3])
def test_more_seeds_that_change_nothing_are_not_advised(seeds):
    """Catches: "6 seeds can", of descents that no seed changes; "1 pair is too few"."""
    descents = [
        arm("plain", baseline=True, dataset="surface", model="point"),
        arm("lrd", dataset="surface", model="point", keep_prob=1.0, lr=0.2),
    ]
    observations = [*trials("plain", [0.5] * seeds), *trials("lrd", [0.9] * seeds)]
    summaries = summarise(descents, observations)
    compared = compare(summaries, observations, baseline=["optimizer"])
    found = list(notes_on(summaries, compared, bold=None))
    assert found[1:] == ["Not tested, because no seed changes the arm or its baseline: lrd."]
    assert not list(advice_on(compared))


def test_pairs_that_are_not_tested_hide_no_others_that_are_too_few():
    """Catches: nine pairs of a descent without chance, for which three of another were enough."""
    descents = [
        arm("plain", baseline=True, dataset="surface", model="point"),
        arm("lrd", dataset="surface", model="point", keep_prob=0.5),
        arm("large", dataset="surface", model="point", keep_prob=1.0, lr=0.2),
    ]
    observations = [*trials("plain", [0.5] * 9), *trials("large", [0.9] * 9)]
    observations += trials("lrd", [0.6, 0.7, 0.8])
    summaries = summarise(descents, observations)
    compared = compare(summaries, observations, baseline=["optimizer"])
    found = list(notes_on(summaries, compared, bold=None))
    assert any("Nothing is marked: 3 pairs are too few" in note for note in found)
    assert any("; 7 seeds can." in said for said in advice_on(compared))


def test_a_descent_that_diverged_has_its_score_and_no_test():
    """Catches: a p that is None written as a number, an HTTP 500 from tables and bundles."""
    descents = [
        arm(key, baseline=key == "plain", dataset="surface", model="point", lr=lr)
        for key, lr in (("plain", 0.1), ("large", 10.0))
    ]
    observations = [*trials("plain", [0.5] * 2), *trials("large", ["diverged"] * 2)]
    summaries = summarise(descents, observations)
    compared = compare(summaries, observations, baseline=["optimizer"])
    found = list(notes_on(summaries, compared, bold=None))
    assert "large against plain, counting a diverged seed as lost: wins 0, losses 2." in found


def test_as_many_seeds_diverged_on_both_sides_are_told_of():
    """Catches: one seed lost and one won, which cancel out to nothing at all."""
    found = notes({"plain": [0.5, "diverged", 0.6], "lrd": ["diverged", 0.7, 0.8]}, pair())
    assert (
        "lrd against plain, counting a diverged seed as lost: wins 2, losses 1; exact sign test"
        in found[-1]
    )


def test_an_arm_with_seeds_that_run_and_others_that_wait_is_not_broken():
    """Catches: an arm of a sweep that runs, listed among those in which trials failed."""
    found = notes({"plain": [0.5, 0.6, 0.7], "lrd": [0.5, "running", "queued"]}, pair())
    assert "1 arm is not finished (2 trials queued or running)." in found
    assert not any(note.startswith("lrd:") for note in found)


def test_a_single_pair_is_one():
    found = notes({"plain": [0.5], "lrd": [0.9]}, pair())
    assert "Nothing is marked: 1 pair is too few for p < 0.05" in found[-1]


class TestNotes:
    def notes(self, samples, arms=None):
        return table(arms or pair(), samples).notes

    def test_a_complete_table_says_what_its_signs_mean(self):
        assert self.notes({"plain": [0.5] * 6, "lrd": WIDE}) == (
            "Mean ± sample standard deviation (divisor n − 1); in brackets n, the number of seeds.",
            "Bold: the best mean, as shown, of arms that differ only in keep_prob.",
            "† p < 0.05 against the baseline (plain): exact two-sided paired sign-flip test.",
        )

    def test_five_pairs_are_told_that_they_cannot(self):
        found = table(pair(), {"plain": [0.5] * 5, "lrd": WIDE[:5]})
        assert found.notes[-1] == (
            "Nothing is marked: 5 pairs are too few for p < 0.05 against the baseline (plain), "
            "whatever the data, by the exact two-sided paired sign-flip test."
        )
        assert found.advice == (
            "5 pairs cannot reach p < 0.05, whatever the data: the paired sign-flip test gives at "
            "least 0.0625; 6 seeds can.",
        )

    def test_each_broken_arm_is_named_with_its_seeds(self):
        found = self.notes({"plain": [0.5, "oom"], "lrd": [0.9, "diverged"]})
        assert "in brackets n, the number of seeds, out of those planned." in found[0]
        assert "plain: n=1/2, 1 failed (seed 1 oom)." in found
        assert "lrd: n=1/2, 1 failed (seed 1 diverged)." in found

    def test_many_broken_arms_are_counted_and_the_first_named(self):
        arms = [arm(f"a{i}", batch_size=i + 1) for i in range(25)]
        found = self.notes({each.id: ["diverged"] for each in arms}, arms)
        assert sum("diverged" in note for note in found) == 20
        assert "5 more arms lack seeds; the CSV names them." in found

    def test_what_is_still_running_is_said_in_one_line(self):
        found = self.notes({"plain": [0.5, "running"], "lrd": ["queued", "queued"]})
        assert "2 arms are not finished (3 trials queued or running)." in found
        found = self.notes({"plain": [0.5, 0.5], "lrd": [0.5, "queued"]})
        assert "1 arm is not finished (1 trial queued or running)." in found

    def test_p_among_survivors_is_said_and_not_marked(self):
        arms = pair()
        found = table(arms, {"plain": [0.5] * 7, "lrd": [*WIDE, "diverged"]})
        assert "lrd: p < 0.05 among the seeds that did not diverge; not marked." in found.notes
        assert not any(cell.significant for cell in cells(found).values())

    def test_what_the_baselines_have_in_common_is_named(self):
        # Catches: a dagger of which no reader of the paper knows against what it stands.
        arms = grid(datasets=("mnist",))
        values = [0.5 + i / 100 for i in range(8)]
        lrd = [0.6 + i / 100 for i in range(8)]
        samples = {each.id: values if each.is_baseline else lrd for each in arms}
        found = self.notes(samples, arms)
        assert any(
            note.startswith("† p < 0.05 against the baseline (without LRD, otherwise equal): exact")
            for note in found
        )

    def test_a_baseline_that_differs_in_more_is_told(self):
        arms = [arm("plain", baseline=True), arm("b", keep_prob=0.5, name="sgdm")]
        arms += [arm("c", keep_prob=0.5)]
        found = self.notes({each.id: [0.5, 0.6] for each in arms}, arms)
        assert (
            "Compared with a baseline that differs in more than keep_prob: b (optimizer)."
        ) in found
        assert not any("in more" in note for note in self.notes({"plain": [0.5], "lrd": [0.6]}))

    def test_what_goes_along_with_the_baselines_own_setting_is_told(self):
        # Catches: a batch size and a weight decay of the LRD arm alone, and a † without a note.
        arms = [arm("plain", baseline=True), arm("lrd", keep_prob=0.5, lr=0.003, batch_size=32)]
        found = self.notes({"plain": [0.5] * 8, "lrd": [*WIDE, 0.96, 0.97]}, arms)
        assert (
            "Compared with a baseline that differs in more than keep_prob: lrd (lr, batch size)."
        ) in found

    def test_baselines_that_are_not_otherwise_equal_are_not_called_so(self):
        found = self.notes({each.id: WIDE for each in TUNED}, TUNED)
        assert any("against the baseline (without LRD)" in note for note in found)
        assert any(note.endswith(": Adam+ (lr), SGDM+ (lr).") for note in found)

    def test_arms_of_which_none_has_a_baseline_are_named(self):
        # Catches: a sweep with baselines, no comparison, and not a word.
        arms = [*TUNED[::2], arm("other", name="radam", keep_prob=0.5)]
        found = self.notes({each.id: WIDE for each in arms}, arms)
        assert found[-1] == "Without a baseline to compare with: other."

    def test_seeds_that_diverged_on_one_side_are_tested_as_what_they_are(self):
        # Catches: twelve of twelve that LRD saves, and "too few pairs, whatever the data".
        found = self.notes({"plain": ["diverged"] * 12, "lrd": WIDE * 2})
        assert (
            "lrd against plain, counting a diverged seed as lost: wins 12, losses 0; exact sign "
            "test p = 0.00049, not adjusted."
        ) in found

    def test_random_flips_are_not_called_exact(self):
        found = self.notes({"plain": [0.5] * 30, "lrd": [0.9 + i / 1000 for i in range(30)]})
        assert any("Monte-Carlo two-sided paired sign-flip test" in note for note in found)

    def test_an_arm_without_a_baseline_is_named(self):
        arms = grid(datasets=("mnist", "cifar10"))
        arms = [each for each in arms if each.id != "mnist/adam/1"]
        found = self.notes({each.id: [0.9] * 6 for each in arms}, arms)
        assert "Without a baseline to compare with: Adam, LRD (keep_prob = 0.5)." in found

    def test_without_a_baseline_nothing_is_said_of_tests(self):
        found = self.notes({"a": [0.9, 0.8]}, [arm("a"), arm("b", keep_prob=0.5)])
        assert not any("†" in note or "baseline" in note for note in found)
