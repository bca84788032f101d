"""A legend below the panels of a printed figure, kept within the figure.

It has as many columns as the longest name leaves room for; longer names are folded.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from service.drawing.folding import folded, width_of

_ROW, _LINE = 0.17, 0.135
"""Heights of an entry's first line and of each further one. All lengths here are in inches."""
_KEY, _BETWEEN, _EDGE = 0.33, 0.23, 0.15
"""Width of a key with its gap; gap between two columns; margin at each side of the figure."""


def add_legend(figure: Figure, drawn: Sequence[Any], names: Sequence[str]) -> None:
    """Add the legend and grow the figure by it, so that the panels keep their height."""
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
