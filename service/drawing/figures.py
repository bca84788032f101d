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
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import Bbox

from service.analysis.arms import ArmSummary
from service.analysis.comparisons import Comparison
from service.analysis.curves import Curve
from service.analysis.data import ArmId, ArmInfo
from service.analysis.effects import Effect
from service.analysis.metrics import Metric
from service.drawing import captions, panels
from service.drawing.blocks import Block, Row, blocks
from service.drawing.descents import Grid, Polyline, while_finite
from service.drawing.folding import folded
from service.drawing.fonts import here
from service.drawing.legends import add_legend
from service.drawing.looks import BAND, PALETTE, Look
from service.drawing.panels import Panel, Points
from service.drawing.rows import axes_with_rows
from service.drawing.scales import views

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">", "p")
"""Marker of each `Look.shape`."""

HEIGHT = 3.2
"""Height of a figure with one row of panels, without its legend, in inches."""
_ROW = 2.1
"""Height of each of several rows."""
_CAPTION_LINE = 0.12
_OF_PANEL = 0.8
"""Share of a panel and its numbers that the title may fill."""
_NOTHING = 0.4
"""Height of a figure that has only a caption."""

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
    "contour.negative_linestyle": "solid",  # dashes say: without LRD
}
_style_lock = threading.Lock()


def learning_curves(
    arms: Sequence[ArmInfo],
    metrics: Mapping[str, Sequence[Curve]],
    *,
    by: Literal["epoch", "seconds"] = "epoch",
) -> Figure:
    """A column for each metric (name -> its curves) and a line for each arm with a report.

    Arms that do not fit one panel are spread over several rows (`panels.py`). Panels of one metric,
    data set and model share their scales. Lines are solid with LRD, dashed without. Arms that
    differ only in keep_prob share colour and marker, as long as no two lines look the same. The
    band is ± 1 sample standard deviation; a curve that runs out of its panel has none.
    """
    reported = {
        name: {curve.arm_id: curve for curve in curves if any(curve.n)}
        for name, curves in metrics.items()
    }
    rows = panels.with_any(panels.of_arms(arms), reported.values())
    cells = [(panel, name) for panel in rows for name in reported]
    with _styled():
        one = len(reported) < 2
        columns = panels.columns(len(cells)) if one else len(reported)
        width = 4.2 if len(cells) < 2 else 3.2
        scales = [(name, panel.scale_group) for panel, name in cells]
        figure, every = _panels(scales, columns, width)
        named: _Named = {}
        shown = views(arms, metrics)
        for axes, (panel, name) in zip(every, cells, strict=False):
            metric, view = Metric(name), shown[name, panel.scale_group]
            for line in panel.lines:
                if curve := reported[name].get(line.of.id):
                    banded = curve.arm_id not in view.away
                    drawn = _draw_curve(axes, curve, metric.scale, line.look, banded=banded)
                    named.setdefault((line.name, line.look), drawn)
            if view.ends:
                axes.set_ylim(view.ends)
            if axes in every[:: len(reported)]:
                _title(axes, panel)
            if not one or axes in every[::columns]:
                axes.set_ylabel(metric.title)
            if by == "epoch":
                axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        for axes in every[-columns:]:
            axes.set_xlabel("epoch" if by == "epoch" else "time (s)")
        _legend(figure, named)
        _caption(figure, captions.learning_curves(metrics, arms))
        return figure


def against_keep_prob(summaries: Sequence[ArmSummary], metric: str, *, at: str = "last") -> Figure:
    """The mean against keep_prob with its 95 % t interval; `at`: where the numbers were read.

    Arms that are otherwise equal form a line; lines that do not fit one panel are spread over
    several (`panels.py`). Dotted: the mean without LRD (keep_prob = 1). A line breaks at an arm
    without a number. Lines without any number and arms without a keep_prob are not drawn, and
    nothing is if all arms have the same keep_prob.
    """
    kind, found = Metric(metric), panels.over_keep_prob(summaries)
    every = panels.with_numbers(found)
    with _styled():
        columns = panels.columns(len(every))
        scales = [panel.scale_group for panel in every]
        figure, axes_of = _panels(scales, columns, 3.6 if len(every) < 2 else 2.6)
        named: _Named = {}
        ticks, names, ends = panels.keep_prob_axis(found)
        for axes, panel in zip(axes_of, every, strict=False):
            for line, aside in zip(panel.lines, panels.set_apart(panel.lines), strict=True):
                drawn = _draw_points(axes, line.of, kind.scale, line.look, aside)
                named.setdefault((line.name, line.look), drawn)
            axes.set_xticks(ticks, names)
            axes.set_xlim(ends)
            _title(axes, panel)
        for axes in axes_of[-columns:]:
            axes.set_xlabel("keep probability (keep_prob)")
        for axes in axes_of[::columns]:
            axes.set_ylabel(kind.title)
        if not found:
            axes_of[0].set_axis_off()
            figure.set_figheight(_NOTHING)
        if len({line.name for panel in found for line in panel.lines}) > 1:
            _legend(figure, named)
        _caption(figure, captions.against_keep_prob(found, at))
        return figure


