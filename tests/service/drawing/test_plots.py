"""The figures as Plotly JSON: valid for Plotly, and with the numbers and looks of the paper's."""

import itertools
import json
import math

import pytest

from service.analysis.arms import summarise
from service.analysis.comparisons import compare
from service.analysis.curves import mean_curves
from service.analysis.effects import effects_of
from service.drawing import plots
from service.drawing.descents import grid_of
from tests.service.analysis.cases import arm, looks_of, pair, series, trials

from .test_figures import (
    ARMS,
    DESCENTS,
    LABELS,
    curves,
    exploding,
    gapped,
    observed,
    two_surfaces,
)
from .test_panels import ABLATION, ablated, ablation_curves

graph_objects = pytest.importorskip("plotly.graph_objects")


def descent(paths=((1, 1), (0.5, 0.2), (math.inf, 0))):
    ways = {"plain": [[(1, 1), (0, 0)]], "half": [paths, [(0, 1)]]}
    return plots.descent_paths({"": grid_of("saddle", 20)}, DESCENTS, ways)


def effects():
    """LRD and SD, on and off."""
    arms = [
        arm(f"{p} {len(kinds)}", keep_prob=p, regularizers=kinds)
        for p in (1.0, 0.5)
        for kinds in ([], [{"kind": "SD"}])
    ]
    values = [0.9, 0.91, 0.93]
    observations = [
        trial
        for each in arms
        for trial in trials(each.id, [v + (each.id == "0.5 1") / 100 for v in values])
    ]
    return effects_of(arms, observations, baseline=["optimizer.keep_prob"])


def every():
    summaries, comparisons = observed()
    return {
        "learning curves": plots.learning_curves(
            ARMS, {name: curves() for name in ("train_loss", "train_accuracy", "test_accuracy")}
        ),
        "seconds": plots.learning_curves(ARMS, {"test_accuracy": curves()}, by="seconds"),
        "keep_prob": plots.against_keep_prob(summaries, "test_accuracy"),
        "forest": plots.forest(comparisons),
        "descent": descent(),
        "nothing": plots.learning_curves([], {}),
        "effects": plots.effects(effects()),
        "no comparison": plots.forest([]),
        "no effect": plots.effects([]),
        "no arm": plots.against_keep_prob([], "test_accuracy"),
    }


@pytest.mark.parametrize("name", list(every()))
def test_plotly_accepts_it_and_json_carries_it(name):
    plot = every()[name]
    assert json.loads(json.dumps(plot, allow_nan=False)) == plot
    figure = graph_objects.Figure(plot)  # refuses unknown properties
    assert len(figure.data) == len(plot["data"])


@pytest.mark.parametrize("name", list(every()))
def test_every_figure_says_what_is_drawn(name):
    assert every()[name]["layout"]["meta"]["caption"].endswith(".")


