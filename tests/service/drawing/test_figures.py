"""The figures for a paper: what is drawn, and that equal figures are equal files."""

import math
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from service.analysis.arms import summarise
from service.analysis.comparisons import compare
from service.analysis.curves import mean_curves
from service.analysis.effects import effects_of
from service.drawing import figures
from service.drawing.descents import Grid, grid_of
from tests.service.analysis.cases import arm, looks_of, series, trials

from .test_panels import ABLATION, ablated, ablation_curves

SVG = "{http://www.w3.org/2000/svg}"
ARMS = [
    arm(f"{name}{p}", f"{name}, p = {p:g}", baseline=p == 1.0, name=name, keep_prob=p)
    for name in ("adam", "sgdm")
    for p in (1.0, 0.5)
]
LABELS = [each.label for each in ARMS]
VALUES = {each.id: [0.90 + i / 50 + k / 200 for k in range(6)] for i, each in enumerate(ARMS)}
BOWL = Grid([-1, 0, 1], [-1, 0, 1], [[2, 1, 2], [1, 0, 1], [2, 1, 2]], optima=[(0, 0)])

DESCENTS = [arm("plain", baseline=True), arm("half", keep_prob=0.5)]


def two_surfaces():
    """Grids, arms and paths of a sweep on both."""
    arms = [
        arm(f"{surface}{p}", f"{surface}, p = {p}", keep_prob=p, data={"surface": surface})
        for surface in ("saddle", "toy")
        for p in (1.0, 0.5)
    ]
    grids = {name: grid_of(name, 20) for name in ("saddle", "toy")}
    return grids, arms, {each.id: [[(-1, 1), (-0.5, 0)]] for each in arms}


def observed():
    observations = [trial for key, values in VALUES.items() for trial in trials(key, values)]
    summaries = summarise(ARMS, observations)
    return summaries, compare(summaries, observations)


def curves(arms=ARMS):
    every = [
        series(each.id, seed, [0.3 + i / 20 + seed / 100, 0.5 + i / 20, math.nan, 0.8])
        for i, each in enumerate(arms) for seed in range(3)
    ]  # fmt: skip
    return mean_curves(arms, every)


def learning(panels=("train_loss", "test_accuracy"), arms=ARMS):
    return figures.learning_curves(arms, {name: curves(arms) for name in panels})


def drawn():
    summaries, comparisons = observed()
    return {
        "learning curves": learning(),
        "keep_prob": figures.against_keep_prob(summaries, "test_accuracy"),
        "forest": figures.forest(comparisons),
        "paths": figures.descent_paths(
            {"": BOWL}, DESCENTS, {"plain": [[(1, 1), (0.5, 0.2)]], "half": [[(1, 1), (0, 0)]]}
        ),
    }


def gapped():
    """Adam at four keep_probs, at 0.5 and 1 without a number; RMSprop without any."""
    arms = [
        arm(f"{name} {p}", name=name, keep_prob=p)
        for name in ("rmsprop", "adam")
        for p in (1.0, 0.1, 0.5, 0.9)
    ]
    known = ("adam 0.1", "adam 0.9")
    return summarise(
        arms,
        [
            trial
            for each in arms
            for trial in trials(str(each.id), [0.9 if each.id in known else "diverged"] * 2)
        ],
    )


def exploding():
    """Arms of two seeds, of which the last one explodes."""
    values = [[2.3, 1.0, 0.5]] * 3 + [[2.3, 1e9, 1e29]]
    every = [
        series(str(each.id), seed, [value * (1 + seed) for value in some])
        for each, some in zip(ARMS, values, strict=True)
        for seed in range(2)
    ]
    return mean_curves(ARMS, every)


def legend(figure):
    return [text.get_text() for each in figure.legends for text in each.get_texts()]


