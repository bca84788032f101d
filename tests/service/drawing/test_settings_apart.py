"""Several data sets or models in one sweep: each has its scale, on paper and on the page."""

import math

import pytest

from service.analysis.arms import summarise
from service.analysis.comparisons import compare
from service.analysis.curves import mean_curves
from service.analysis.effects import effects_of
from service.analysis.metrics import Metric
from service.drawing import figures, plots
from service.drawing.blocks import blocks
from tests.service.analysis.cases import arm, series, trials

graph_objects = pytest.importorskip("plotly.graph_objects")

SIZE = {"mnist": 0.001, "cifar100": 40.0}
ARMS = [
    arm(
        f"{data} {name} {p}", baseline=p == 1.0, dataset=data, name=name, keep_prob=p,
        model={"mnist": "fcnet", "cifar100": "resnet34"}[data],
    )
    for name in ("sgdm", "adam")
    for data in SIZE
    for p in (1.0, 0.5)
]  # fmt: skip
LOSS = "test_loss"


def size(each):
    return SIZE[each.config["dataset"]]


def observed():
    values = [1.0, 1.1, 1.3]
    found = [
        one
        for each in ARMS
        for one in trials(
            str(each.id),
            [
                size(each) * (v + (each.config["optimizer"]["keep_prob"] < 1) * v / 9)
                for v in values
            ],
        )
    ]
    summaries = summarise(ARMS, found)
    return summaries, compare(summaries, found, metric=LOSS), found


def curves():
    """Falling; one of CIFAR-100 explodes."""
    every = [
        series(str(each.id), seed, [size(each) * (1 + seed / 9), size(each) / 2])
        for each in ARMS[:-1]
        for seed in range(2)
    ]
    every += [series(str(ARMS[-1].id), seed, [40.0, 1e29 * (1 + seed)]) for seed in range(2)]
    return mean_curves(ARMS, every)


def test_learning_curves_have_an_axis_for_each_data_set_and_one_explosion_cuts_no_other():
    """Catches: every arm of MNIST a flat line below one of CIFAR-100; a band over a whole panel."""
    figure = figures.learning_curves(ARMS, {LOSS: curves()})
    mnist, cifar = figure.axes
    assert [axes.get_title("left") for axes in figure.axes] == ["MNIST", "CIFAR-100"]
    assert mnist.get_ylim()[1] < 0.0015
    assert 40 < cifar.get_ylim()[1] < 60
    assert [len(axes.lines) for axes in figure.axes] == [4, 4]
    assert [len(axes.collections) for axes in figure.axes] == [4, 3]  # bands
    said = figure.texts[0].get_text().replace("\n", " ")
    assert "1 arm goes off scale (test loss); curves off scale have no band;" in said
    figures.to_bytes(figure, "png")
    assert all(label.get_visible() for label in cifar.get_yticklabels())


def test_the_page_shows_the_same_of_learning_curves():
    plot = plots.learning_curves(ARMS, {LOSS: curves()})
    layout = plot["layout"]
    assert "matches" not in layout["yaxis2"]
    assert "range" not in layout["yaxis"]
    assert 40 < layout["yaxis2"]["range"][1] < 60
    bands = [trace["yaxis"] for trace in plot["data"] if trace.get("fill")]
    assert (bands.count("y"), bands.count("y2")) == (4, 3)
    graph_objects.Figure(plot)


def test_panels_of_one_data_set_share_what_those_of_two_do_not():
    arms = [
        arm(f"{data} {name} {rate}", dataset=data, name=name, lr=rate)
        for data in SIZE
        for name in ("sgdm", "adam")
        for rate in range(1, 8)
    ]
    every = [series(str(each.id), 0, [size(each), size(each) / each.config["optimizer"]["lr"]])
             for each in arms]  # fmt: skip
    metrics = {LOSS: mean_curves(arms, every), "train_loss": mean_curves(arms, every)}
    figure = figures.learning_curves(arms, metrics)
    ends = [axes.get_ylim() for axes in figure.axes]
    assert ends[0] == ends[2] != ends[4] == ends[6]
    layout = plots.learning_curves(arms, metrics)["layout"]
    matches = [layout[f"yaxis{at or ''}"].get("matches") for at in (0, 2, 3, 4, 5, 6, 7, 8)]
    assert matches == [None, None, "y", "y2", None, None, "y5", "y6"]