class TestLearningCurves:
    def lines(self, plot):
        return [trace for trace in plot["data"] if trace.get("mode") == "lines+markers"]

    def test_every_arm_has_a_line_in_every_panel_and_one_legend_entry(self):
        lines = self.lines(every()["learning curves"])
        assert [line["name"] for line in lines] == LABELS * 3
        assert [line["name"] for line in lines if line["showlegend"]] == LABELS
        assert {line["xaxis"] for line in lines} == {"x", "x2", "x3"}

    def test_it_says_where_curves_are_thinned(self):
        long = [series("a", 0, [1 / (1 + epoch) for epoch in range(300)])]
        panel = {"train_loss": mean_curves([arm("a")], long, points=100)}
        meta = plots.learning_curves([arm("a")], panel)["layout"]["meta"]
        assert (meta["points"], meta["of"]) == (100, 300)
        assert "of" not in every()["learning curves"]["layout"]["meta"]

    def test_panels_stand_side_by_side_without_overlap(self):
        layout = every()["learning curves"]["layout"]
        domains = [layout[f"xaxis{axis}"]["domain"] for axis in ("", "2", "3")]
        assert domains[0][0] == 0
        assert domains[2][1] == pytest.approx(1)
        for (_, right), (left, _) in itertools.pairwise(domains):
            assert right < left

    def test_the_looks_are_those_on_paper(self):
        looks = looks_of(ARMS)
        for line, each in zip(self.lines(every()["seconds"]), ARMS, strict=True):
            look = looks[each.id]
            assert line["line"]["color"] == look.color
            assert line["line"]["dash"] == ("dash" if look.dashed else "solid")
            assert line["marker"]["symbol"] == plots.SYMBOLS[look.shape]

    def test_the_band_is_one_standard_deviation_and_parts_at_gaps(self):
        (one,) = mean_curves([arm("a")], [
            series("a", 0, [0.2, 0.4, None, 0.6]), series("a", 1, [0.4, 0.4, math.nan, 0.8]),
        ])  # fmt: skip
        band, line = plots.learning_curves([arm("a")], {"test_accuracy": [one]})["data"]
        std = math.sqrt(0.02) * 100
        assert line["y"] == pytest.approx([30.0, 40.0, None, 70.0])
        assert band["x"] == [1, 2, 2, 1, None, 4, 4]
        assert band["y"] == pytest.approx(
            [30 + std, 40.0, 40.0, 30 - std, None, 70 + std, 70 - std]
        )

    @pytest.mark.parametrize(("epochs", "by", "marked"), [
        (3, "epoch", 1), (plots.FEW_EPOCHS + 1, "epoch", None), (3, "seconds", None),
    ])  # fmt: skip
    def test_no_axis_marks_half_an_epoch(self, epochs, by, marked):
        found = mean_curves(ARMS[:1], [series(ARMS[0].id, 0, [0.5] * epochs)], by=by)
        layout = plots.learning_curves(ARMS[:1], {"test_accuracy": found}, by=by)["layout"]
        assert layout["xaxis"].get("dtick") == marked

    def test_one_seed_has_a_line_and_no_band(self):
        found = mean_curves([arm("a")], [series("a", 0, [0.2, 0.4])])
        assert len(plots.learning_curves([arm("a")], {"test_accuracy": found})["data"]) == 1

    def test_a_label_is_no_tag(self):
        arms = [arm("a", "<a href='javascript:x'>&")]
        found = mean_curves(arms, [series("a", 0, [0.2])])
        (line,) = plots.learning_curves(arms, {"test_accuracy": found})["data"]
        assert line["name"] == "&lt;a href='javascript:x'&gt;&amp;"

    def test_a_loss_that_explodes_leaves_the_other_curves_their_axis(self):
        """Catches: flat lines below 1e29; limits of one metric on another's panel; numbers changed
        for the sake of the view."""
        metrics = {"train_loss": exploding(), "test_accuracy": curves()}
        plot = plots.learning_curves(ARMS, metrics)
        layout = plot["layout"]
        low, high = layout["yaxis"]["range"]
        assert 0 <= low < 0.4 < 5.0 < high < 5.6
        assert "range" not in layout["yaxis2"]
        assert "1 arm goes off scale (train loss)" in layout["meta"]["caption"]
        (line,) = (each for each in self.lines(plot) if each["y"][-1] == 1.5e29)
        assert line["yaxis"] == "y"
        graph_objects.Figure(plot)

    def test_what_one_panel_of_a_metric_shows_all_of_them_show(self):
        """Catches: limits on the panel alone in which the curve explodes."""
        every = ablation_curves()
        every[-1] = mean_curves(ABLATION[-1:], [series(ABLATION[-1].id, 0, [1.0, 1e29])])[0]
        layout = plots.learning_curves(ABLATION, {"val_loss": every})["layout"]
        shown = [layout[f"yaxis{axis}"]["range"] for axis in ("", "2", "3")]
        assert shown[0] == shown[1] == shown[2]

    def test_a_band_below_0_limits_the_axis_and_lets_it_follow_what_is_shown(self):
        """Catches: a loss of −0.4; an axis that stays when arms are hidden on the page."""
        found = mean_curves(
            [arm("a")], [series("a", seed, [2.0, 0.1 + 3 * seed]) for seed in range(2)]
        )
        plot = plots.learning_curves([arm("a")], {"train_loss": found, "lr": found})
        first, second = plot["layout"]["yaxis"], plot["layout"]["yaxis2"]
        assert (first["rangemode"], "range" in first) == ("nonnegative", False)
        assert "rangemode" not in second  # nobody knows whether it may be negative
        assert min(plot["data"][0]["y"]) < 0
        graph_objects.Figure(plot)

    def test_many_arms_stand_in_rows_a_column_a_metric(self):
        metrics = {name: ablation_curves() for name in ("train_loss", "test_accuracy")}
        plot = plots.learning_curves(ABLATION, metrics)
        layout = plot["layout"]
        assert (layout["meta"]["rows"], layout["meta"]["columns"]) == (3, 2)
        assert [each["text"] for each in layout["annotations"]] == ["SGDM", "RMSprop", "Adam"]
        lines = self.lines(plot)
        assert len(lines) == 2 * len(ABLATION)
        assert sum(line["showlegend"] for line in lines) == len(ABLATION)  # the page has a box each
        assert (layout["xaxis"]["title"]["text"], layout["xaxis5"]["title"]["text"]) == (
            "",
            "epoch",
        )
        assert (layout["yaxis5"]["matches"], layout["yaxis6"]["matches"]) == ("y", "y2")
        rows = [layout[f"yaxis{axis}"]["domain"] for axis in ("5", "3", "")]
        for (_, top), (bottom, _) in itertools.pairwise(rows):
            assert top < bottom