class TestFiles:
    def test_equal_figures_give_equal_bytes(self):
        for one, other in zip(drawn().values(), drawn().values(), strict=True):
            for kind in ("svg", "pdf", "png"):
                assert figures.to_bytes(one, kind) == figures.to_bytes(other, kind)

    @pytest.mark.parametrize(
        ("kind", "head"), [("svg", b"<?xml"), ("pdf", b"%PDF"), ("png", b"\x89PNG")]
    )
    def test_are_of_their_kind(self, kind, head):
        assert figures.to_bytes(learning(), kind).startswith(head)

    def test_an_svg_names_every_arm(self):
        for figure in (learning(), drawn()["forest"]):
            text = figures.to_bytes(figure, "svg").decode()
            assert all(label in text for label in LABELS[1::2])

    @pytest.mark.parametrize(
        ("name", "said"),
        [
            ("learning curves", "band: ± 1 sample standard deviation"),
            ("keep_prob", "95 % Student t interval"),
            ("forest", "95 % Student t interval"),
            ("paths", "contours"),
        ],
    )
    def test_each_says_below_what_is_drawn(self, name, said):
        """Catches: bars of which nobody knows what they are; a caption over the legend."""
        figure = drawn()[name]
        height = figure.get_figheight()
        root = ElementTree.fromstring(figures.to_bytes(figure, "svg"))
        (caption,) = figure.texts
        assert said in caption.get_text().replace("\n", " ")
        assert float(root.get("height").removesuffix("pt")) > 72 * (height + 0.1)
        low = min(each.get_window_extent().y0 for each in [*figure.axes, *figure.legends])
        assert caption.get_window_extent().y1 <= low

    def test_another_kind_is_an_error(self):
        with pytest.raises(KeyError):
            figures.to_bytes(learning(), "gif")

    @pytest.mark.parametrize("label", ["_under", "$x^2$", "<b>&", "日本語", "a\nb", "\\frac{", " "])
    def test_hostile_labels_are_drawn_as_they_stand(self, label):
        arms = [arm("a", label), arm("b", "other", keep_prob=0.5)]
        figure = learning(arms=arms)
        ElementTree.fromstring(figures.to_bytes(figure, "svg"))
        assert legend(figure) == [label, "other"]


class TestLearningCurves:
    def test_every_arm_is_drawn_in_every_panel_and_named_once(self):
        figure = learning()
        assert [len(axes.lines) for axes in figure.axes] == [4, 4]
        assert legend(figure) == LABELS

    def test_lines_have_the_looks_of_their_arms(self):
        looks = looks_of(ARMS)
        for line, each in zip(learning().axes[0].lines, ARMS, strict=True):
            look = looks[each.id]
            assert line.get_color() == look.color
            assert line.get_linestyle() == ("--" if look.dashed else "-")
            assert line.get_marker() == figures.MARKERS[look.shape]

    def test_the_line_is_the_mean_in_the_unit_of_its_axis_with_gaps(self):
        axes = learning(("test_accuracy",)).axes[0]
        assert axes.get_ylabel() == "test accuracy (%)"
        expected = [31.0, 50.0, math.nan, 80.0]
        assert axes.lines[0].get_ydata() == pytest.approx(expected, nan_ok=True)

    def test_an_arm_without_reports_is_in_no_legend(self):
        figure = figures.learning_curves(ARMS, {"test_accuracy": [*curves()[:1], *mean_curves(
            ARMS[1:], [])]})  # fmt: skip
        assert legend(figure) == LABELS[:1]

    def test_no_metric_and_no_curve_is_an_empty_figure(self):
        figures.to_bytes(figures.learning_curves([], {}), "svg")
        figures.to_bytes(figures.learning_curves(ARMS, {"test_accuracy": []}), "svg")

    @pytest.mark.parametrize("lines", [2, 12, 20])
    def test_a_long_legend_leaves_the_panel_its_height(self, lines):
        arms = [arm(str(i), f"name=adam, batch_size={i + 1}", batch_size=i + 1)
                for i in range(lines)]  # fmt: skip
        figure = learning(("test_accuracy",), arms)
        figures.to_bytes(figure, "png")
        panel = figure.axes[0].get_position().height * figure.get_figheight()
        assert panel > 2.0
        edges = figure.legends[0].get_window_extent()
        assert edges.x0 >= 0
        assert edges.x1 <= figure.bbox.width
        assert edges.y1 <= figure.axes[0].get_window_extent().y0

    @pytest.mark.parametrize("metrics", [1, 2, 3])
    def test_many_arms_stand_in_rows_a_column_a_metric(self, metrics):
        """Catches: 24 lines in one panel, a panel without its axis, a caption over an axis."""
        names = ("test_accuracy", "train_loss", "train_accuracy")[:metrics]
        figure = figures.learning_curves(ABLATION, {name: ablation_curves() for name in names})
        assert len(figure.axes) == 3 * metrics
        assert [axes.get_title("left") for axes in figure.axes[::metrics]] == [
            "SGDM", "RMSprop", "Adam",
        ]  # fmt: skip
        assert {len(axes.lines) for axes in figure.axes} == {8}
        assert len(legend(figure)) == 8
        figures.to_bytes(figure, "png")
        lowest = figure.axes[-1]
        assert lowest.get_xlabel() == "epoch"
        assert all(label.get_visible() for label in lowest.get_xticklabels())
        low = min(axes.get_tightbbox().y0 for axes in figure.axes)
        assert figure.legends[0].get_window_extent().y1 <= low

    def test_a_loss_that_explodes_leaves_the_other_curves_their_axis(self):
        """Catches: every other curve a flat line at 0; one metric's limits on another's panel."""
        figure = figures.learning_curves(ARMS, {"train_loss": exploding(), "lr": curves()})
        loss, other = figure.axes
        low, high = loss.get_ylim()
        assert 0 <= low < 0.4 < 5.0 < high < 5.6
        assert other.get_ylim() == learning(("lr",)).axes[0].get_ylim()
        assert loss.lines[-1].get_ydata()[-1] == 1.5e29  # it is the view that is limited
        said = figure.texts[0].get_text().replace("\n", " ")
        assert "1 arm goes off scale (train loss)" in said

    def test_no_file_has_places_that_its_readers_may_not_bear(self):
        """Catches: a band that is filled out to 1e31 points."""
        root = ElementTree.fromstring(
            figures.to_bytes(figures.learning_curves(ARMS, {"train_loss": exploding()}), "svg")
        )
        ways = [path.get("d", "") for path in root.iter(f"{SVG}path")]
        numbers = [float(part) for way in ways for part in way.split() if part not in "MLQCz"]
        assert max(map(abs, numbers)) < 1e5

    def test_panels_of_one_metric_have_one_scale(self):
        """Catches: a scale for each column of panels, though the panels are of one metric."""
        figure = figures.learning_curves(ABLATION, {"train_loss": ablation_curves()})
        assert len(figure.axes) == 3
        assert len({axes.get_ylim() for axes in figure.axes}) == 1
        assert [axes.get_ylabel() for axes in figure.axes] == ["train loss", "", ""]


