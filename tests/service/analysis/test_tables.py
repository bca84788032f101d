"""The table: where each arm stands, what its cell says, and what stands below."""

import itertools
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lrd_core.spec import TableSpec
from service.analysis.arms import summarise
from service.analysis.comparisons import compare
from service.analysis.tables import build_table

from .cases import arm, pair, trials

KEEP, NAME = "optimizer.keep_prob", "optimizer.name"
LEARNING_RATES = {"adam": 0.001, "sgdm": 0.1, "rmsprop": 0.002}
SD, NG, NL = {"kind": "SD", "keep_prob": 0.9}, {"kind": "NG", "variance": 0.1}, {"kind": "NL"}


def table(arms, samples, *, layout=None, metric="test_accuracy", baseline=(KEEP,), **more):
    """`samples`: arm id -> its seeds."""
    observations = [trial for key, sample in samples.items() for trial in trials(key, sample)]
    summaries = summarise(arms, observations)
    compared = any(each.is_baseline for each in arms)
    comparisons = (
        compare(summaries, observations, metric=metric, baseline=baseline) if compared else ()
    )
    return build_table(
        summaries, comparisons, layout=layout, metric=metric, baseline=baseline, **more
    )


PROPER = {"adam": "Adam", "sgdm": "SGDM", "rmsprop": "RMSprop"}


def lrd(keep_prob):
    return "without LRD" if keep_prob == 1 else f"LRD (keep_prob = {keep_prob:g})"


def grid(keep_probs=(1.0, 0.5), names=("adam", "sgdm"), datasets=("digits",)):
    return [
        arm(f"{dataset}/{name}/{p:g}", f"{PROPER[name]}, {lrd(p)}", baseline=p == 1.0,
            dataset=dataset, name=name, lr=LEARNING_RATES[name], keep_prob=p)
        for dataset, name, p in itertools.product(datasets, names, keep_probs)
    ]  # fmt: skip


def texts(found):
    return [[cell.text for cell in row.cells] for row in found.rows]


def cells(found):
    """Arm id -> its cell."""
    return {cell.summary.arm.id: cell for row in found.rows for cell in row.cells if cell.summary}


class TestTable2OfThePaper:
    """Test accuracy against p, for Adam and SGDM."""

    P = (1.0, 0.1, 0.3, 0.5, 0.7, 0.9)
    PAPER = {
        "adam": (93.05, 93.32, 93.93, 93.77, 93.50, 93.35),
        "sgdm": (95.30, 94.32, 95.39, 95.54, 95.42, 95.26),
    }

    @pytest.fixture
    def found(self):
        samples = {
            f"digits/{name}/{p:g}": [value / 100]
            for name, values in self.PAPER.items()
            for p, value in zip(self.P, values, strict=True)
        }
        return table(grid(self.P), samples)

    def test_p_makes_the_rows_and_the_optimizers_the_columns(self, found):
        assert found.heads == ("keep_prob",)
        assert found.columns == (("Adam",), ("SGDM",))
        assert [row.titles for row in found.rows] == [
            ("without LRD",), ("LRD (keep_prob = 0.1)",), ("LRD (keep_prob = 0.3)",),
            ("LRD (keep_prob = 0.5)",), ("LRD (keep_prob = 0.7)",), ("LRD (keep_prob = 0.9)",),
        ]  # fmt: skip

    def test_its_numbers_read_as_the_paper_prints_them(self, found):
        for row, adam, sgdm in zip(found.rows, *self.PAPER.values(), strict=True):
            assert [cell.mean for cell in row.cells] == [f"{adam:.2f}", f"{sgdm:.2f}"]

    def test_the_best_p_of_each_optimizer_is_bold(self, found):
        best = [key for key, cell in cells(found).items() if cell.best]
        assert sorted(best) == ["digits/adam/0.3", "digits/sgdm/0.5"]

    def test_the_paper_s_one_seed_says_nothing_about_the_spread(self, found):
        assert "One seed per arm: nothing is known about the spread." in found.notes
        assert {cell.spread for cell in cells(found).values()} == {""}