def forest(
    comparisons: Sequence[Comparison], arms: Sequence[ArmInfo] = (), *, at: str = "last"
) -> Figure:
    """Each difference from its baseline with its 95 % t interval, and p_holm next to it.

    Significant ones are filled. Comparisons without a pair are listed without a point. Each data
    set and model, as `arms` have them, has its own axis. `at`: where the numbers were read.
    """
    metric = Metric(comparisons[0].metric if comparisons else "")
    caption = captions.forest(comparisons, at)
    return _forest(blocks(comparisons, arms), metric, metric.difference_title, caption)


def effects(found: Sequence[Effect], *, at: str = "last") -> Figure:
    """Each main effect and interaction with its 95 % t interval, as a forest."""
    metric = Metric(found[0].metric if found else "")
    return _forest(blocks(found), metric, metric.effect_title, captions.effects(found, at))


def descent_paths(
    grids: Mapping[str, Grid], arms: Sequence[ArmInfo], paths: Mapping[ArmId, Sequence[Polyline]]
) -> Figure:
    """Each arm's paths over the contours of its surface, one panel per surface.

    Solid with LRD, dashed without; starts and optima are marked. A path is clipped at the edge of
    the grid, and ends where it is no longer finite.

    Args:
        grids: surface -> its heights.

    Raises:
        ValueError: a grid's sizes do not fit, or it has no finite value.
    """
    every = panels.of_descents(arms, paths)
    with _styled():
        figure, axes_of = _panels([None] * len(every), panels.columns(len(every)), 4.2)
        named: _Named = {}
        for axes, (surface, panel) in zip(axes_of, every.items(), strict=False):
            _draw_descents(axes, grids[surface], panel, paths, named)
            _title(axes, panel)
        _legend(figure, named)
        _caption(figure, captions.descent_paths(list(every)))
        return figure


def to_bytes(figure: Figure, kind: Literal["svg", "pdf", "png"], *, caption: bool = True) -> bytes:
    """The figure as a file, with or without its caption below; equal figures give equal bytes.

    Raises:
        KeyError: another kind.
    """
    metadata = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {}}[kind]
    out = io.BytesIO()
    for text in [] if caption else list(figure.texts):
        text.remove()  # all other text belongs to axes or legends
    with _styled():
        figure.savefig(out, format=kind, dpi=200, metadata=metadata, bbox_inches=_whole(figure))
    return out.getvalue()


# --- inside ---------------------------------------------------------------------------------------


@contextmanager
def _styled() -> Iterator[None]:
    """Apply our style to one thread at a time: matplotlib's settings belong to the process."""
    with _style_lock, mpl.rc_context(_STYLE | {"font.family": here()}), warnings.catch_warnings():
        # A label in a script that the font lacks is drawn as boxes, which is no reason to fail.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield


def _drawn(look: Look) -> dict[str, Any]:
    style = "--" if look.dashed else "-"
    return {"color": look.color, "marker": MARKERS[look.shape], "linestyle": style}


_Named = dict[tuple[str, Look | None], Any]
"""Entries of the legend: (name, look) -> what was drawn; marks have no look."""

_POINTS: dict[str, dict[str, Any]] = {
    "start": {"marker": "o", "color": "black", "linestyle": "none", "zorder": 4},
    "optimum": {
        "marker": "*", "color": PALETTE[2], "markersize": 9, "linestyle": "none", "zorder": 4,
    },
}  # fmt: skip


def _panels(scales: Sequence[Any], columns: int, width: float) -> tuple[Figure, list[Axes]]:
    """A pair of axes per scale, at least one. Those with equal scales, other than None, share them
    and have numbers only at the left and at the bottom."""
    count = max(1, len(scales))
    rows = math.ceil(count / columns)
    height = HEIGHT if rows == 1 else _ROW * rows
    figure = Figure(figsize=(width * columns, height), layout="constrained")
    every = list(figure.subplots(rows, columns, squeeze=False).flat)
    for spare in every[count:]:
        spare.remove()
    first: dict[Any, Axes] = {}
    for at, (axes, scale) in enumerate(zip(every, scales, strict=False)):
        if scale is None:
            continue
        if (like := first.setdefault(scale, axes)) is not axes:
            axes.sharex(like)
            axes.sharey(like)
        if at % columns and scales[at - 1] == scale:
            axes.tick_params(labelleft=False)
        if at + columns < count and scales[at + columns] == scale:
            axes.tick_params(labelbottom=False)
    return figure, every[:count]


def _title(axes: Axes, panel: Panel[Any]) -> None:
    if panel.title:
        figure = axes.get_figure(root=True)
        columns = axes.get_gridspec().ncols  # type: ignore[union-attr]
        room = _OF_PANEL * (figure.get_figwidth() if figure else 1) / columns
        axes.set_title(folded(panel.title, room), loc="left", fontsize=8)