class TestAgainstKeepProb:
    def test_one_line_for_each_configuration_otherwise_equal(self):
        figure = drawn()["keep_prob"]
        assert legend(figure) == ["Adam", "SGDM"]
        adam, sgdm = (each.lines[0].get_xdata() for each in figure.axes[0].containers)
        assert ((adam + sgdm) / 2).tolist() == pytest.approx([0.5, 1.0])
        assert (sgdm - adam > 0).all()  # no bar hides another

    def test_one_configuration_needs_no_legend(self):
        summaries = [each for each in observed()[0] if each.arm.id.startswith("adam")]
        assert legend(figures.against_keep_prob(summaries, "test_accuracy")) == []

    def test_a_line_breaks_at_an_arm_without_a_number(self):
        """Catches: a line straight across the place where all seeds diverged."""
        axes = figures.against_keep_prob(gapped(), "test_accuracy").axes[0]
        (line, *_), *others = (each.lines for each in axes.containers)
        assert line.get_xdata().tolist() == [0.1, 0.5, 0.9, 1.0]
        assert line.get_ydata() == pytest.approx([90.0, math.nan, 90.0, math.nan], nan_ok=True)
        assert others == []
        assert [each for each in axes.lines if each.get_linestyle() == ":"] == []

    def test_a_line_without_any_number_is_not_drawn_and_the_others_say_who_they_are(self):
        """Catches: one line that nobody names, since the others diverged."""
        figure = figures.against_keep_prob(gapped(), "test_accuracy")
        assert legend(figure) == ["Adam"]
        figures.to_bytes(figure, "png")

    def test_many_lines_stand_in_panels_of_one_scale_with_one_legend(self):
        figure = figures.against_keep_prob(ablated(), "test_accuracy")
        assert [axes.get_title("left") for axes in figure.axes] == ["SGDM", "RMSprop", "Adam"]
        assert [len(axes.containers) for axes in figure.axes] == [4, 4, 4]
        assert len({axes.get_ylim() for axes in figure.axes}) == 1
        assert legend(figure) == ["no regularizers", "SD", "DG", "SD+DG"]


class TestForest:
    def test_every_comparison_has_its_row_interval_and_p(self):
        _, comparisons = observed()
        axes = figures.forest(comparisons).axes[0]
        assert [label.get_text() for label in axes.get_yticklabels()] == [
            "adam, p = 0.5", "sgdm, p = 0.5",
        ]  # fmt: skip
        assert [text.get_text() for text in axes.texts] == [each.tested for each in comparisons]
        # The line at 0, and for each comparison its interval and its point.
        assert len(axes.lines) == 1 + 2 * len(comparisons)

    def test_which_way_is_better_is_said(self):
        assert drawn()["forest"].axes[0].get_xlabel() == (
            "difference in test accuracy (percentage points), arm − baseline; better to the right"
        )

    def test_without_a_pair_it_says_how_many_seeds_diverged(self):
        """Catches: a bare `n = 0`; seeds that ran out of memory counted as diverged."""
        observations = [
            *trials("adam1.0", ["diverged"] * 2 + [0.9] * 3 + ["oom"]),
            *trials("adam0.5", [0.9, "diverged", "diverged", "oom", math.nan, 0.9]),
            *trials("sgdm1.0", [0.9]),
            *trials("sgdm0.5", ["oom"]),
        ]
        axes = figures.forest(compare(summarise(ARMS, observations), observations)).axes[0]
        assert [text.get_text().replace("\n", " ") for text in axes.texts] == [
            "n = 0, diverged: arm 3, baseline 2", "n = 0",
        ]  # fmt: skip

    def test_no_comparison_is_an_empty_figure(self):
        figures.to_bytes(figures.forest([]), "svg")
        figures.to_bytes(figures.effects([]), "svg")


