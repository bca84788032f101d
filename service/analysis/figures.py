"""Figures for a paper: learning curves, a metric against keep_prob, a forest, descent paths.

Matplotlib's `Figure` without pyplot: nothing is global, nothing needs a display. Colours, dashes
and markers: `looks.py`.
"""

import io
import math
import textwrap
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import Bbox

from service.analysis import captions
from service.analysis.arms import ArmSummary
from service.analysis.comparisons import Comparison
from service.analysis.curves import Curve
from service.analysis.data import ArmId, ArmInfo
from service.analysis.descents import Grid, Path, while_finite
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

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">", "p")
"""By the number of `Look.shape`."""

HEIGHT = 3.2
"""Of a figure without its legend, in inches."""
_LEGEND_ROW = 0.17
_CAPTION_LINE = 0.12

_STYLE: dict[Any, Any] = {
    "text.parse_math": False,  # a label is a user's text, not mathematics
    "svg.hashsalt": "lrd",
    "pdf.fonttype": 42,  # TrueType: journals refuse Type 3
    "font.size": 8,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.5,
    "lines.linewidth": 1.2,
    "lines.markersize": 3.5,
    "legend.frameon": False,
}
_style_lock = threading.Lock()


def learning_curves(
    arms: Sequence[ArmInfo],
    panels: Mapping[str, Sequence[Curve]],
    *,
    by: Literal["epoch", "seconds"] = "epoch",
) -> Figure:
    """One panel for each metric (name -> its curves), one line for each arm with a report.

    Solid with LRD, dashed without; arms that differ in keep_prob alone share colour and marker
    where that leaves each line its own look. The band is ± 1 sample standard deviation.
    """
    looks = looks_of(arms)
    with _styled():
        width = 4.2 if len(panels) < 2 else 3.2 * len(panels)
        figure = Figure(figsize=(width, HEIGHT), layout="constrained")
        every = figure.subplots(1, max(1, len(panels)), squeeze=False)[0]
        handles: dict[ArmId, Any] = {}
        for axes, (name, curves) in zip(every, panels.items(), strict=False):
            metric = Metric(name)
            for curve in curves:
                if any(n > 0 for n in curve.n):
                    line = _draw_curve(axes, curve, metric.scale, looks[curve.arm_id])
                    handles.setdefault(curve.arm_id, line)
            axes.set(xlabel="epoch" if by == "epoch" else "time (s)", ylabel=metric.title)
            if by == "epoch":
                axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        labels = {arm.id: arm.label for arm in arms if arm.id in handles}
        _legend(figure, [handles[key] for key in labels], list(labels.values()))
        _caption(figure, captions.learning_curves(panels))
        return figure


def against_keep_prob(summaries: Sequence[ArmSummary], metric: str) -> Figure:
    """The mean against keep_prob with its 95 % t interval; one line for what is else equal.

    Dotted: the mean without LRD (keep_prob = 1). Not drawn: arms without a number or a keep_prob.
    """
    kind, lines = Metric(metric), lines_over_keep_prob(summaries)
    with _styled():
        figure = Figure(figsize=(3.6, HEIGHT), layout="constrained")
        axes = figure.subplots()
        handles = [
            _draw_points(axes, points, kind.scale, Look.number(number), aside)
            for number, (points, aside) in enumerate(
                zip(lines.values(), set_apart(lines), strict=True)
            )
        ]
        axes.set(xlabel="keep probability (keep_prob)", ylabel=kind.title)
        if len(lines) > 1:
            _legend(figure, handles, list(lines))
        _caption(figure, captions.against_keep_prob(lines))
        return figure


def forest(comparisons: Sequence[Comparison]) -> Figure:
    """Each difference from its baseline with its 95 % t interval, and p_holm beside it.

    Filled where significant. Comparisons without a pair are listed without a point.
    """
    metric = Metric(comparisons[0].metric if comparisons else "")
    with _styled():
        figure = Figure(figsize=(5.4, 0.9 + 0.24 * max(1, len(comparisons))), layout="constrained")
        axes = figure.subplots()
        axes.axvline(0, color="#666666", linewidth=0.8)
        for row, each in enumerate(comparisons):
            _draw_difference(axes, row, each, metric.scale)
        axes.set_yticks(range(len(comparisons)), [each.arm for each in comparisons])
        axes.set_ylim(max(1, len(comparisons)) - 0.4, -0.6)  # the first one on top
        axes.grid(visible=False, axis="y")
        axes.set_xlabel(metric.difference_title)
        _caption(figure, captions.forest(comparisons))
        return figure


def descent_paths(
    grid: Grid, arms: Sequence[ArmInfo], paths: Mapping[ArmId, Sequence[Path]]
) -> Figure:
    """Each arm's paths over a surface's contours: dashed without LRD, solid with; starts and optima
    marked.

    What leaves the grid is cut off there; a path ends where it is no longer finite.

    Raises:
        ValueError: the grid's sizes do not fit, or it has no finite value.
    """
    levels = grid.levels()
    with _styled():
        figure = Figure(figsize=(4.2, HEIGHT), layout="constrained")
        axes = figure.subplots()
        axes.grid(visible=False)
        axes.contour(grid.x, grid.y, grid.z, levels, colors="#bbbbbb", linewidths=0.6, zorder=1)
        handles: dict[str, Any] = {}
        lines: list[Any] = []
        looks = looks_of_paths(arms, paths)
        for arm, look in looks:
            style = {"linestyle": "--", "zorder": 3} if look.dashed else {"zorder": 2}
            for path in paths[arm.id]:
                x, y = while_finite(path)
                (line,) = axes.plot(x, y, color=look.color, linewidth=1.0, **style)
                (handles["start"],) = axes.plot(x[:1], y[:1], **_POINTS["start"])
            lines.append(line)
        for optimum in grid.optima:
            (handles["optimum"],) = axes.plot(*optimum, **_POINTS["optimum"])
        axes.set(
            xlabel="x", ylabel="y",
            xlim=(min(grid.x), max(grid.x)), ylim=(min(grid.y), max(grid.y)),
        )  # fmt: skip
        labels = [arm.label for arm, _ in looks]
        _legend(figure, [*lines, *handles.values()], [*labels, *handles])
        _caption(figure, captions.descent_paths(grid.name))
        return figure