def _draw_curve(axes: Axes, curve: Curve, scale: float, look: Look, *, banded: bool) -> Any:
    nan = float("nan")
    mean = [nan if value is None else value * scale for value in curve.mean]
    std = [nan if value is None else value * scale for value in curve.std]
    # About eight markers per line, offset from those of other lines; a single point shows its own.
    step = max(1, len(mean) // 8)
    offset = look.shape * step // 5 % step
    (line,) = axes.plot(curve.x, mean, markevery=(offset, step), **_drawn(look))
    band = np.array([mean, mean]) + np.outer([-1, 1], std)
    if banded:
        axes.fill_between(curve.x, *band, color=look.color, alpha=BAND, linewidth=0)
    return line


def _draw_points(
    axes: Axes,
    points: Points,
    scale: float,
    look: Look,
    aside: float,
) -> Any:
    x = [keep_prob + aside for keep_prob, _ in points]
    mean = [math.nan if each.mean is None else each.mean * scale for _, each in points]
    # No whisker where there is no interval.
    half = [math.nan if (h := each.half_width) is None else h * scale for _, each in points]
    if points[-1][0] == 1.0 and points[-1][1].mean is not None:
        axes.axhline(mean[-1], color=look.color, linestyle=":", linewidth=0.8)
    return axes.errorbar(x, mean, yerr=half, capsize=2, elinewidth=0.8, **_drawn(look))


def _draw_descents(
    axes: Axes,
    grid: Grid,
    panel: Panel[ArmInfo],
    paths: Mapping[ArmId, Sequence[Polyline]],
    named: _Named,
) -> None:
    axes.grid(visible=False)
    axes.contour(grid.x, grid.y, grid.z, grid.levels(), colors="#bbbbbb", linewidths=0.6, zorder=1)
    for line in panel.lines:
        style = {"linestyle": "--", "zorder": 3} if line.look.dashed else {"zorder": 2}
        for path in paths[line.of.id]:
            x, y = while_finite(path)
            (drawn,) = axes.plot(x, y, color=line.look.color, linewidth=1.0, **style)
            named[line.name, line.look] = drawn
            (named["start", None],) = axes.plot(x[:1], y[:1], **_POINTS["start"])
    for optimum in grid.optima:
        (named["optimum", None],) = axes.plot(*optimum, **_POINTS["optimum"])
    axes.set(
        xlabel="x", ylabel="y",
        xlim=(min(grid.x), max(grid.x)), ylim=(min(grid.y), max(grid.y)),
    )  # fmt: skip


def _forest(every: Sequence[Block], metric: Metric, title: str, caption: str) -> Figure:
    with _styled():
        texts = [
            (each.title, [row.title for row in each.rows], [row.tested for row in each.rows])
            for each in every
        ]
        figure, made = axes_with_rows(texts, title)
        for (axes, rows), block in zip(made, every, strict=True):
            axes.axvline(0, color="#666666", linewidth=0.8)
            for row, each in zip(rows, block.rows, strict=True):
                _draw_difference(axes, row, each, metric.scale)
            axes.grid(visible=False, axis="y")
            axes.locator_params(axis="x", nbins=5)  # numbers such as −0.015 need room
        _caption(figure, caption)
        return figure


def _draw_difference(axes: Axes, row: float, each: Row, scale: float) -> None:
    if each.difference is None:
        return
    if each.t_low is not None and each.t_high is not None:
        axes.plot([each.t_low * scale, each.t_high * scale], [row, row], color=PALETTE[0])
    face = PALETTE[0] if each.significant else "white"
    axes.plot(
        [each.difference * scale], [row], "o", color=PALETTE[0], markerfacecolor=face, zorder=3
    )


def _caption(figure: Figure, text: str) -> None:
    """Write the caption below the figure, where `_whole` makes room for it."""
    lines = "\n".join(textwrap.wrap(text, int(figure.get_figwidth() * 21)))
    below = -0.2 * _CAPTION_LINE / figure.get_figheight()
    figure.text(0.02, below, lines, va="top", fontsize=6.5, color="#555555")


def _whole(figure: Figure) -> Bbox:
    """The bounds of the figure with its caption, in inches.

    The layout is computed first and then kept, because it has no place for a caption below a
    legend.
    """
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for legend in figure.legends:
        legend.set_bbox_to_anchor((0, 0, 1, 1), figure.transFigure)
    lines = sum(1 + text.get_text().count("\n") for text in figure.texts)
    width, height = figure.get_size_inches()
    return Bbox.from_extents(0, -_CAPTION_LINE * (lines + 0.5), width, height)


def _legend(figure: Figure, named: _Named) -> None:
    """Draw the legend below the panels, marks last."""
    if named:
        entries = sorted(named.items(), key=lambda entry: entry[0][1] is None)
        names = [name for (name, _), _ in entries]
        add_legend(figure, [drawn for _, drawn in entries], names)
