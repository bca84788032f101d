"""A legend below the panels of a figure on paper, whose keys and names lie within the figure.

In as many columns as the longest name leaves room for; a name that is too long for one is folded.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from service.analysis.folding import folded, width_of

_ROW, _LINE = 0.17, 0.135
"""Of an entry with one line, and of each other line, in inches; so are all of these."""
_KEY, _BETWEEN, _EDGE = 0.33, 0.23, 0.15
"""Of a key with the gap behind it; between two columns; left free at each side of the figure."""


def add_legend(figure: Figure, drawn: Sequence[Any], names: Sequence[str]) -> None:
    """The figure grows by it: the panels keep their height, however many lines it has."""
    room = figure.get_figwidth() - 2 * _EDGE
    names = [folded(name, room - _KEY) for name in names]
    widest = max(map(width_of, names)) + _KEY
    columns = min(len(names), max(1, int((room + _BETWEEN) / (widest + _BETWEEN))))
    heights = [_ROW + _LINE * name.count("\n") for name in names]
    # Filled column by column, the first ones with one more.
    tallest = max(sum(some) for some in np.array_split(heights, columns))
    figure.set_figheight(figure.get_figheight() + tallest)
    legend = figure.legend(
        list(drawn),
        [str(index) for index in range(len(names))],
        loc="outside lower center",
        ncols=columns,
    )
    # Set afterwards: matplotlib would leave out a label that starts with an underscore.
    for text, name in zip(legend.get_texts(), names, strict=True):
        text.set_text(name)
