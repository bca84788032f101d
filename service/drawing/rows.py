"""Axes with a row for each name, laid out so that every text fits in the figure, however long.

Done by hand, because matplotlib's layouts make room for names next to the axes until none is left
for the axes, and make none for a title that is wider than the axes.
"""

from collections.abc import Sequence
from itertools import accumulate

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from service.drawing.folding import folded, width_of

WIDTH = 5.4
"""Width of the figure. All lengths here are in inches."""
_NAMES, _BESIDE = 1.9, 1.6
"""Maximum widths of the names and of the texts on the right; the rest is for the axes."""
_EDGE, _GAP, _LEAST = 0.1, 0.08, 0.15
"""Margin at the edges of the figure; gap between the axes and a text; least width for the texts of
one side, which the last number below the axes needs."""
_ROW, _LINE, _ENDS = 0.24, 0.135, 0.03
"""Height of a row with one line; of each further line; space above the first and below the last."""
_ABOVE, _BELOW, _HEAD = 0.08, 0.34, 0.24
"""Space above the axes, which is empty; below them, for ticks and numbers without the title; for
the heading of a block."""

Texts = tuple[str, Sequence[str], Sequence[str]]
"""A block's texts: its heading, if it has one; left of each row; right of each row."""


def axes_with_rows(
    blocks: Sequence[Texts], title: str
) -> tuple[Figure, list[tuple[Axes, list[float]]]]:
    """A figure and, for each block, its axes and the position of each row's middle on them.

    The first row is at the top.

    Args:
        blocks: at least one; each has an axis of its own.
        title: the title of the horizontal axes.
    """
    folds = [
        (
            head,
            [folded(text, _NAMES) for text in names],
            [folded(text, _BESIDE) for text in beside],
        )
        for head, names, beside in blocks
    ]
    title = folded(title, WIDTH - 2 * _EDGE)
    left, right = (
        _EDGE + _GAP + max([_LEAST, *(width_of(text) for block in folds for text in block[side])])
        for side in (1, 2)
    )
    width = WIDTH - left - right
    heights = [
        [
            _ROW + _LINE * max(name.count("\n"), text.count("\n"))
            for name, text in zip(names, beside, strict=True)
        ]
        for _, names, beside in folds
    ]
    inside = [(sum(some) or _ROW) + 2 * _ENDS for some in heights]
    heads = [_HEAD if head else 0.0 for head, _, _ in folds]
    whole = (
        _ABOVE + sum(heads) + sum(inside) + _BELOW * len(folds) + _LINE * (1 + title.count("\n"))
    )
    figure = Figure(figsize=(WIDTH, whole))
    made: list[tuple[Axes, list[float]]] = []
    bottom = whole - _ABOVE
    for (head, names, beside), some, height, above in zip(
        folds, heights, inside, heads, strict=True
    ):
        bottom -= above + height
        axes = figure.add_axes(
            (left / WIDTH, bottom / whole, width / WIDTH, height / whole), ylim=(height, 0)
        )
        bottom -= _BELOW
        ends = accumulate(some, initial=_ENDS)
        rows = [end + each / 2 for end, each in zip(ends, some, strict=False)]
        axes.set_yticks(rows, names)
        _write_beside(axes, rows, beside)
        if head:
            axes.set_title(head, loc="left", fontsize=8, fontweight="bold", pad=3)
        made.append((axes, rows))
    lowest = made[-1][0]
    lowest.set_xlabel(title)
    # Centred below the axes, or as nearly as the figure's edges permit.
    half = _EDGE + width_of(title) / 2
    middle = min(max(left + width / 2, half), WIDTH - half)
    lowest.xaxis.label.set_x((middle - left) / width)
    return figure, made


# --- inside ---------------------------------------------------------------------------------------


def _write_beside(axes: Axes, rows: Sequence[float], beside: Sequence[str]) -> None:
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
