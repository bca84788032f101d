"""The figures as Plotly JSON for a page to draw: plain dictionaries, made without Plotly.

`layout.meta.caption` says what is drawn, the interval and n; `rows` and `columns` give the grid of
panels.

Lines look as on paper (`looks.py`). Users' labels go through `escape_html`, because Plotly would
interpret tags in them.
"""

from bisect import bisect
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any, Literal

from service.analysis.arms import ArmSummary
from service.analysis.comparisons import Comparison
from service.analysis.curves import Curve
from service.analysis.data import ArmId, ArmInfo
from service.analysis.effects import Effect
from service.analysis.escaping import escape_html
from service.analysis.metrics import Metric
from service.drawing import captions, panels
from service.drawing.blocks import Block, Row, blocks
from service.drawing.descents import Grid, Polyline, while_finite
from service.drawing.looks import BAND, PALETTE, Look
from service.drawing.panels import Line, Points
from service.drawing.plot_panels import (
    PlotPanels,
    layout_of,
    number_of,
    text_in_row,
    title_above,
)
from service.drawing.scales import View, views

SYMBOLS = (
    "circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "x", "star",
    "triangle-left", "triangle-right", "pentagon",
)  # fmt: skip
"""Marker of each `Look.shape`."""

Plot = dict[str, Any]
"""`{"data": [...], "layout": {...}}`"""
FEW_EPOCHS = 8
"""Up to here the axis marks every epoch: Plotly would mark halves of them."""
_BETWEEN = 2.5
"""Space above a block of a forest, in rows: for the axis above it and for its heading."""


def learning_curves(
    arms: Sequence[ArmInfo],
    metrics: Mapping[str, Sequence[Curve]],
    *,
    by: Literal["epoch", "seconds"] = "epoch",
) -> Plot:
    """As `figures.learning_curves`: a column per metric, a line per arm, ± 1 sample std as a band.

    A click on an arm in the legend hides it in all panels. If curves are thinned, `layout.meta`
    also has `points` (drawn) and `of` (recorded). An axis has a fixed range only if a curve is cut
    off; otherwise it follows the arms that are not hidden.
    """
    reported = {
        name: {curve.arm_id: curve for curve in curves if any(curve.n)}
        for name, curves in metrics.items()
    }
    rows = panels.with_any(panels.of_arms(arms), reported.values())
    cells = [(panel, name) for panel in rows for name in reported]
    grid = PlotPanels(len(cells), len(reported) if len(reported) > 1 else None)
    data: list[dict[str, Any]] = []
    shown = set[ArmId]()
    views_of = views(arms, metrics)
    last = max(
        (curve.x[-1] for curves in metrics.values() for curve in curves if curve.x), default=0
    )
    whole = {"dtick": 1} if by == "epoch" and last <= FEW_EPOCHS else None
    for at, (panel, name) in enumerate(cells):
        metric, view = Metric(name), views_of[name, panel.scale_group]
        title = "" if at % len(reported) else panel.title
        under = "epoch" if by == "epoch" else "time (s)"
        place = grid.place(
            *(at, title, under, metric.title),
            x_ends=whole, y_ends=_ends(view), scale=(name, panel.scale_group),
        )  # fmt: skip
        for line in panel.lines:
            curve = reported[name].get(line.of.id)
            if curve is None:
                continue
            place |= {"legendgroup": str(curve.arm_id)}
            band = _band(curve, metric.scale, line.look.color)
            if band["x"] and curve.arm_id not in view.away:
                data.append(band | place)
            drawn = _line(curve, metric.scale, line.look)
            data.append(drawn | place | {"showlegend": curve.arm_id not in shown})
            shown.add(curve.arm_id)
    layout = grid.layout(captions.learning_curves(metrics, arms))
    thinned = [curve for curves in metrics.values() for curve in curves if curve.thinned_from]
    if thinned:
        most = max(thinned, key=lambda curve: curve.thinned_from or 0)
        layout["meta"] |= {"points": len(most.x), "of": most.thinned_from}
    return {"data": data, "layout": layout}


def against_keep_prob(summaries: Sequence[ArmSummary], metric: str, *, at: str = "last") -> Plot:
    """As `figures.against_keep_prob`: the mean against keep_prob with its 95 % t interval.

    If all arms have one keep_prob, `layout.meta.never` says that nothing will ever be drawn.
    """
    kind, found = Metric(metric), panels.over_keep_prob(summaries)
    every = panels.with_numbers(found)
    grid = PlotPanels(len(every))
    names = {line.name for panel in found for line in panel.lines}
    ticks, ticked, ends = panels.keep_prob_axis(found)
    x_axis = {"tickvals": ticks, "ticktext": ticked, "range": list(ends)}
    data, dotted, shown = [], [], set[str]()
    for number, panel in enumerate(every):
        under = "keep probability (keep_prob)"
        place = grid.place(
            number, panel.title, under, kind.title, x_ends=x_axis, scale=panel.scale_group
        )
        for line, aside in zip(panel.lines, panels.set_apart(panel.lines), strict=True):
            entry = {"showlegend": len(names) > 1 and line.name not in shown}
            data.append(_points(line, kind.scale, aside) | place | entry)
            shown.add(line.name)
            keep_prob, last = line.of[-1]
            if keep_prob == 1.0 and last.mean is not None:
                dotted.append(_across(place, _scaled([last.mean], kind.scale)[0], line.look))
    layout = grid.layout(captions.against_keep_prob(found, at)) | {"shapes": dotted}
    layout["meta"] |= {} if found else {"never": True}
    return {"data": data, "layout": layout}


