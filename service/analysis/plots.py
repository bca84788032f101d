"""The figures as Plotly JSON, for a page to draw: plain dictionaries, no Plotly is needed here.

`layout.meta.caption` says what is drawn, the interval and n; `rows` and `columns`, how its panels
stand.

The same looks as on paper (`looks.py`). A user's label goes through `escape_html`: Plotly would
read tags in it.
"""

import math
from bisect import bisect
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any, Literal

from service.analysis import captions, panels
from service.analysis.arms import ArmSummary
from service.analysis.comparisons import Comparison
from service.analysis.curves import Curve
from service.analysis.data import ArmId, ArmInfo
from service.analysis.descents import Grid, Path, while_finite
from service.analysis.effects import Effect
from service.analysis.escaping import escape_html
from service.analysis.limits import limits, running_away
from service.analysis.looks import BAND, PALETTE, Look
from service.analysis.metrics import Metric
from service.analysis.panels import Line, Points

SYMBOLS = (
    "circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "x", "star",
    "triangle-left", "triangle-right", "pentagon",
)  # fmt: skip
"""By the number of `Look.shape`."""

Plot = dict[str, Any]
"""`{"data": [...], "layout": {...}}`"""
_GAP = 0.08
"""Between two panels beside each other, as a share of the whole width."""
_BELOW, _ABOVE = 0.16, 0.1
"""What a panel leaves of its row, where there are several, for its axis and for its title."""


def learning_curves(
    arms: Sequence[ArmInfo],
    metrics: Mapping[str, Sequence[Curve]],
    *,
    by: Literal["epoch", "seconds"] = "epoch",
) -> Plot:
    """As `figures.learning_curves`: a column a metric, a line an arm, the band ± 1 sample standard
    deviation. A click on an arm in the legend hides it in all panels.

    Where curves are thinned, `layout.meta` has `points` (drawn) and `of` (recorded) too. An axis
    has a range only where a curve is cut off: else it follows the arms that are not hidden.
    """
    reported = {
        name: {curve.arm_id: curve for curve in curves if any(curve.n)}
        for name, curves in metrics.items()
    }
    rows = panels.with_any(panels.of_arms(arms), reported.values())
    cells = [(panel, name) for panel in rows for name in reported]
    grid = _Grid(len(cells), len(reported) if len(reported) > 1 else None)
    data: list[dict[str, Any]] = []
    shown = set[ArmId]()
    ends = {name: _ends(curves, Metric(name)) for name, curves in metrics.items()}
    for at, (panel, name) in enumerate(cells):
        metric = Metric(name)
        title = "" if at % len(reported) else panel.title
        under = "epoch" if by == "epoch" else "time (s)"
        place = grid.place(at, title, under, metric.title, y_ends=ends[name])
        for line in panel.lines:
            curve = reported[name].get(line.of.id)
            if curve is None:
                continue
            place |= {"legendgroup": str(curve.arm_id)}
            band = _band(curve, metric.scale, line.look.color)
            if band["x"]:
                data.append(band | place)
            drawn = _line(curve, metric.scale, line.look)
            data.append(drawn | place | {"showlegend": curve.arm_id not in shown})
            shown.add(curve.arm_id)
    layout = grid.layout(captions.learning_curves(metrics))
    thinned = [curve for curves in metrics.values() for curve in curves if curve.thinned_from]
    if thinned:
        longest = max(thinned, key=lambda curve: curve.thinned_from or 0)
        layout["meta"] |= {"points": len(longest.x), "of": longest.thinned_from}
    return {"data": data, "layout": layout}


def against_keep_prob(summaries: Sequence[ArmSummary], metric: str) -> Plot:
    """As `figures.against_keep_prob`: the mean against keep_prob with its 95 % t interval."""
    kind, found = Metric(metric), panels.over_keep_prob(summaries)
    every = panels.with_numbers(found)
    grid = _Grid(len(every))
    names = {line.name for panel in found for line in panel.lines}
    data, dotted, shown = [], [], set[str]()
    for at, panel in enumerate(every):
        place = grid.place(at, panel.title, "keep probability (keep_prob)", kind.title)
        for line, aside in zip(panel.lines, panels.set_apart(panel.lines), strict=True):
            entry = {"showlegend": len(names) > 1 and line.name not in shown}
            data.append(_points(line, kind.scale, aside) | place | entry)
            shown.add(line.name)
            keep_prob, last = line.of[-1]
            if keep_prob == 1.0 and last.mean is not None:
                dotted.append(_across(place, _scaled([last.mean], kind.scale)[0], line.look))
    layout = grid.layout(captions.against_keep_prob(found)) | {"shapes": dotted}
    return {"data": data, "layout": layout}


def forest(comparisons: Sequence[Comparison]) -> Plot:
    """As `figures.forest`: each difference with its 95 % t interval, filled where significant.

    The first comparison stands on top; those without a pair have a row without a point.
    """
    metric = Metric(comparisons[0].metric if comparisons else "")
    return _forest(comparisons, metric, metric.difference_title, captions.forest(comparisons))


