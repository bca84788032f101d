"""The figures as Plotly JSON, for a page to draw: plain dictionaries, no Plotly is needed here.

`layout.meta.caption` says what is drawn, the interval and n.

The same looks as on paper (`looks.py`). A user's label goes through `escape_html`: Plotly would
read tags in it.
"""

from bisect import bisect
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any, Literal

from service.analysis import captions
from service.analysis.arms import ArmSummary
from service.analysis.comparisons import Comparison
from service.analysis.curves import Curve
from service.analysis.data import ArmId, ArmInfo
from service.analysis.descents import Grid, Path, while_finite
from service.analysis.escaping import escape_html
from service.analysis.looks import (
    BAND,
    PALETTE,
    Look,
    lines_over_keep_prob,
    looks_of,
    looks_of_paths,
    set_apart,
)
from service.analysis.metrics import Metric

SYMBOLS = (
    "circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "x", "star",
    "triangle-left", "triangle-right", "pentagon",
)  # fmt: skip
"""By the number of `Look.shape`."""

Plot = dict[str, Any]
"""`{"data": [...], "layout": {...}}`"""
_GAP = 0.08
"""Between two panels, as a share of the whole width."""


def learning_curves(
    arms: Sequence[ArmInfo],
    panels: Mapping[str, Sequence[Curve]],
    *,
    by: Literal["epoch", "seconds"] = "epoch",
) -> Plot:
    """As `figures.learning_curves`: a panel a metric, a line an arm, the band ± 1 sample standard
    deviation. A click on an arm in the legend hides it in all panels.

    Where curves are thinned, `layout.meta` has `points` (drawn) and `of` (recorded) too.
    """
    looks, shown = looks_of(arms), set[ArmId]()
    data: list[dict[str, Any]] = []
    layout = _layout(captions.learning_curves(panels))
    width = (1 + _GAP) / max(1, len(panels)) - _GAP
    for index, (name, curves) in enumerate(panels.items()):
        metric, axis = Metric(name), "" if index == 0 else str(index + 1)
        left = index * (width + _GAP)
        layout[f"xaxis{axis}"] = {
            "title": {"text": "epoch" if by == "epoch" else "time (s)"},
            "domain": [left, min(1.0, left + width)],
            "anchor": f"y{axis}",
        }
        layout[f"yaxis{axis}"] = {"title": {"text": metric.title}, "anchor": f"x{axis}"}
        for curve in curves:
            if not any(curve.n):
                continue
            place = {"xaxis": f"x{axis}", "yaxis": f"y{axis}", "legendgroup": str(curve.arm_id)}
            band = _band(curve, metric.scale, looks[curve.arm_id].color)
            if band["x"]:
                data.append(band | place)
            line = _line(curve, metric.scale, looks[curve.arm_id])
            data.append(line | place | {"showlegend": curve.arm_id not in shown})
            shown.add(curve.arm_id)
    thinned = [curve for curves in panels.values() for curve in curves if curve.thinned_from]
    if thinned:
        longest = max(thinned, key=lambda curve: curve.thinned_from or 0)
        layout["meta"] |= {"points": len(longest.x), "of": longest.thinned_from}
    return {"data": data, "layout": layout}