class TestAgainstKeepProb:
    def test_points_rise_with_p_and_carry_their_interval(self):
        summaries = observed()[0]
        adam, sgdm = every()["keep_prob"]["data"]
        assert (adam["name"], sgdm["name"]) == ("Adam", "SGDM")
        assert adam["customdata"] == sgdm["customdata"] == [0.5, 1.0]
        assert adam["y"] == pytest.approx([summaries[1].mean * 100, summaries[0].mean * 100])
        assert adam["error_y"]["array"][1] == pytest.approx(
            (summaries[0].ci_high - summaries[0].mean) * 100
        )

    def test_no_bar_hides_another(self):
        adam, sgdm = every()["keep_prob"]["data"]
        for one, other, keep_prob in zip(adam["x"], sgdm["x"], (0.5, 1.0), strict=True):
            assert one < keep_prob < other
            assert other - one < 0.05

    def test_one_line_stands_where_it_is(self):
        found = summarise(pair(), [*trials("plain", [0.9, 0.8]), *trials("lrd", [0.9, 0.8])])
        assert plots.against_keep_prob(found, "test_accuracy")["data"][0]["x"] == [0.5, 1.0]

    def test_a_partial_arm_says_so(self):
        summaries = summarise(pair(), trials("plain", [0.9, "diverged"]))
        (line,) = plots.against_keep_prob(summaries, "test_accuracy")["data"]
        assert line["text"] == ["n = 0", "n = 1/2"]

    def test_a_line_breaks_at_an_arm_without_a_number(self):
        """Catches: a line straight across the place where all seeds diverged, or down to 0."""
        plot = plots.against_keep_prob(gapped(), "test_accuracy")
        (line,) = plot["data"]
        assert line["y"] == [90.0, None, 90.0, None]
        assert line["text"] == ["n = 2", "n = 0/2", "n = 2", "n = 0/2"]
        assert line["connectgaps"] is False
        assert (line["name"], line["showlegend"]) == ("Adam", True)
        assert plot["layout"]["shapes"] == []
        assert "without a number: RMSprop at 0.1 (0/2)" in plot["layout"]["meta"]["caption"]

    def test_many_lines_stand_in_panels_of_one_scale_with_one_legend(self):
        plot = plots.against_keep_prob(ablated(), "test_accuracy")
        layout = plot["layout"]
        assert [each["text"] for each in layout["annotations"]] == ["SGDM", "RMSprop", "Adam"]
        assert (layout["meta"]["rows"], layout["meta"]["columns"]) == (1, 3)
        assert [trace["xaxis"] for trace in plot["data"]] == ["x"] * 4 + ["x2"] * 4 + ["x3"] * 4
        names = [trace["name"] for trace in plot["data"] if trace["showlegend"]]
        assert names == ["no regularizers", "SD", "DG", "SD+DG"]
        assert layout["yaxis3"]["matches"] == "y"
        assert {each["xref"] for each in layout["shapes"]} == {
            "x domain", "x2 domain", "x3 domain",
        }  # fmt: skip


