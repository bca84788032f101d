"""The metrics of one trial over its epochs, as Plotly JSON for a page to draw."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from lrd_core.report import BESIDE_METRICS, decode_number
from service.analysis.curves import thin
from service.analysis.escaping import escape_html
from service.analysis.metrics import Metric
from service.drawing.looks import Look
from service.drawing.plot_panels import PlotPanels
from service.drawing.plots import FEW_EPOCHS, SYMBOLS, Plot

Reports = Sequence[Mapping[str, float | str]]
"""Epoch reports in order, as `EpochReport.to_json` writes them."""


def metrics_of(reports: Reports) -> list[str]:
    """The metrics of a trial, in the order of its reports."""
    names = dict.fromkeys(name for report in reports for name in report)
    return [name for name in names if name not in BESIDE_METRICS]


def trial_curves(reports: Reports, metric: str | None = None, *, points: int) -> Plot:
    """A line for each metric, or for one, with at most `points` points.

    Shares, losses and others have a panel each, because they have no common scale.
    `layout.meta.metrics` has the unit of every metric; thinned lines are noted as in
    `plots.learning_curves`.
    """
    every = metrics_of(reports)
    shown = [Metric(name) for name in every if metric in (None, name)]
    panels: dict[str, list[Metric]] = {}
    for each in shown:
        panels.setdefault(_kind(each), []).append(each)
    grid = PlotPanels(len(panels), max(1, len(panels)))
    whole = {"dtick": 1} if len(reports) <= FEW_EPOCHS else None
    data: list[dict[str, Any]] = []
    for at, (kind, of_kind) in enumerate(panels.items()):
        title = of_kind[0].title if len(of_kind) == 1 else kind
        place = grid.place(at, "", "epoch", title, x_ends=whole)
        data += [_line(reports, each, shown.index(each), points) | place for each in of_kind]
    gaps = any(value is None for line in data for value in line["y"])
    rest = "; gaps: values that are not finite" if gaps else ""
    layout = grid.layout(f"This trial alone, epoch by epoch{rest}.")
    layout["meta"] |= {"metrics": {name: Metric(name).unit for name in every}}
    if data and len(reports) > points:
        layout["meta"] |= {"points": points, "of": len(reports)}
    return {"data": data, "layout": layout}


def _kind(metric: Metric) -> str:
    if metric.is_share:
        return f"share ({metric.unit})"
    return "loss" if "loss" in metric.name.lower() else "value"


def _line(reports: Reports, metric: Metric, number: int, points: int) -> dict[str, Any]:
    look = Look.number(number)
    having = [report for report in reports if metric.name in report]  # some report it seldom
    x = [float(report["epoch"]) for report in having]
    found = [decode_number(report[metric.name]) for report in having]
    y = [metric.scale * value if math.isfinite(value) else None for value in found]
    kept = thin(x, y, points)
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": escape_html(metric.words),
        "legendgroup": metric.name,
        "showlegend": True,
        "connectgaps": False,
        "line": {"color": look.color, "width": 2},
        "marker": {"color": look.color, "symbol": SYMBOLS[look.shape], "size": 6},
        "hovertemplate": "%{x}: %{y:.4g}<extra>%{fullData.name}</extra>",
        "x": [x[at] for at in kept],
        "y": [y[at] for at in kept],
    }