class TestTable3OfThePaper:
    """Regularizers and their combinations with LRD."""

    ROWS = {
        "No regularization": ([], 1.0), "SD": ([SD], 1.0), "NG": ([NG], 1.0), "NL": ([NL], 1.0),
        "LRD": ([], 0.5), "LRD and SD": ([SD], 0.5), "LRD and NG": ([NG], 0.5),
    }  # fmt: skip
    ARMS = tuple(
        arm(f"{label}/{name}", f"{label}, {PROPER[name]}", baseline=label == "No regularization",
            name=name, lr=LEARNING_RATES[name], regularizers=regularizers, keep_prob=p)
        for label, (regularizers, p) in ROWS.items()
        for name in ("adam", "sgdm")
    )  # fmt: skip
    SAMPLES = {each.id: [0.9 + i / 100] for i, each in enumerate(ARMS)}

    def test_the_labels_make_the_rows_and_lose_what_the_columns_say(self):
        layout = TableSpec(rows="arm", columns=NAME)
        found = table(self.ARMS, self.SAMPLES, layout=layout, baseline=("regularizers", KEEP))
        assert [row.titles for row in found.rows] == [(label,) for label in self.ROWS]
        assert found.columns == (("Adam",), ("SGDM",))
        assert all(cell.summary for row in found.rows for cell in row.cells)

    def test_every_arm_is_compared_with_no_regularization_of_its_optimizer(self):
        layout = TableSpec(rows="arm", columns=NAME)
        found = table(self.ARMS, self.SAMPLES, layout=layout, baseline=("regularizers", KEEP))
        assert {(each.arm.split(", ")[1], each.baseline) for each in found.comparisons} == {
            ("Adam", "No regularization, Adam"),
            ("SGDM", "No regularization, SGDM"),
        }  # fmt: skip

    @pytest.mark.parametrize(
        ("label", "row"),
        [
            ("optimizer={name}, keep_prob={p:g}", "optimizer={name}"),  # as they were stored once
            ("{name}, {lrd}", "{name}"),
            ("{name}, NG(eta=0.1, gamma=0.55), {lrd}", "{name}, NG(eta=0.1, gamma=0.55)"),
        ],
    )
    def test_names_lose_what_the_columns_say_whatever_they_are_made_of(self, label, row):
        # Catches: a row for each arm, where two make one.
        said = {1.0: "without LRD", 0.5: "LRD (keep_prob = 0.5)"}
        arms = [
            arm(f"{name}/{p}", label.format(name=name, p=p, lrd=said[p]), name=name, keep_prob=p)
            for name, p in itertools.product(("adam", "sgdm"), said)
        ]
        layout = TableSpec(rows="arm", columns=KEEP)
        found = table(arms, {each.id: [0.9] for each in arms}, layout=layout)
        assert [each.titles for each in found.rows] == [
            (row.format(name=name),) for name in ("adam", "sgdm")
        ]

    def test_the_labels_that_the_sweep_gives_make_the_rows_and_the_best_is_bold_still(self):
        arms = [replace(each, given=each.label.split(", ")[0]) for each in self.ARMS]
        found = table(arms, self.SAMPLES, baseline=("regularizers", KEEP))
        assert found.heads == ("arm",)
        assert [row.titles for row in found.rows] == [(label,) for label in self.ROWS]
        assert found.columns == (("Adam",), ("SGDM",))
        best = [key for key, cell in cells(found).items() if cell.best]
        assert "LRD and NG/adam" in best  # better than NG, from which keep_prob alone parts it

    def test_with_the_label_as_pair_the_best_of_each_column_is_bold(self):
        layout = TableSpec(rows="arm", columns=NAME, pair="arm")
        found = table(self.ARMS, self.SAMPLES, layout=layout, baseline=("regularizers", KEEP))
        best = [key for key, cell in cells(found).items() if cell.best]
        assert best == ["LRD and NG/adam", "LRD and NG/sgdm"]

    def test_without_a_wish_the_regularizers_stand_without_and_with_lrd(self):
        found = table(self.ARMS, self.SAMPLES, baseline=("regularizers", KEEP))
        assert found.heads == ("optimizer",)
        assert found.columns[:2] == (
            ("no regularizers", "without LRD"), ("no regularizers", "LRD (keep_prob = 0.5)"),
        )  # fmt: skip
        assert ("NL", "LRD (keep_prob = 0.5)") not in found.columns


