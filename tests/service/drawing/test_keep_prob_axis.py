"""A metric against keep_prob: where points and ticks stand, and when nothing is drawn."""

import math
from itertools import pairwise

import pytest

from service.analysis.arms import summarise
from service.drawing import figures, plots
from service.drawing.panels import keep_prob_axis, over_keep_prob, set_apart
from tests.service.analysis.cases import arm, trials


def summaries(keep_probs, rates=(0.1,), values=(0.9, 0.8)):
    arms = [arm(f"{rate} {p}", lr=rate, keep_prob=p) for rate in rates for p in keep_probs]
    return summarise(arms, [one for each in arms for one in trials(str(each.id), values)])


@pytest.mark.parametrize("count", [1, 2, 5, 8, 10])
@pytest.mark.parametrize("keep_probs", [(0.5, 1.0), (0.1, 0.5, 0.9, 0.95, 1.0), (0.98, 1.0)])
def test_lines_are_set_apart_by_little_together(keep_probs, count):
    """Catches: a point at a keep_prob of 1.07; a line nearer to its neighbour's keep_prob."""
    (panel,) = over_keep_prob(summaries(keep_probs, [0.1 + at for at in range(count)]))
    aside = set_apart(panel.lines)
    spread = aside[-1] - aside[0]
    gap = min(b - a for a, b in pairwise(keep_probs))
    assert spread <= 0.4 * gap + 1e-9
    assert 1 + aside[-1] <= 1.055
    assert sum(aside) == pytest.approx(0)
    assert (spread > 0) == (count > 1)
    ends = keep_prob_axis([panel])[2]
    assert ends[0] < keep_probs[0] + aside[0]
    assert keep_probs[-1] + aside[-1] < ends[1]


def test_ticks_stand_where_arms_are_and_nowhere_else():
    """Catches: 0.6 and 1.1 below arms at 0.5 and 1."""
    found = summaries((0.5, 0.7, 1.0))
    axes = figures.against_keep_prob(found, "test_accuracy").axes[0]
    assert axes.get_xticks().tolist() == [0.5, 0.7, 1.0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0.5", "0.7", "1"]
    axis = plots.against_keep_prob(found, "test_accuracy")["layout"]["xaxis"]
    assert (axis["tickvals"], axis["ticktext"]) == ([0.5, 0.7, 1.0], ["0.5", "0.7", "1"])
    assert tuple(axis["range"]) == pytest.approx(axes.get_xlim())


def test_of_ticks_too_close_to_be_read_some_have_no_name():
    """Catches: 0.990.995 over each other."""
    ticks, names, _ = keep_prob_axis(over_keep_prob(summaries((0.1, 0.5, 0.95, 0.99, 1.0))))
    assert ticks == [0.1, 0.5, 0.95, 0.99, 1.0]
    assert names == ["0.1", "0.5", "", "", "1"]


def test_where_keep_prob_does_not_vary_nothing_is_drawn_and_it_says_why():
    """Catches: ticks from 0.980 to 1.020 below points that are all at 1."""
    found = summaries((1.0,), (0.1, 0.2, 0.3))
    figure = figures.against_keep_prob(found, "test_accuracy")
    assert not any(axes.axison or axes.lines for axes in figure.axes)
    assert "all arms have the same keep_prob" in figure.texts[0].get_text()
    assert figure.legends == []
    figures.to_bytes(figure, "png")
    plot = plots.against_keep_prob(found, "test_accuracy")
    assert plot["data"] == []
    assert plot["layout"]["meta"]["never"] is True
    assert plots.effects([])["layout"]["meta"]["never"] is True


def test_what_will_still_come_is_not_never():
    plot = plots.against_keep_prob(summaries((0.5, 1.0), values=("queued",)), "test_accuracy")
    assert plot["data"] == []
    assert "never" not in plot["layout"]["meta"]


def test_one_number_has_a_point_and_no_whisker():
    """Catches: a 95 % interval of no width, which says that nothing could be surer."""
    arms = [arm("plain"), arm("lrd", keep_prob=0.5)]
    found = summarise(arms, [*trials("plain", [0.9]), *trials("lrd", [0.9, 0.8])])
    assert found[0].half_width is None
    (drawn,) = figures.against_keep_prob(found, "test_accuracy").axes[0].containers
    bars = drawn.lines[2][0].get_segments()
    assert [bool(len(bar)) and not math.isnan(bar[0][1]) for bar in bars] == [True, False]
    (trace,) = plots.against_keep_prob(found, "test_accuracy")["data"]
    assert trace["error_y"]["array"] == [pytest.approx(100 * found[1].half_width), None]
    assert trace["error_y"]["width"] == 0  # Plotly takes None for an interval of no width