def to_bytes(figure: Figure, kind: Literal["svg", "pdf", "png"]) -> bytes:
    """The figure as a file; equal figures give equal bytes.

    Raises:
        KeyError: another kind.
    """
    metadata = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {}}[kind]
    out = io.BytesIO()
    with _styled():
        figure.savefig(out, format=kind, dpi=200, metadata=metadata, bbox_inches=_whole(figure))
    return out.getvalue()


# --- inside ---------------------------------------------------------------------------------------


@contextmanager
def _styled() -> Iterator[None]:
    """Matplotlib's settings belong to the process: one thread at a time."""
    with _style_lock, mpl.rc_context(_STYLE), warnings.catch_warnings():
        # A label in a script that the font lacks is drawn as boxes; that is no reason to fail.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield


def _drawn(look: Look) -> dict[str, Any]:
    style = "--" if look.dashed else "-"
    return {"color": look.color, "marker": MARKERS[look.shape], "linestyle": style}


_POINTS: dict[str, dict[str, Any]] = {
    "start": {"marker": "o", "color": "black", "linestyle": "none", "zorder": 4},
    "optimum": {
        "marker": "*", "color": PALETTE[2], "markersize": 9, "linestyle": "none", "zorder": 4,
    },
}  # fmt: skip


def _draw_curve(axes: Axes, curve: Curve, scale: float, look: Look) -> Any:
    nan = float("nan")
    mean = [nan if value is None else value * scale for value in curve.mean]
    std = [nan if value is None else value * scale for value in curve.std]
    # Some eight markers a line, not where another line has them; a single point shows its own.
    step = max(1, len(mean) // 8)
    offset = look.shape * step // 5 % step
    (line,) = axes.plot(curve.x, mean, markevery=(offset, step), **_drawn(look))
    low = [m - s for m, s in zip(mean, std, strict=True)]
    high = [m + s for m, s in zip(mean, std, strict=True)]
    axes.fill_between(curve.x, low, high, color=look.color, alpha=BAND, linewidth=0)
    return line


def _draw_points(
    axes: Axes,
    points: Sequence[tuple[float, ArmSummary]],
    scale: float,
    look: Look,
    aside: float,
) -> Any:
    x = [keep_prob + aside for keep_prob, _ in points]
    mean = [(each.mean or 0.0) * scale for _, each in points]
    half = [each.half_width * scale for _, each in points]
    if points[-1][0] == 1.0:
        axes.axhline(mean[-1], color=look.color, linestyle=":", linewidth=0.8)
    return axes.errorbar(x, mean, yerr=half, capsize=2, elinewidth=0.8, **_drawn(look))


def _draw_difference(axes: Axes, row: int, each: Comparison, scale: float) -> None:
    if each.difference is not None:
        if each.t_low is not None and each.t_high is not None:
            axes.plot([each.t_low * scale, each.t_high * scale], [row, row], color=PALETTE[0])
        face = PALETTE[0] if each.significant else "white"
        axes.plot(
            [each.difference * scale], [row], "o", color=PALETTE[0], markerfacecolor=face, zorder=3
        )
    axes.annotate(
        each.tested,
        (1.01, row),
        xycoords=("axes fraction", "data"),
        va="center",
        annotation_clip=False,
    )


def _caption(figure: Figure, text: str) -> None:
    """Below the figure, where `_whole` makes room."""
    lines = "\n".join(textwrap.wrap(text, int(figure.get_figwidth() * 21)))
    below = -0.2 * _CAPTION_LINE / figure.get_figheight()
    figure.text(0.02, below, lines, va="top", fontsize=6.5, color="#555555")


def _whole(figure: Figure) -> Bbox:
    """The figure with its caption, in inches.

    The layout is made before, and kept: it has no place for a caption below a legend.
    """
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for legend in figure.legends:
        legend.set_bbox_to_anchor((0, 0, 1, 1), figure.transFigure)
    lines = sum(1 + text.get_text().count("\n") for text in figure.texts)
    width, height = figure.get_size_inches()
    return Bbox.from_extents(0, -_CAPTION_LINE * (lines + 0.5), width, height)


def _legend(figure: Figure, handles: Sequence[Any], labels: Sequence[str]) -> None:
    if not handles:
        return
    longest = max(len(label) for label in labels)
    columns = min(len(labels), max(1, int(figure.get_figwidth() * 16 / (longest + 8))))
    # The panels keep their height, however many lines the legend has.
    figure.set_figheight(HEIGHT + _LEGEND_ROW * math.ceil(len(labels) / columns))
    legend = figure.legend(
        list(handles),
        [str(index) for index in range(len(labels))],
        loc="outside lower center",
        ncols=columns,
    )
    # Set afterwards: matplotlib would leave out a label that starts with an underscore.
    for text, label in zip(legend.get_texts(), labels, strict=True):
        text.set_text(label)