class TestLayout:
    def test_data_sets_make_the_rows_and_without_and_with_stand_side_by_side(self):
        arms = grid(datasets=("mnist", "cifar10"))
        found = table(arms, {each.id: [0.9] for each in arms})
        assert found.heads == ("dataset",)
        assert found.columns == (
            ("Adam", "without LRD"), ("Adam", "LRD (keep_prob = 0.5)"),
            ("SGDM", "without LRD"), ("SGDM", "LRD (keep_prob = 0.5)"),
        )  # fmt: skip

    def test_the_baseline_comes_first_whatever_the_order_of_the_grid(self):
        found = table(grid(keep_probs=(0.5, 1.0)), {})
        assert found.columns == (("without LRD",), ("LRD (keep_prob = 0.5)",))

    def test_too_many_columns_move_to_the_rows(self):
        names = ("adam", "sgdm", "rmsprop")
        arms = [
            arm(f"{name}{batch}{p}", baseline=p == 1.0, name=name, batch_size=batch, keep_prob=p)
            for name in names for batch in range(1, 9) for p in (1.0, 0.5)
        ]  # fmt: skip
        found = table(arms, {})
        assert found.heads == ("optimizer", "batch size")
        assert found.columns == (("without LRD",), ("LRD (keep_prob = 0.5)",))
        assert len(found.rows) == 24

    def test_arms_that_have_little_in_common_are_a_list(self):
        arms = [
            arm("a", "one"), arm("b", "two", lr=0.1), arm("c", "three", batch_size=64),
            arm("d", "four", dataset="mnist"), arm("e", "five", epochs=9),
        ]  # fmt: skip
        found = table(arms, {})
        assert found.heads == ("arm",)
        assert [row.titles for row in found.rows] == [
            ("one",), ("two",), ("three",), ("four",), ("five",),
        ]  # fmt: skip

    def test_where_not_every_model_is_run_on_every_data_set_both_make_the_rows(self):
        runs = [("mnist", "fcnet"), *itertools.product(("cifar10", "cifar100"), ("resnet34", "x"))]
        arms = [
            arm(f"{dataset}/{model}/{p}", baseline=p == 1.0, dataset=dataset, model=model,
                keep_prob=p)
            for dataset, model in runs for p in (1.0, 0.5)
        ]  # fmt: skip
        found = table(arms, {})
        assert found.heads == ("dataset", "model")
        assert len(found.rows) == 5
        assert found.columns == (("without LRD",), ("LRD (keep_prob = 0.5)",))

    def test_a_few_holes_do_not_break_a_grid(self):
        arms = [each for each in grid() if each.id != "digits/sgdm/0.5"]
        assert table(arms, {}).heads == ("optimizer",)

    def test_a_number_that_heads_a_column_says_what_it_is(self):
        arms = [arm(f"{name}{lr}{p}", lr=lr, keep_prob=p, name=name, baseline=p == 1.0)
                for name in ("adam", "sgdm") for lr in (0.1, 0.01) for p in (1.0, 0.5)]  # fmt: skip
        found = table(arms, {})
        assert found.columns[0] == ("lr = 0.1", "without LRD")

    def test_what_the_spec_leaves_unsaid_goes_to_the_rows(self):
        arms = grid(datasets=("mnist", "cifar10"))
        found = table(arms, {}, layout=TableSpec(columns=KEEP))
        assert found.layout.rows == ("dataset", NAME)
        assert len(found.rows) == 4

    def test_a_path_that_does_not_vary_may_still_be_asked_for(self):
        found = table(grid(), {}, layout=TableSpec(rows="dataset", columns=NAME))
        assert found.heads == ("dataset",)
        assert len(found.columns) == 4

    def test_a_whole_sub_tree_may_be_asked_for(self):
        arms = [
            arm("a", schedule={"gamma": 0.1, "milestones": []}),
            arm("b", schedule={"gamma": 0.1, "milestones": [3]}),
        ]
        found = table(arms, {}, layout=TableSpec(rows="schedule"))
        assert len(found.rows) == 2

    def test_a_difference_that_no_title_says_is_in_the_notes(self):
        # Catches: a learning rate tuned for LRD alone, read as what LRD does.
        tuned = [
            arm("plain", "adam(keep_prob=1, lr=0.001)", name="adam", lr=0.001),
            arm("lrd", "adam(keep_prob=0.5, lr=0.01)", name="adam", lr=0.01, keep_prob=0.5),
        ]
        said = "The arms also differ in lr; the table's CSV shows it, its titles do not."
        assert said in table(tuned, {"plain": [0.9, 0.8], "lrd": [0.9, 0.8]}).notes
        # What comes with the optimizer's name is said by it.
        found = table(grid(), {each.id: [0.9, 0.8] for each in grid()})
        assert not any("no title" in note for note in found.notes)
        # What stands under a label is the label's.
        labelled = [replace(each, given=each.id) for each in tuned]
        found = table(labelled, {}, layout=TableSpec(rows="arm"))
        assert not any("no title" in note for note in found.notes)

    def test_one_arm_is_one_cell(self):
        found = table([arm("a", "base")], {"a": [0.9]}, baseline=())
        assert texts(found) == [["90.00 (1)"]]
        assert found.columns == ((),)

    CHOICE = st.sampled_from([None, "arm", "dataset", NAME, KEEP, "regularizers", "batch_size"])
    CONFIGS = st.lists(
        st.fixed_dictionaries(
            {
                "dataset": st.sampled_from(["digits", "mnist"]),
                "name": st.sampled_from(["adam", "sgdm"]),
                "keep_prob": st.sampled_from([1.0, 0.5, 0.3]),
                "regularizers": st.sampled_from([[], [SD], [SD, NG]]),
                "batch_size": st.sampled_from([64, 128]),
            }
        ),
        min_size=1,
        max_size=10,
        unique_by=lambda each: repr(sorted(each.items())),
    )

    @settings(max_examples=150)
    @given(CONFIGS, CHOICE, CHOICE, CHOICE)
    def test_every_arm_stands_in_exactly_one_cell_whatever_is_asked(self, configs, r, c, p):
        arms = [arm(str(i), "same label", **each) for i, each in enumerate(configs)]
        found = table(arms, {each.id: [0.9] for each in arms},
                      layout=TableSpec(rows=r, columns=c, pair=p))  # fmt: skip
        shown = [cell.summary.arm.id for row in found.rows for cell in row.cells if cell.summary]
        assert sorted(shown) == sorted(each.id for each in arms)
        assert {len(row.cells) for row in found.rows} == {len(found.columns)}
        assert {len(row.titles) for row in found.rows} == {len(found.heads)}