class TestForest:
    def test_the_first_is_on_top_with_its_interval(self):
        _, comparisons = observed()
        plot = every()["forest"]
        (trace,) = plot["data"]
        assert trace["x"] == pytest.approx([each.difference * 100 for each in comparisons])
        assert trace["error_x"]["array"] == pytest.approx(
            [(each.t_high - each.difference) * 100 for each in comparisons]
        )
        top, bottom = plot["layout"]["yaxis"]["range"][1], plot["layout"]["yaxis"]["range"][0]
        assert top < trace["y"][0] < trace["y"][-1] < bottom

    def test_a_row_without_a_pair_says_why(self):
        """Catches: a blank row on the page, where the paper's figure has its text."""
        observations = [*trials("plain", ["diverged"] * 2), *trials("lrd", ["diverged"] * 2)]
        found = compare(summarise(pair(), observations), observations)
        (text,) = plots.forest(found)["layout"]["annotations"]
        assert text["text"] == found[0].tested == "n = 0, diverged: arm 2, baseline 2"
        assert (text["yref"], text["y"]) == ("y", 0)
        assert "annotations" not in every()["forest"]["layout"]

    def test_significant_ones_are_filled(self):
        _, comparisons = observed()
        symbols = every()["forest"]["data"][0]["marker"]["symbol"]
        assert symbols == ["circle" if each.significant else "circle-open" for each in comparisons]


class TestEffects:
    def test_each_has_its_row_with_its_interval(self):
        found = effects()
        plot = every()["effects"]
        (trace,) = plot["data"]
        assert trace["x"] == pytest.approx([each.difference * 100 for each in found])
        assert plot["layout"]["yaxis"]["ticktext"] == [
            "LRD (keep_prob = 0.5)", "SD", "LRD (keep_prob = 0.5) × SD",
        ]  # fmt: skip
        assert plot["layout"]["xaxis"]["title"]["text"] == (
            "effect on test accuracy (percentage points); better to the right"
        )

    def test_without_any_nothing_is_drawn(self):
        assert every()["no effect"]["data"] == []


class TestDescentPaths:
    def test_paths_starts_and_optima_stand_over_the_contours(self):
        contour, without, first, second, starts, optima = descent()["data"]
        assert contour["type"] == "contour"
        assert max(map(max, contour["z"])) == contour["contours"]["end"]  # every level is drawn
        assert (without["name"], without["line"]["dash"]) == ("plain", "dash")
        assert (first["name"], first["line"]["dash"]) == ("half", "solid")
        assert first["showlegend"]
        assert not second["showlegend"]
        assert (starts["x"], starts["y"]) == ([1, 1, 0], [1, 1, 1])
        assert (optima["x"], optima["y"]) == ([1.0, -1.0], [-1.0, 1.0])

    def test_a_path_ends_where_it_is_no_longer_finite(self):
        assert descent()["data"][2]["x"] == [1, 0.5]

    def test_each_arm_has_its_own_name_colour_and_entry(self):
        arms = [*DESCENTS, arm("low", "<b>low</b>", keep_prob=0.1), arm("late", keep_prob=0.2)]
        ways = {each.id: [[(1, 1), (0, 0)]] * 2 for each in arms[:3]}
        plot = plots.descent_paths({"": grid_of("saddle", 20)}, arms, ways)
        lines = [trace for trace in plot["data"] if trace.get("mode") == "lines"]
        names = ["plain", "half", "&lt;b&gt;low&lt;/b&gt;"]
        assert [line["name"] for line in lines if line["showlegend"]] == names
        assert len({line["line"]["color"] for line in lines}) == 3
        groups = [line["legendgroup"] for line in lines]
        assert groups[::2] == groups[1::2]
        assert len(set(groups)) == 3

    def test_of_two_surfaces_each_has_its_panel(self):
        """Catches: the paths of one surface over the contours of another, or left out."""
        plot = plots.descent_paths(*two_surfaces())
        contours = [trace for trace in plot["data"] if trace["type"] == "contour"]
        assert [trace["xaxis"] for trace in contours] == ["x", "x2"]
        lines = [trace for trace in plot["data"] if trace.get("mode") == "lines"]
        assert [line["xaxis"] for line in lines] == ["x", "x", "x2", "x2"]
        shown = [trace["name"] for trace in plot["data"] if trace.get("showlegend")]
        assert shown == ["without LRD", "LRD (keep_prob = 0.5)", "start", "optimum"]
        assert [each["text"] for each in plot["layout"]["annotations"]] == [
            "surface = saddle", "surface = toy",
        ]  # fmt: skip
        assert plot["layout"]["xaxis2"]["range"] == [-4, 0]
        assert "matches" not in plot["layout"]["xaxis2"]
