"""Axes with a row for each name, made so that every text lies within the figure, however long.

By hand: matplotlib's layouts make room for names beside the axes until none is left for the axes,
and make none for a title that is wider than these.
"""

from collections.abc import Sequence
from itertools import accumulate

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from service.analysis.folding import folded, width_of

WIDTH = 5.4
"""Of the figure, in inches; so are all of these."""
_NAMES, _BESIDE = 1.9, 1.6
"""At most of the names; of what stands on the right. What is left is for the axes."""
_EDGE, _GAP, _LEAST = 0.1, 0.08, 0.15
"""Left free at the edges of the figure; between the axes and a text; for the texts of one side, as
the last number below the axes needs it."""
_ROW, _LINE, _ENDS = 0.24, 0.135, 0.03
"""Of a row with one line; of each other line of a text; above the first row and below the last."""
_ABOVE, _BELOW = 0.08, 0.34
"""For what stands above the axes: nothing; below them, without the title: ticks and numbers."""


def axes_with_rows(
    names: Sequence[str], beside: Sequence[str], title: str
) -> tuple[Figure, Axes, list[float]]:
    """A figure, its axes, and where on them the middle of each row is, the first one on top.

    Args:
        names: on the left of each row.
        beside: on its right.
        title: of the horizontal axis.
    """
    names = [folded(text, _NAMES) for text in names]
    beside = [folded(text, _BESIDE) for text in beside]
    title = folded(title, WIDTH - 2 * _EDGE)
    left, right = (_EDGE + _GAP + max([_LEAST, *map(width_of, texts)]) for texts in (names, beside))
    heights = [
        _ROW + _LINE * max(name.count("\n"), text.count("\n"))
        for name, text in zip(names, beside, strict=True)
    ]
    below = _BELOW + _LINE * (1 + title.count("\n"))
    inside = (WIDTH - left - right, (sum(heights) or _ROW) + 2 * _ENDS)
    figure = Figure(figsize=(WIDTH, _ABOVE + inside[1] + below))
    whole = figure.get_figheight()
    axes = figure.add_axes(
        (left / WIDTH, below / whole, inside[0] / WIDTH, inside[1] / whole), ylim=(inside[1], 0)
    )
    ends = accumulate(heights, initial=_ENDS)
    rows = [end + height / 2 for end, height in zip(ends, heights, strict=False)]
    axes.set_yticks(rows, names)
    for row, text in zip(rows, beside, strict=True):
        axes.annotate(
            text,
            (1, row),
            (72 * _GAP, 0),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            va="center",
            annotation_clip=False,
        )
    axes.set_xlabel(title)
    # Below the middle of the axes, or as near as the figure's edges let it be.
    half = _EDGE + width_of(title) / 2
    middle = min(max(left + inside[0] / 2, half), WIDTH - half)
    axes.xaxis.label.set_x((middle - left) / inside[0])
    return figure, axes, rows