def effects(found: Sequence[Effect]) -> Plot:
    """As `figures.effects`: each main effect and interaction; of none, nothing."""
    if not found:
        return {"data": [], "layout": _layout(captions.effects(found))}
    metric = Metric(found[0].metric)
    return _forest(found, metric, metric.effect_title, captions.effects(found))


def descent_paths(
    grids: Mapping[str, Grid], arms: Sequence[ArmInfo], paths: Mapping[ArmId, Sequence[Path]]
) -> Plot:
    """As `figures.descent_paths`: paths over the contours of each surface, dashed without LRD."""
    every = panels.of_descents(arms, paths)
    grid = _Grid(len(every), shared=False)
    data: list[dict[str, Any]] = []
    shown = set[str]()

    def add(place: dict[str, str], name: str, group: str, trace: dict[str, Any]) -> None:
        entry = {"name": name, "legendgroup": group, "showlegend": group not in shown}
        data.append(trace | place | entry)
        shown.add(group)

    for at, (surface, panel) in enumerate(every.items()):
        ground = grids[surface]
        x_ends, y_ends = ({"range": [min(some), max(some)]} for some in (ground.x, ground.y))
        place = grid.place(at, panel.title, "x", "y", x_ends, y_ends)
        data.append(_contours(ground) | place)
        starts: list[tuple[float, float]] = []
        for line in panel.lines:
            for path in paths[line.of.id]:
                x, y = while_finite(path)
                starts += list(zip(x[:1], y[:1], strict=True))
                way = {"mode": "lines", "x": x, "y": y, "hovertemplate": "(%{x:.3f}, %{y:.3f})"}
                group = f"{line.look.color} {line.look.shape}"
                add(place, escape_html(line.name), group, _scatter(line.look) | way)
        if starts:
            add(place, "start", "start", _marks(starts, "circle", PALETTE[6]))
        if ground.optima:
            add(place, "optimum", "optimum", _marks(ground.optima, "star", PALETTE[2]))
    return {"data": data, "layout": grid.layout(captions.descent_paths(list(every)))}


# --- inside ---------------------------------------------------------------------------------------


class _Grid:
    """The panels of a plot, row by row: their axes in its layout."""

    def __init__(self, count: int, columns: int | None = None, *, shared: bool = True) -> None:
        """`columns`: one a metric; by default as many as so many panels of one metric have.
        `shared`: whether panels of one metric have the same scales."""
        self._of_one_metric = columns is None
        self._columns = columns or panels.columns(count)
        self._rows = math.ceil(max(1, count) / self._columns)
        self._count = count
        self._shared = shared
        self._layout: dict[str, Any] = {}
        self._titles: list[dict[str, Any]] = []

    def place(
        self, at: int, title: str, x: str, y: str,
        x_ends: dict[str, Any] | None = None, y_ends: dict[str, Any] | None = None,
    ) -> dict[str, str]:  # fmt: skip
        """Make the axes of the panel with this number; which ones its traces name.

        `x_ends`, `y_ends`: what their layouts say of where they end.
        """
        row, column = divmod(at, self._columns)
        axis = _number(at)
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
        first = 0 if self._of_one_metric else column
        if self._shared and at != first:
            x_axis["matches"] = f"x{_number(first)}"
            y_axis["matches"] = f"y{_number(first)}"
        self._layout[f"xaxis{axis}"] = x_axis | (x_ends or {})
        self._layout[f"yaxis{axis}"] = y_axis | (y_ends or {})
        if title:
            self._titles.append(_title(title, axis))
        return {"xaxis": f"x{axis}", "yaxis": f"y{axis}"}

    def layout(self, caption: str) -> dict[str, Any]:
        """Of the whole plot."""
        whole = (
            _layout(caption)
            | self._layout
            | ({"annotations": self._titles} if self._titles else {})
        )
        whole["meta"] |= {"rows": self._rows, "columns": self._columns}
        return whole


def _forest(lines: Sequence[Comparison | Effect], metric: Metric, title: str, caption: str) -> Plot:
    scale = metric.scale
    trace = {
        "type": "scatter",
        "mode": "markers",
        "x": _scaled((each.difference for each in lines), scale),
        "y": list(range(len(lines))),
        "error_x": _whiskers(
            (
                0.0 if each.t_high is None or each.difference is None
                else each.t_high - each.difference
                for each in lines
            ),
            scale,
        ),
        "text": [each.tested for each in lines],
        "hovertemplate": "%{x:.4g} (%{text})<extra></extra>",
        "marker": {
            "size": 9,
            "symbol": ["circle" if each.significant else "circle-open" for each in lines],
            "color": PALETTE[0],
        },
        "showlegend": False,
    }  # fmt: skip
    layout = _layout(caption) | {
        "xaxis": {
            "title": {"text": title},
            "zeroline": True,
            "zerolinecolor": "#666666",
        },
        "yaxis": {
            "tickvals": list(range(len(lines))),
            "ticktext": [escape_html(each.title) for each in lines],
            "range": [max(1, len(lines)) - 0.5, -0.5],
            "automargin": True,
            "showgrid": False,
            "zeroline": False,
        },
    }
    return {"data": [trace], "layout": layout}