class TestCells:
    def cell(self, values, **more):
        return cells(table([arm("a")], {"a": values}, baseline=(), **more))["a"]

    @pytest.mark.parametrize(
        ("values", "text"),
        [
            ([0.9, 0.92], "91.00 ± 1.41 (2)"),
            ([0.9], "90.00 (1)"),
            ([0.9, 0.92, "diverged"], "91.00 ± 1.41 (2/3)"),
            (["diverged"] * 2, "diverged (0/2)"),
            (["running"], "running (0/1)"),
            (["running", "queued"], "– (0/2)"),
            ([float("nan")] * 2, "not finite (0/2)"),
            ([None], "not reported (0/1)"),
            ([], "– (0)"),
        ],
    )
    def test_say_mean_spread_and_seeds_or_why_there_is_none(self, values, text):
        assert self.cell(values).text == text

    def test_losses_are_written_as_they_are(self):
        assert self.cell([0.25, 0.35], metric="test_loss").text == "0.3000 ± 0.0707 (2)"

    def test_a_hole_in_the_grid_is_empty(self):
        arms = [each for each in grid(datasets=("mnist", "cifar10")) if each.id != "mnist/adam/0.5"]
        found = table(arms, {each.id: [0.9] for each in arms})
        assert texts(found)[0] == ["90.00 (1)", "", "90.00 (1)", "90.00 (1)"]
        assert found.rows[0].cells[1].summary is None