def forest(
    comparisons: Sequence[Comparison], arms: Sequence[ArmInfo] = (), *, at: str = "last"
) -> Plot:
    """As `figures.forest`: each difference with its 95 % t interval, filled where significant.

    The first comparison is at the top; those without a pair have a row without a point, in which it
    says how many seeds diverged.
    """
    metric = Metric(comparisons[0].metric if comparisons else "")
    caption = captions.forest(comparisons, at)
    return _forest(blocks(comparisons, arms), metric, metric.difference_title, caption)


def effects(found: Sequence[Effect], *, at: str = "last") -> Plot:
    """As `figures.effects`: each main effect and interaction; without any, an empty plot."""
    caption = captions.effects(found, at)
    if not found:
        layout = layout_of(caption)
        return {"data": [], "layout": layout | {"meta": layout["meta"] | {"never": True}}}
    metric = Metric(found[0].metric)
    return _forest(blocks(found), metric, metric.effect_title, caption)


def descent_paths(
    grids: Mapping[str, Grid], arms: Sequence[ArmInfo], paths: Mapping[ArmId, Sequence[Polyline]]
) -> Plot:
    """As `figures.descent_paths`: paths over the contours of each surface, dashed without LRD."""
    every = panels.of_descents(arms, paths)
    grid = PlotPanels(len(every))
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


def _forest(every: Sequence[Block], metric: Metric, title: str, caption: str) -> Plot:
    """The blocks above each other, each as high as its number of rows."""
    layout = layout_of(caption)
    data, texts = [], []
    sizes = [max(1, len(each.rows)) for each in every]
    whole = sum(sizes) + _BETWEEN * (len(every) - 1)
    bottom = whole
    for at, (block, size) in enumerate(zip(every, sizes, strict=True)):
        axis = number_of(at)
        bottom -= size + (_BETWEEN if at else 0)
        data.append(_rows(block.rows, metric.scale) | {"xaxis": f"x{axis}", "yaxis": f"y{axis}"})
        layout[f"xaxis{axis}"] = {
            "title": {"text": title if at == len(every) - 1 else ""},
            "anchor": f"y{axis}",
            "zeroline": True,
            "zerolinecolor": "#666666",
        }
        layout[f"yaxis{axis}"] = {
            "tickvals": list(range(len(block.rows))),
            "ticktext": [escape_html(row.title) for row in block.rows],
            "range": [size - 0.5, -0.5],
            "domain": [max(0.0, bottom / whole), min(1.0, (bottom + size) / whole)],
            "anchor": f"x{axis}",
            "automargin": True,
            "showgrid": False,
            "zeroline": False,
        }
        texts += [title_above(block.title, axis)] if block.title else []
        texts += [
            text_in_row(row.tested, number, axis)
            for number, row in enumerate(block.rows)
            if row.difference is None
        ]
    return {"data": data, "layout": layout | ({"annotations": texts} if texts else {})}


def _rows(rows: Sequence[Row], scale: float) -> dict[str, Any]:
    halves = (
        None if each.t_high is None or each.difference is None else each.t_high - each.difference
        for each in rows
    )  # fmt: skip
    return {
        "type": "scatter",
        "mode": "markers",
        "x": _scaled((each.difference for each in rows), scale),
        "y": list(range(len(rows))),
        "error_x": _whiskers(halves, scale),
        "text": [each.tested for each in rows],
        "hovertemplate": "%{x:.4g} (%{text})<extra></extra>",
        "marker": {
            "size": 9,
            "symbol": ["circle" if each.significant else "circle-open" for each in rows],
            "color": PALETTE[0],
        },
        "showlegend": False,
    }


def _ends(view: View) -> dict[str, Any]:
    """The range of an axis; a double click shows everything."""
    if view.ends and view.away:
        return {"range": list(view.ends)}
    return {"rangemode": "nonnegative"} if view.ends else {}


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
    """Contours at quantiles of the heights: the heights are drawn as their ranks."""
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
    """One polygon for each run of points with a spread, separated by None."""
    x: list[float | None] = []
    y: list[float | None] = []
    points = zip(curve.x, curve.mean, curve.std, strict=True)
    for known, run in groupby(points, key=lambda point: point[2] is not None):
        if not known:
            continue
        # A point with a spread always has a mean.
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


def _whiskers(halves: Iterable[float | None], scale: float) -> dict[str, Any]:
    """Error bars; None where there is no interval. Plotly draws that with width 0, so no caps."""
    return {"type": "data", "symmetric": True, "array": _scaled(halves, scale), "width": 0}


def _scaled(values: Iterable[float | None], scale: float) -> list[float | None]:
    return [None if value is None else value * scale for value in values]