class TestEffects:
    def test_each_has_its_row_and_the_caption_says_what_it_is(self):
        arms = [
            arm(f"{p} {len(kinds)}", keep_prob=p, regularizers=kinds)
            for p in (1.0, 0.5)
            for kinds in ([], [{"kind": "SD"}])
        ]
        observations = [trial for each in arms for trial in trials(each.id, [0.9, 0.91, 0.93])]
        figure = figures.effects(effects_of(arms, observations))
        rows = [label.get_text() for label in figure.axes[0].get_yticklabels()]
        assert [" ".join(row.split()) for row in rows] == [
            "LRD (keep_prob = 0.5)", "SD", "LRD (keep_prob = 0.5) × SD",
        ]  # fmt: skip
        assert "A × B: how much larger" in figure.texts[0].get_text().replace("\n", " ")


class TestDescentPaths:
    def test_both_sets_of_paths_the_start_and_the_optimum_are_marked(self):
        figure = drawn()["paths"]
        assert legend(figure) == ["plain", "half", "start", "optimum"]
        assert {line.get_color() for line in figure.axes[0].lines} >= {"#0072B2", "#D55E00"}

    def test_each_arm_is_told_apart_by_its_name_even_of_two_that_have_one(self):
        path = [(1.0, 1.0), (0.5, 0.5)]
        arms = [*DESCENTS, arm("low", label="half", keep_prob=0.1), arm("late", keep_prob=0.2)]
        paths = {"plain": [path], "half": [path, path], "low": [path]}
        figure = figures.descent_paths({"": BOWL}, arms, paths)
        assert legend(figure) == ["plain", "half", "half", "start", "optimum"]
        lines = [line for line in figure.axes[0].lines if len(line.get_xdata()) > 1]
        assert len({line.get_color() for line in lines}) == 3
        assert [line.get_linestyle() for line in lines] == ["--", "-", "-", "-"]

    def test_of_two_surfaces_each_has_its_panel(self):
        figure = figures.descent_paths(*two_surfaces())
        assert [axes.get_title("left") for axes in figure.axes] == [
            "surface = saddle", "surface = toy",
        ]  # fmt: skip
        assert [axes.get_xlim() for axes in figure.axes] == [(-2, 2), (-4, 0)]
        assert legend(figure) == ["without LRD", "LRD (keep_prob = 0.5)", "start", "optimum"]

    def test_a_path_ends_where_it_is_no_longer_finite(self):
        path = [(1.0, 1.0), (0.5, 0.5), (math.inf, 0.0), (0.0, 0.0)]
        axes = figures.descent_paths({"": BOWL}, DESCENTS, {"plain": [path]}).axes[0]
        assert axes.lines[0].get_xdata().tolist() == [1.0, 0.5]

    def test_the_axes_end_with_the_grid(self):
        axes = figures.descent_paths({"": BOWL}, DESCENTS, {"half": [[(1, 1), (99, 99)]]}).axes[0]
        assert (axes.get_xlim(), axes.get_ylim()) == ((-1, 1), (-1, 1))

    @pytest.mark.parametrize(("name", "minima"), [("toy", 1), ("saddle", 2)])
    def test_the_papers_surfaces_are_lowest_where_their_optima_are(self, name, minima):
        grid = grid_of(name, points=161)
        z = np.array(grid.z)
        assert len(grid.optima) == minima
        for x, y in grid.optima:
            i = np.abs(np.array(grid.y) - y).argmin()
            j = np.abs(np.array(grid.x) - x).argmin()
            assert z[i, j] - z.min() < 0.01 * (np.median(z) - z.min())

    def test_a_saddle_has_no_optimum(self):
        saddle = Grid([-1, 0, 1], [-1, 0, 1], [[0, -1, 0], [1, 0, 1], [0, -1, 0]])
        figure = figures.descent_paths({"": saddle}, DESCENTS, {"half": [[(1, 1)]]})
        assert "optimum" not in legend(figure)

    @pytest.mark.parametrize(
        ("z", "said"), [([[1, 2, 3]], "y and x have 3, 3"), ([[math.nan] * 3] * 3, "no finite")]
    )
    def test_a_grid_that_does_not_fit_is_an_error(self, z, said):
        with pytest.raises(ValueError, match=said):
            figures.descent_paths(
                {"": Grid([0, 1, 2], [0, 1, 2], z)}, DESCENTS, {"half": [[(1, 1)]]}
            )