def against_keep_prob(summaries: Sequence[ArmSummary], metric: str) -> Plot:
    """As `figures.against_keep_prob`: the mean against keep_prob with its 95 % t interval."""
    kind, lines = Metric(metric), lines_over_keep_prob(summaries)
    data, dotted = [], []
    for number, ((name, points), aside) in enumerate(
        zip(lines.items(), set_apart(lines), strict=True)
    ):
        found, look = [each for _, each in points], Look.number(number)
        trace = {
            "x": [keep_prob + aside for keep_prob, _ in points],
            "customdata": [keep_prob for keep_prob, _ in points],
            "hovertemplate": "%{customdata}: %{y:.4g} (%{text})<extra>%{fullData.name}</extra>",
            "y": _scaled((each.mean for each in found), kind.scale),
            "error_y": _whiskers((each.half_width for each in found), kind.scale),
            "text": [f"n = {each.count}" for each in found],
            "name": escape_html(name),
            "showlegend": len(lines) > 1,
        }
        data.append(_scatter(look) | trace)
        if points[-1][0] == 1.0:
            mean = _scaled([found[-1].mean], kind.scale)[0]
            line = {"color": look.color, "dash": "dot", "width": 1}
            across = {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": mean, "y1": mean}
            dotted.append(across | {"line": line, "layer": "below"})
    layout = _layout(captions.against_keep_prob(lines)) | {
        "shapes": dotted,
        "xaxis": {"title": {"text": "keep probability (keep_prob)"}},
        "yaxis": {"title": {"text": kind.title}},
    }
    return {"data": data, "layout": layout}


def forest(comparisons: Sequence[Comparison]) -> Plot:
    """As `figures.forest`: each difference with its 95 % t interval, filled where significant.

    The first comparison stands on top; those without a pair have a row without a point.
    """
    metric = Metric(comparisons[0].metric if comparisons else "")
    scale = metric.scale
    trace = {
        "type": "scatter",
        "mode": "markers",
        "x": _scaled((each.difference for each in comparisons), scale),
        "y": list(range(len(comparisons))),
        "error_x": _whiskers(
            (
                0.0 if each.t_high is None or each.difference is None
                else each.t_high - each.difference
                for each in comparisons
            ),
            scale,
        ),
        "text": [each.tested for each in comparisons],
        "hovertemplate": "%{x:.4g} (%{text})<extra></extra>",
        "marker": {
            "size": 9,
            "symbol": ["circle" if each.significant else "circle-open" for each in comparisons],
            "color": PALETTE[0],
        },
        "showlegend": False,
    }  # fmt: skip
    layout = _layout(captions.forest(comparisons)) | {
        "xaxis": {
            "title": {"text": metric.difference_title},
            "zeroline": True,
            "zerolinecolor": "#666666",
        },
        "yaxis": {
            "tickvals": list(range(len(comparisons))),
            "ticktext": [escape_html(each.arm) for each in comparisons],
            "range": [max(1, len(comparisons)) - 0.5, -0.5],
            "automargin": True,
            "showgrid": False,
            "zeroline": False,
        },
    }
    return {"data": [trace], "layout": layout}


def descent_paths(
    grid: Grid, arms: Sequence[ArmInfo], paths: Mapping[ArmId, Sequence[Path]]
) -> Plot:
    """As `figures.descent_paths`: paths over a surface's contours, dashed without LRD.

    The contours lie between quantiles of the heights, so the heights are drawn as their ranks.
    """
    levels = grid.levels()
    ranks = [[bisect(levels, height) for height in row] for row in grid.z]
    data: list[dict[str, Any]] = [
        {
            "type": "contour",
            "x": list(grid.x),
            "y": list(grid.y),
            "z": ranks,
            "contours": {"coloring": "lines", "start": 0.5, "end": len(levels), "size": 1},
            "colorscale": [[0, "#bbbbbb"], [1, "#bbbbbb"]],
            "showscale": False,
            "hoverinfo": "skip",
            "line": {"width": 0.8},
        }
    ]
    starts: list[tuple[float, float]] = []
    for arm, look in looks_of_paths(arms, paths):
        group = {"name": escape_html(arm.label), "legendgroup": str(arm.id)}
        for number, path in enumerate(paths[arm.id]):
            x, y = while_finite(path)
            starts += list(zip(x[:1], y[:1], strict=True))
            line = {"mode": "lines", "x": x, "y": y, "hovertemplate": "(%{x:.3f}, %{y:.3f})"}
            data.append(_scatter(look) | group | line | {"showlegend": number == 0})
    for name, points, symbol in (
        ("start", starts, "circle"),
        ("optimum", list(grid.optima), "star"),
    ):
        if points:
            marks = {"x": [x for x, _ in points], "y": [y for _, y in points]}
            marker = {"symbol": symbol, "size": 8, "color": PALETTE[2 if name == "optimum" else 6]}
            data.append(
                {"type": "scatter", "mode": "markers", "name": name, "marker": marker} | marks
            )
    layout = _layout(captions.descent_paths(grid.name)) | {
        "xaxis": {"title": {"text": "x"}, "range": [min(grid.x), max(grid.x)]},
        "yaxis": {"title": {"text": "y"}, "range": [min(grid.y), max(grid.y)]},
    }
    return {"data": data, "layout": layout}


# --- inside ---------------------------------------------------------------------------------------


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
        "line": {"color": look.color, "dash": "dash" if look.dashed else "solid", "width": 2},
        "marker": {"color": look.color, "symbol": SYMBOLS[look.shape], "size": 6},
        "hovertemplate": "%{x}: %{y:.4g} (%{text})<extra>%{fullData.name}</extra>",
    }


def _line(curve: Curve, scale: float, look: Look) -> dict[str, Any]:
    return _scatter(look) | {
        "x": list(curve.x),
        "y": _scaled(curve.mean, scale),
        "text": [f"n = {n}" for n in curve.n],
        "name": escape_html(curve.label),
        "connectgaps": False,
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