def _number(at: int) -> str:
    """Of a panel's axes: the first ones have none."""
    return str(at + 1) if at else ""


def _ends(curves: Sequence[Curve], metric: Metric) -> dict[str, Any]:
    """As `limits` has them. A double click on a range shows all."""
    shown = limits(curves, metric)
    if shown and running_away(curves, metric):
        return {"range": list(shown)}
    return {"rangemode": "nonnegative"} if shown else {}


def _title(text: str, axis: str) -> dict[str, Any]:
    """Above the left end of a panel."""
    where = {"xref": f"x{axis} domain", "yref": f"y{axis} domain", "x": 0, "y": 1}
    sides = {"xanchor": "left", "yanchor": "bottom", "showarrow": False}
    return {"text": escape_html(text)} | where | sides


def _layout(caption: str) -> dict[str, Any]:
    return {
        "meta": {"caption": caption},
        "template": None,
        "paper_bgcolor": "white",
        "plot_bgcolor": "white",
        "margin": {"l": 60, "r": 20, "t": 20, "b": 50},
        "hovermode": "closest",
    }


def _scatter(look: Look) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "connectgaps": False,
        "line": {"color": look.color, "dash": "dash" if look.dashed else "solid", "width": 2},
        "marker": {"color": look.color, "symbol": SYMBOLS[look.shape], "size": 6},
        "hovertemplate": "%{x}: %{y:.4g} (%{text})<extra>%{fullData.name}</extra>",
    }


def _points(line: Line[Points], scale: float, aside: float) -> dict[str, Any]:
    found = [each for _, each in line.of]
    return _scatter(line.look) | {
        "x": [keep_prob + aside for keep_prob, _ in line.of],
        "customdata": [keep_prob for keep_prob, _ in line.of],
        "hovertemplate": "%{customdata}: %{y:.4g} (%{text})<extra>%{fullData.name}</extra>",
        "y": _scaled((each.mean for each in found), scale),
        "error_y": _whiskers((each.half_width for each in found), scale),
        "text": [f"n = {each.count}" for each in found],
        "name": escape_html(line.name),
        "legendgroup": line.name,
    }


def _across(place: Mapping[str, str], y: float | None, look: Look) -> dict[str, Any]:
    """A dotted line through a panel."""
    ends = {"xref": f"{place['xaxis']} domain", "x0": 0, "x1": 1, "y0": y, "y1": y}
    line = {"color": look.color, "dash": "dot", "width": 1}
    return {"type": "line", "yref": place["yaxis"], "line": line, "layer": "below"} | ends


def _contours(grid: Grid) -> dict[str, Any]:
    """They lie between quantiles of the heights, so the heights are drawn as their ranks."""
    levels = grid.levels()
    return {
        "type": "contour",
        "x": list(grid.x),
        "y": list(grid.y),
        "z": [[bisect(levels, height) for height in row] for row in grid.z],
        "contours": {"coloring": "lines", "start": 0.5, "end": len(levels), "size": 1},
        "colorscale": [[0, "#bbbbbb"], [1, "#bbbbbb"]],
        "showscale": False,
        "hoverinfo": "skip",
        "line": {"width": 0.8},
    }


def _marks(points: Sequence[tuple[float, float]], symbol: str, color: str) -> dict[str, Any]:
    marker = {"symbol": symbol, "size": 8, "color": color}
    at = {"x": [x for x, _ in points], "y": [y for _, y in points]}
    return {"type": "scatter", "mode": "markers", "marker": marker} | at


def _line(curve: Curve, scale: float, look: Look) -> dict[str, Any]:
    return _scatter(look) | {
        "x": list(curve.x),
        "y": _scaled(curve.mean, scale),
        "text": [f"n = {n}" for n in curve.n],
        "name": escape_html(curve.label),
    }


def _band(curve: Curve, scale: float, color: str) -> dict[str, Any]:
    """One polygon for each run of points with a spread; None parts them."""
    x: list[float | None] = []
    y: list[float | None] = []
    points = zip(curve.x, curve.mean, curve.std, strict=True)
    for known, run in groupby(points, key=lambda point: point[2] is not None):
        if not known:
            continue
        # There is no spread without a mean.
        edges = [(at, (mean or 0.0) * scale, (std or 0.0) * scale) for at, mean, std in run]
        x += [None] if x else []
        y += [None] if y else []
        x += [at for at, _, _ in edges] + [at for at, _, _ in reversed(edges)]
        y += [mean + std for _, mean, std in edges]
        y += [mean - std for _, mean, std in reversed(edges)]
    red, green, blue = bytes.fromhex(color[1:])
    return {
        "type": "scatter",
        "mode": "lines",
        "fill": "toself",
        "fillcolor": f"rgba({red},{green},{blue},{BAND})",
        "line": {"width": 0},
        "hoverinfo": "skip",
        "showlegend": False,
        "x": x,
        "y": y,
    }


def _whiskers(halves: Iterable[float], scale: float) -> dict[str, Any]:
    return {"type": "data", "symmetric": True, "array": [half * scale for half in halves]}


def _scaled(values: Iterable[float | None], scale: float) -> list[float | None]:
    return [None if value is None else value * scale for value in values]
