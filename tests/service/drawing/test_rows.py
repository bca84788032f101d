"""Axes with a row for each name: every text lies within what is saved."""

import io

import numpy as np
import pytest
from PIL import Image

from service.analysis.arms import summarise
from service.analysis.comparisons import compare
from service.drawing import figures
from tests.service.analysis.cases import arm, trials

LONG = (
    "SGDM, regularizers = SD + DG, LRD (keep_prob = 0.5), learning rate = 0.001, batch size = 128"
)
NAMES = {
    5: "lrd 7",
    40: "plain, LRD (keep_prob = 0.7), lr = 0.001",
    len(LONG): LONG,
    118: "W" * 118,
    119: "word " * 24,
    120: "日本語" * 40,
}


def forest(names, metric="test_accuracy"):
    """The first arm without a pair, on whose row most is said."""
    arms = [arm("base", baseline=True)]
    arms += [arm(f"arm {at}", name, keep_prob=0.1 + at / 50) for at, name in enumerate(names)]
    observations = [*trials("base", [*[0.1] * 9, "diverged"])]
    observations += trials("arm 0", ["diverged"] * 10)
    for each in arms[2:]:
        observations += trials(str(each.id), [0.1 + seed / 123 for seed in range(10)])
    return figures.forest(compare(summarise(arms, observations), observations, metric=metric))


def texts(figure):
    (axes,) = figure.axes
    low, high = axes.get_xlim()
    numbers = [
        label
        for place, label in zip(axes.get_xticks(), axes.get_xticklabels(), strict=True)
        if low <= place <= high
    ]
    return [axes.xaxis.label, *axes.get_yticklabels(), *axes.texts, *numbers, *figure.texts]


@pytest.mark.filterwarnings("ignore:Glyph .* missing from")
@pytest.mark.parametrize("dpi", [72, 200])
@pytest.mark.parametrize("metric", ["test_accuracy", "mean_" * 20 + "iou"])
@pytest.mark.parametrize("length", NAMES)
def test_every_text_is_in_what_is_saved_and_over_no_other(length, metric, dpi):
    """Catches: a title centred on narrow axes and cut off at the right, names cut off at the left,
    p cut off at the right, a caption over the title, names over each other."""
    figure = forest([NAMES[length], "other", NAMES[length] + "!"], metric)
    content = figures.to_bytes(figure, "png")
    figure.set_dpi(dpi)
    figure.draw_without_rendering()
    saved = Image.open(io.BytesIO(content)).size
    width, height = figure.get_size_inches()
    below = saved[1] / 200 - height
    assert saved[0] / 200 == pytest.approx(width, abs=0.01)
    boxes = [text.get_window_extent() for text in texts(figure)]
    for box in boxes:
        assert box.x0 >= 0
        assert box.x1 <= dpi * width
        assert box.y0 >= -dpi * below
        assert box.y1 <= dpi * height
        for other in boxes:
            assert box is other or not box.overlaps(other)
    panel = figure.axes[0].get_window_extent()
    assert panel.width > 1.3 * dpi
    assert all(not box.overlaps(panel) for box in boxes)


def test_names_of_one_line_stand_closer_than_those_of_several():
    """Catches: all rows as high as the highest; names of many lines over those beside them."""
    short, long = (
        np.diff(forest(["a", "b", name, "d", "e"]).axes[0].get_yticks())[1:] for name in ("c", LONG)
    )
    assert short == pytest.approx([0.24] * 3)
    assert long[2] == pytest.approx(0.24)
    assert long[0] == pytest.approx(long[1])
    assert long[0] > 0.4


def test_points_stand_in_the_row_of_their_name():
    """Catches: rows by number beside names by height."""
    figure = forest([LONG, "b", "c"])
    axes = figure.axes[0]
    points = [line.get_ydata()[0] for line in axes.lines if line.get_marker() == "o"]
    assert points == list(axes.get_yticks()[1:])
    assert [text.xy[1] for text in axes.texts] == list(axes.get_yticks())
    assert axes.get_ylim()[0] > axes.get_ylim()[1]  # the first one on top
