"""Figures for a paper: learning curves, a metric against keep_prob, a forest of comparisons.

Matplotlib's `Figure` without pyplot: nothing is global, nothing needs a display. Colours are those
of Okabe and Ito, told apart with every kind of colour vision; in grey the dashes (without LRD) and
the markers remain.
"""

import io
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from service.analysis.arms import ArmSummary
from service.analysis.comparisons import Comparison
from service.analysis.configurations import (
    ABSENT,
    KEEP_PROB,
    Flat,
    distinguishing,
    flatten,
    identity,
    speaking_titles,
    varying,
)
from service.analysis.curves import Curve
from service.analysis.data import ArmInfo
from service.analysis.metrics import Metric

PALETTE = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999933",
)  # fmt: skip
"""Okabe and Ito (2008), darkest first; their yellow, invisible on paper, is olive here."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">", "p")
MEDIA_TYPES = {"svg": "image/svg+xml", "pdf": "application/pdf", "png": "image/png"}

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
    looks = _looks(arms)
    with _styled():
        figure = Figure(figsize=(3.2 * max(1, len(panels)), 3.2), layout="constrained")
        every = figure.subplots(1, max(1, len(panels)), squeeze=False)[0]
        handles: dict[str, Any] = {}
        for axes, (name, curves) in zip(every, panels.items(), strict=False):
            metric = Metric(name)
            for curve in curves:
                if any(n > 0 for n in curve.n):
                    line = _draw_curve(axes, curve, metric.scale, looks[curve.arm_id])
                    handles.setdefault(curve.arm_id, line)
            axes.set(xlabel="epoch" if by == "epoch" else "time (s)", ylabel=metric.title)
        labels = {arm.id: arm.label for arm in arms if arm.id in handles}
        _legend(figure, [handles[key] for key in labels], list(labels.values()))
        return figure


def against_keep_prob(summaries: Sequence[ArmSummary], metric: str) -> Figure:
    """The mean against p with its 95 % t interval; one line for each configuration otherwise equal.

    Arms without a number or without a keep_prob are not drawn.
    """
    kind, drawn = Metric(metric), [each for each in summaries if each.mean is not None]
    flats = [flatten(each.arm.config) for each in drawn]
    lines = _group(flats)
    with _styled():
        figure = Figure(figsize=(3.6, 3.2), layout="constrained")
        axes = figure.subplots()
        handles = []
        for index, members in enumerate(lines.values()):
            points = sorted(
                ((flats[i][KEEP_PROB], drawn[i]) for i in members if KEEP_PROB in flats[i]),
                key=lambda point: point[0],
            )
            if points:
                handles.append(_draw_points(axes, points, kind.scale, index))
        axes.set(xlabel="keep probability p", ylabel=kind.title)
        if len(lines) > 1:
            _legend(figure, handles, list(lines))
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
        unit = " (percentage points)" if metric.is_share else ""
        better = "right" if metric.higher_is_better else "left"
        name = metric.name.replace("_", " ")
        axes.set_xlabel(f"difference in {name}{unit}, arm − baseline; better to the {better}")
        return figure


def to_bytes(figure: Figure, kind: Literal["svg", "pdf", "png"]) -> bytes:
    """The figure as a file; equal figures give equal bytes.

    Raises:
        KeyError: another kind.
    """
    metadata = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {}}[kind]
    out = io.BytesIO()
    with _styled():
        figure.savefig(out, format=kind, dpi=200, metadata=metadata)
    return out.getvalue()


# --- inside ---------------------------------------------------------------------------------------

_Look = dict[str, Any]


@contextmanager
def _styled() -> Iterator[None]:
    """Matplotlib's settings belong to the process: one thread at a time."""
    with _style_lock, mpl.rc_context(_STYLE), warnings.catch_warnings():
        # A label in a script that the font lacks is drawn as boxes; that is no reason to fail.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield


def _group(flats: Sequence[Flat]) -> dict[str, list[int]]:
    """What arms have in common but for keep_prob, as it reads -> their places."""
    paths = [path for path in varying(flats) if path != KEEP_PROB]
    telling = distinguishing(flats, paths)
    names = [""] * len(flats)
    for path in telling:
        titles = speaking_titles(path, [flat.get(path, ABSENT) for flat in flats])
        for index, title in enumerate(titles):
            names[index] += (", " if names[index] else "") + title
    groups: dict[str, list[int]] = {}
    for index, name in enumerate(names):
        groups.setdefault(name, []).append(index)
    return groups


def _looks(arms: Sequence[ArmInfo]) -> dict[str, _Look]:
    """Arm id -> colour, dashes and marker."""
    flats = [flatten(arm.config) for arm in arms]
    groups = list(_group(flats).values())
    values = [identity(flat.get(KEEP_PROB, ABSENT)) for flat in flats]
    # Several values of p with LRD in a group need colours of their own.
    crowded = any(sum(values[i] != 1.0 for i in group) > 1 for group in groups)
    looks: dict[str, _Look] = {}
    for number, group in enumerate([[i] for i in range(len(arms))] if crowded else groups):
        for index in group:
            looks[arms[index].id] = {
                "color": PALETTE[number % len(PALETTE)],
                "marker": MARKERS[number % len(MARKERS)],
                "linestyle": "--" if values[index] == 1.0 else "-",
            }
    return looks


def _draw_curve(axes: Axes, curve: Curve, scale: float, look: _Look) -> Any:
    nan = float("nan")
    mean = [nan if value is None else value * scale for value in curve.mean]
    std = [nan if value is None else value * scale for value in curve.std]
    # Some eight markers a line, not where another line has them; a single point shows its own.
    step = max(1, len(mean) // 8)
    offset = MARKERS.index(look["marker"]) * step // 5 % step
    (line,) = axes.plot(curve.x, mean, markevery=(offset, step), **look)
    low = [m - s for m, s in zip(mean, std, strict=True)]
    high = [m + s for m, s in zip(mean, std, strict=True)]
    axes.fill_between(curve.x, low, high, color=look["color"], alpha=0.18, linewidth=0)
    return line


def _draw_points(
    axes: Axes, points: Sequence[tuple[float, ArmSummary]], scale: float, index: int
) -> Any:
    x = [keep_prob for keep_prob, _ in points]
    mean = [(each.mean or 0.0) * scale for _, each in points]
    # The interval is symmetric about the mean; of one seed there is none.
    half = [
        0.0 if each.ci_high is None else each.ci_high * scale - m
        for (_, each), m in zip(points, mean, strict=True)
    ]
    look: _Look = {"color": PALETTE[index % len(PALETTE)], "marker": MARKERS[index % len(MARKERS)]}
    return axes.errorbar(x, mean, yerr=half, capsize=2, elinewidth=0.8, **look)


def _draw_difference(axes: Axes, row: int, each: Comparison, scale: float) -> None:
    if each.difference is not None:
        if each.t_low is not None and each.t_high is not None:
            axes.plot([each.t_low * scale, each.t_high * scale], [row, row], color=PALETTE[0])
        face = PALETTE[0] if each.significant else "white"
        axes.plot(
            [each.difference * scale], [row], "o", color=PALETTE[0], markerfacecolor=face, zorder=3
        )
    p = "" if each.p_holm is None else f"  p (Holm) = {each.p_holm:.2g}"
    axes.annotate(
        f"n = {each.n}{p}",
        (1.01, row),
        xycoords=("axes fraction", "data"),
        va="center",
        annotation_clip=False,
    )


def _legend(figure: Figure, handles: Sequence[Any], labels: Sequence[str]) -> None:
    if not handles:
        return
    longest = max(len(label) for label in labels)
    width = max(1, int(figure.get_figwidth() * 14 / (longest + 6)))
    legend = figure.legend(
        list(handles),
        [str(index) for index in range(len(labels))],
        loc="outside lower center",
        ncols=min(len(labels), width),
    )
    # Set afterwards: matplotlib would leave out a label that starts with an underscore.
    for text, label in zip(legend.get_texts(), labels, strict=True):
        text.set_text(label)