def test_against_keep_prob_an_effect_is_seen_beside_another_data_set():
    """Catches: one axis over 73 to 99 %, on which half a point is nothing."""
    summaries, _, _ = observed()
    figure = figures.against_keep_prob(summaries, LOSS)
    mnist, cifar = figure.axes
    assert mnist.get_ylim()[1] < 0.01
    assert cifar.get_ylim()[0] > 10
    layout = plots.against_keep_prob(summaries, LOSS)["layout"]
    assert "matches" not in layout["yaxis2"]


def test_a_forest_has_a_block_with_its_own_axis_for_each():
    """Catches: intervals of MNIST as points at 0, since those of CIFAR-100 set the axis."""
    _, comparisons, _ = observed()
    figure = figures.forest(comparisons, ARMS)
    assert [axes.get_title("left") for axes in figure.axes] == [
        "MNIST, FCNet", "CIFAR-100, ResNet-34",
    ]  # fmt: skip
    mnist, cifar = (axes.get_xlim()[1] for axes in figure.axes)
    assert mnist < 0.01 < 1 < cifar
    names = [
        [label.get_text().replace("\n", " ") for label in axes.get_yticklabels()]
        for axes in figure.axes
    ]
    assert names == [
        ["mnist sgdm 0.5", "mnist adam 0.5"], ["cifar100 sgdm 0.5", "cifar100 adam 0.5"],
    ]  # fmt: skip
    figures.to_bytes(figure, "png")
    boxes = [axes.get_tightbbox() for axes in figure.axes]
    assert boxes[0].y0 >= boxes[1].y1
    assert [axes.get_xlabel() != "" for axes in figure.axes] == [False, True]


def test_the_page_shows_the_same_of_a_forest():
    _, comparisons, _ = observed()
    plot = plots.forest(comparisons, ARMS)
    layout = plot["layout"]
    assert [each["text"] for each in layout["annotations"]] == [
        "MNIST, FCNet", "CIFAR-100, ResNet-34",
    ]  # fmt: skip
    assert [trace["xaxis"] for trace in plot["data"]] == ["x", "x2"]
    upper, lower = layout["yaxis"]["domain"], layout["yaxis2"]["domain"]
    assert (lower[0], upper[1]) == (0, 1)
    assert upper[0] > lower[1]
    assert layout["xaxis2"]["title"]["text"] == Metric(LOSS).difference_title
    graph_objects.Figure(plot)


def test_effects_are_in_blocks_by_where_they_are():
    arms = [
        arm(f"{data} {p} {len(kinds)}", dataset=data, keep_prob=p, regularizers=kinds)
        for data in SIZE
        for p in (1.0, 0.5)
        for kinds in ([], [{"kind": "SD"}])
    ]
    found = effects_of(arms, [one for each in arms for one in trials(str(each.id), [0.9, 0.8])])
    assert [block.title for block in blocks(found)] == ["MNIST", "CIFAR-100"]
    assert sum(len(block.rows) for block in blocks(found)) == len(found) == 6
    assert len(figures.effects(found).axes) == 2


def test_rows_of_one_data_set_are_one_block_without_a_head():
    _, comparisons, _ = observed()
    (block,) = blocks(comparisons[:1], ARMS)
    assert (block.title, block.rows) == ("", comparisons[:1])
    assert [block.rows for block in blocks([])] == [[]]
    assert math.isfinite(figures.forest([]).get_figheight())
