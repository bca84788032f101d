"""How arms look: distinct in colour, and in grey."""

import pytest

from service.drawing import figures, plots
from service.drawing.looks import PALETTE, SHAPES, Look
from service.drawing.panels import of_arms
from tests.service.analysis.cases import arm, looks_of


def grid(keep_probs, names=("adam", "sgdm", "rmsprop")):
    return [arm(f"{name}{p}", name=name, keep_prob=p) for name in names for p in keep_probs]


def luminance(color):
    red, green, blue = (channel / 255 for channel in bytes.fromhex(color[1:]))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_without_and_with_lrd_share_a_colour_and_differ_in_dashes():
    looks = looks_of(grid((1.0, 0.5)))
    assert looks["adam1.0"].color == looks["adam0.5"].color
    assert (looks["adam1.0"].dashed, looks["adam0.5"].dashed) == (True, False)
    assert len({look.color for look in looks.values()}) == 3


def test_several_values_of_p_have_colours_of_their_own():
    looks = looks_of(grid((1.0, 0.3, 0.5), names=("adam",)))
    assert len({look.color for look in looks.values()}) == 3


@pytest.mark.parametrize("keep_probs", [(1.0, 0.5), (1.0, 0.1, 0.3, 0.5, 0.7, 0.9)])
def test_in_grey_each_line_of_a_panel_has_its_own_dashes_and_marker(keep_probs):
    for panel in of_arms(grid(keep_probs, names=("adam", "sgdm"))):
        in_grey = {(line.look.dashed, line.look.shape) for line in panel.lines}
        assert len(in_grey) == len(panel.lines)


def test_many_lines_repeat_no_look():
    assert len({Look.number(index) for index in range(88)}) == 88


def test_no_colour_is_too_light_for_paper():
    assert all(luminance(color) < 0.7 for color in PALETTE)


def test_paper_and_page_have_a_marker_for_each_shape():
    assert len(set(figures.MARKERS)) == len(set(plots.SYMBOLS)) == SHAPES
