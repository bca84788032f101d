"""A legend on paper: every key and name within the figure, whatever arms are called."""

import pytest

from service.analysis.arms import summarise
from service.analysis.curves import mean_curves
from service.drawing import figures
from service.drawing.fonts import FIRST, families
from tests.service.analysis.cases import arm, series, trials

NAMES = {
    "short": "Adam",
    "fifty": "word " * 9 + "words",
    "generated": "NG(eta=0.1, gamma=0.55)+SD(keep_prob=0.8), lr = 0.0005",
    "long": "a very long label that a careful researcher wrote to remember what was changed, (v2)",
    "one word": "x" * 90,
    "wide": "W" * 120,
}


def against(names):
    arms = [
        arm(f"{at} {p}", f"{name} {at}", name=f"o{at}", keep_prob=p)
        for at, name in enumerate(names)
        for p in (1.0, 0.5)
    ]
    arms = [type(each)(each.id, each.label, each.config, False, given=each.label) for each in arms]
    found = [one for each in arms for one in trials(str(each.id), [0.9, 0.8])]
    return figures.against_keep_prob(summarise(arms, found), "test_accuracy")


def learning(names):
    arms = [arm(str(at), f"{name} {at}", batch_size=at + 1) for at, name in enumerate(names)]
    found = mean_curves(arms, [series(str(each.id), 0, [0.2, 0.4]) for each in arms])
    return figures.learning_curves(arms, {"test_accuracy": found})


@pytest.mark.parametrize("make", [against, learning])
@pytest.mark.parametrize("kind", NAMES)
@pytest.mark.parametrize("count", [2, 5, 8])
def test_keys_and_names_lie_within_the_figure_and_below_the_panels(make, kind, count):
    """Catches: names of more than 50 signs cut off at the right, and the keys at the left."""
    figure = make([NAMES[kind], *[NAMES["short"]] * (count - 1)])
    figures.to_bytes(figure, "png")
    figure.draw_without_rendering()
    (legend,) = figure.legends
    whole = legend.get_window_extent()
    texts = [text.get_window_extent() for text in legend.get_texts()]
    for box in (whole, *texts):
        assert box.x0 >= 0
        assert box.x1 <= figure.bbox.width
        assert box.y0 >= 0
    panel = figure.axes[0]
    assert whole.y1 <= panel.get_tightbbox().y0 + 1
    assert panel.get_position().height * figure.get_figheight() > 2.0
    for at, box in enumerate(texts):
        assert not any(box.overlaps(other) for other in texts[at + 1 :])
    read = "".join("".join(text.get_text().split()) for text in legend.get_texts())
    assert "".join(NAMES[kind].split()) in read


def test_short_names_stand_beside_each_other():
    figure = learning([NAMES["short"]] * 4)
    assert figure.legends[0]._ncols == 4


def test_what_the_first_font_lacks_is_asked_of_those_that_are_there():
    """Catches: a Chinese label as boxes on a machine that has a font for it."""
    assert families({"Arial", FIRST}) == [FIRST]
    assert families({"Noto Sans CJK JP", "NanumGothic", FIRST}) == [
        FIRST, "Noto Sans CJK JP", "NanumGothic",
    ]  # fmt: skip


def test_a_long_title_of_a_panel_is_folded():
    """Catches: one that runs into the next panel."""
    every = [{"kind": "SD", "keep_prob": 0.8}, {"kind": "NG", "eta": 0.123, "gamma": 0.55}]
    arms = [
        arm(f"{data} {name} {some} {p}", dataset=data, name=name, keep_prob=p, regularizers=some)
        for data in ("cifar10_holdout", "cifar100")
        for name in ("sgdm", "a_very_long_name_of_an_optimizer")
        for some in ([], every[:1], every[1:], every, [every[0] | {"keep_prob": 0.9}])
        for p in (1.0, 0.5, 0.7)
    ]
    found = mean_curves(arms, [series(str(each.id), 0, [0.2, 0.4]) for each in arms])
    figure = figures.learning_curves(arms, {"test_accuracy": found})
    figures.to_bytes(figure, "png")
    figure.draw_without_rendering()
    titles = [axes.title if axes.title.get_text() else axes._left_title for axes in figure.axes]
    boxes = [title.get_window_extent() for title in titles]
    assert any("\n" in title.get_text() for title in titles)
    assert all(box.x1 <= figure.bbox.width for box in boxes)
    for at, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[at + 1 :])