class TestBold:
    def best(self, one, other, metric="test_accuracy"):
        arms = pair()
        found = table(arms, {"plain": one, "lrd": other}, metric=metric)
        return [key for key, cell in cells(found).items() if cell.best]

    def test_the_higher_accuracy_and_the_lower_loss(self):
        assert self.best([0.9], [0.8]) == ["plain"]
        assert self.best([0.9], [0.8], metric="test_loss") == ["lrd"]

    def test_what_reads_the_same_is_equally_good(self):
        assert self.best([0.90001], [0.90002]) == []

    def test_ties_at_the_top_are_all_bold(self):
        arms = [arm("plain", baseline=True), arm("a", keep_prob=0.3), arm("b", keep_prob=0.5)]
        found = table(arms, {"plain": [0.8], "a": [0.90001], "b": [0.90002]})
        assert [key for key, cell in cells(found).items() if cell.best] == ["a", "b"]

    @pytest.mark.parametrize("gone", ["diverged", float("inf")])
    def test_a_mean_over_survivors_is_never_bold_and_neither_is_what_it_beats(self, gone):
        assert self.best([0.8, 0.8], [0.9, gone]) == []
        assert self.best([0.9, 0.9], [0.8, gone]) == ["plain"]

    def test_an_arm_without_a_number_beats_nothing(self):
        assert self.best([0.8], ["running"]) == []

    def test_arms_that_differ_in_more_than_the_pair_factor_are_no_pair(self):
        # The model follows from the other paths, and so makes neither a row nor a column.
        arms = [
            arm("a", baseline=True), arm("b", dataset="mnist", baseline=True),
            arm("c", model="resnet34", keep_prob=0.5),
        ]  # fmt: skip
        found = table(arms, {"a": [0.8], "b": [0.7], "c": [0.9]})
        assert not any(cell.best for cell in cells(found).values())
        assert not any(note.startswith("Bold") for note in found.notes)

    def test_what_comes_along_with_a_variant_is_no_other_difference(self):
        layout = TableSpec(pair=NAME)
        found = table(grid(), {each.id: [0.8 + (each.id[7] == "s") / 10] for each in grid()},
                      layout=layout)  # fmt: skip
        best = [key for key, cell in cells(found).items() if cell.best]
        assert sorted(best) == ["digits/sgdm/0.5", "digits/sgdm/1"]


class TestDagger:
    def test_stands_where_p_holm_is_below_five_percent(self):
        arms = [arm("plain", baseline=True), arm("a", keep_prob=0.3), arm("b", keep_prob=0.5)]
        wide = [0.9 + i / 100 for i in range(7)]
        found = cells(table(arms, {"plain": [0.5] * 7, "a": wide, "b": [0.4, 0.6] * 3 + [0.5]}))
        assert [key for key, cell in found.items() if cell.significant] == ["a"]
