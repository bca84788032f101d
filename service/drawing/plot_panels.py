"""The axes in a plot's layout: where its panels are, and which of them share a scale."""

import math
from typing import Any

from service.analysis.escaping import escape_html
from service.drawing import panels

_GAP = 0.08
"""Gap between adjacent panels, as a share of the whole width."""
_BELOW, _ABOVE = 0.16, 0.1
"""Shares of a row reserved for a panel's axis and title, if there are several rows."""


class PlotPanels:
    """The panels of a plot, row by row: their axes in its layout."""

    def __init__(self, count: int, columns: int | None = None) -> None:
        """`columns`: one per metric; by default, as many as `count` panels of one metric need."""
        self._of_one_metric = columns is None
        self._columns = columns or panels.columns(count)
        self._rows = math.ceil(max(1, count) / self._columns)
        self._count = count
        self._first: dict[Any, str] = {}
        self._layout: dict[str, Any] = {}
        self._titles: list[dict[str, Any]] = []

    def place(
        self, at: int, title: str, x: str, y: str,
        x_ends: dict[str, Any] | None = None, y_ends: dict[str, Any] | None = None,
        scale: Any = None,
    ) -> dict[str, str]:  # fmt: skip
        """Create the axes of the panel with this number, and return their names for its traces.

        `x_ends`, `y_ends`: the parts of their layouts that set the range. Panels whose `scale` is
        equal, and not None, share their scales.
        """
        row, column = divmod(at, self._columns)
        axis = number_of(at)
        width = (1 + _GAP) / self._columns - _GAP
        left = column * (width + _GAP)
        is_lowest = at + self._columns >= self._count
        x_axis: dict[str, Any] = {
            "title": {"text": x if is_lowest else ""},
            "domain": [left, min(1.0, left + width)],
            "anchor": f"y{axis}",
        }
        y_axis: dict[str, Any] = {
            "title": {"text": "" if self._of_one_metric and column else y},
            "anchor": f"x{axis}",
        }
        if self._rows > 1:
            top, height = 1 - row / self._rows, 1 / self._rows
            bottom = 0.0 if row == self._rows - 1 else top - height * (1 - _BELOW)
            y_axis["domain"] = [bottom, top - height * _ABOVE]
        if scale is not None and (first := self._first.setdefault(scale, axis)) != axis:
            x_axis["matches"] = f"x{first}"
            y_axis["matches"] = f"y{first}"
        self._layout[f"xaxis{axis}"] = x_axis | (x_ends or {})
        self._layout[f"yaxis{axis}"] = y_axis | (y_ends or {})
        if title:
            self._titles.append(title_above(title, axis))
        return {"xaxis": f"x{axis}", "yaxis": f"y{axis}"}

    def layout(self, caption: str) -> dict[str, Any]:
        """The layout of the whole plot."""
        whole = (
            layout_of(caption)
            | self._layout
            | ({"annotations": self._titles} if self._titles else {})
        )
        whole["meta"] |= {"rows": self._rows, "columns": self._columns}
        return whole


def number_of(at: int) -> str:
    """The suffix of a panel's axes; the first ones have none."""
    return str(at + 1) if at else ""


def title_above(text: str, axis: str) -> dict[str, Any]:
    """A title above the left end of a panel."""
    where = {"xref": f"x{axis} domain", "yref": f"y{axis} domain", "x": 0, "y": 1}
    sides = {"xanchor": "left", "yanchor": "bottom", "showarrow": False}
    return {"text": escape_html(text)} | where | sides


def text_in_row(text: str, row: int, axis: str) -> dict[str, Any]:
    """A text in a row of a panel that has no point, from the left end."""
    where = {"xref": f"x{axis} domain", "yref": f"y{axis}", "x": 0.01, "y": row}
    return {"text": escape_html(text)} | where | {"xanchor": "left", "showarrow": False}


def layout_of(caption: str) -> dict[str, Any]:
    return {
        "meta": {"caption": caption},
        "template": None,
        "paper_bgcolor": "white",
        "plot_bgcolor": "white",
        "margin": {"l": 60, "r": 20, "t": 20, "b": 50},
        "hovermode": "closest",
    }
