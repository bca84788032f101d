"""Captions of figures: what each draws, its intervals and n."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from service.analysis.arms import CONFIDENCE
from service.analysis.comparisons import Comparison
from service.analysis.curves import Curve
from service.analysis.data import ArmId, ArmInfo
from service.analysis.effects import Effect
from service.analysis.metrics import Metric
from service.analysis.paired import ALPHA
from service.analysis.subjects import place_read
from service.drawing.panels import Panel, Points, with_numbers
from service.drawing.scales import View, views
from service.formatting import count, listed

_INTERVAL = f"{100 * CONFIDENCE:g} % Student t interval"
_NAMED = 3
"""Arms with seeds missing that are named; the rest are counted."""


def learning_curves(metrics: Mapping[str, Sequence[Curve]], arms: Sequence[ArmInfo] = ()) -> str:
    """The caption of `figures.learning_curves` and its plot; `arms` tell which share a scale."""
    every = [curve for curves in metrics.values() for curve in curves]
    counts = [n for curve in every for n in (curve.n_least, curve.n_most) if n is not None]
    return (
        "Mean over the seeds; band: ± 1 sample standard deviation (divisor n − 1); "
        f"dashed: without LRD; {_outside(views(arms, metrics))}{_range(counts, 'seed')}"
        f"{_diverged(every)}."
    )


def against_keep_prob(panels: Sequence[Panel[Points]], at: str = "last") -> str:
    """The caption of `figures.against_keep_prob` and its plot; `panels` include undrawn lines."""
    if not panels:
        return "Nothing is drawn: all arms have the same keep_prob."
    counts = [each.n for panel in panels for line in panel.lines for _, each in line.of if each.n]
    apart = any(len(panel.lines) > 1 for panel in with_numbers(panels))
    return (
        f"Mean over the seeds, {_read(at)}; {_bars(counts)}; dotted: the mean without LRD"
        f"{'; lines offset sideways' if apart else ''}{_without(panels)}; "
        f"{_range(counts, 'seed')}."
    )


def forest(comparisons: Sequence[Comparison], at: str = "last") -> str:
    """The caption of `figures.forest` and its plot."""
    counts = [each.n for each in comparisons]
    return (
        f"Mean difference of the pairs (same seed), {_read(at)}; "
        f"{_bars(counts, ', not adjusted for the number of comparisons')}; "
        f"filled: p (Holm) < {ALPHA:g}{_unmarked(comparisons)}; {_range(counts, 'pair')}."
    )


def effects(found: Sequence[Effect], at: str = "last") -> str:
    """The caption of `figures.effects` and its plot."""
    both = any(each.kind == "interaction" for each in found)
    crossed = "A × B: how much larger the effect of A is with B than without; " if both else ""
    families = ", main effects and interactions separately" if both else ""
    counts = [each.n for each in found]
    bars = _bars(
        [each.n_least for each in found],
        ", not adjusted for the number of effects",
        alone="no bar: a setting with one seed",
    )
    return (
        "Effect of each factor, its level minus the reference, averaged over the settings of the "
        f"others, {_read(at)}; {crossed}"
        f"{bars}; filled: p (Holm{families}) < {ALPHA:g}{_unmarked(found)}; "
        f"{_range(counts, 'seed', '')}."
    )


def descent_paths(surfaces: Sequence[str]) -> str:
    """The caption of `figures.descent_paths` and its plot."""
    of_one = f" on the surface {surfaces[0]}" if len(surfaces) == 1 and surfaces[0] else ""
    return (
        f"The first trial of each arm{of_one}; dashed: without LRD; "
        "contours: the same number of grid points between each two."
    )


def _unmarked(found: Iterable[Comparison | Effect]) -> str:
    """A remark if some are hollow in spite of the p next to them."""
    some = any(
        each.survivors_only and each.p_holm is not None and each.p_holm < ALPHA for each in found
    )
    return ", but hollow where only the surviving seeds support it" if some else ""


def _read(at: str) -> str:
    """`read at the last epoch`; for the best epoch, with its bias."""
    the = "" if at.startswith("epoch:") else "the "
    flatters = ", which favours the arm that fluctuates more" if at == "best" else ""
    return f"read at {the}{place_read(at)}{flatters}"


def _bars(counts: Sequence[int], more: str = "", alone: str = "no bar: n = 1") -> str:
    """What the bars are, if there are any, and that a single number has none."""
    if {*counts} - {0} == {1}:
        return alone
    return f"bar: its {_INTERVAL}{more}{f'; {alone}' if 1 in counts else ''}"


def _outside(found: Mapping[tuple[str, int], View]) -> str:
    """`1 arm goes off scale (train loss); curves off scale have no band; `, or nothing."""
    away: dict[str, int] = {}
    for (name, _), view in found.items():
        away[name] = away.get(name, 0) + len(view.away)
    said = ""
    for name, arms_away in away.items():
        if arms_away:
            arms = "1 arm goes" if arms_away == 1 else f"{arms_away} arms go"
            said += f"{arms} off scale ({Metric(name).words}); "
    return said + "curves off scale have no band; " if said else ""


def _diverged(curves: Iterable[Curve]) -> str:
    """`; 7 of 12 trials diverged and are missing from that epoch on: SGDM (6/6), Adam (1/6)`, or
    nothing; `curves`: those of all metrics."""
    lost: dict[ArmId, set[int]] = {}
    of_arm: dict[ArmId, Curve] = {}
    for curve in curves:
        of_arm[curve.arm_id] = curve
        lost.setdefault(curve.arm_id, set()).update(curve.diverged)
    names = [
        f"{of_arm[key].label} ({len(seeds)}/{of_arm[key].planned})"
        for key, seeds in lost.items()
        if seeds
    ]
    if not names:
        return ""
    trials, planned = sum(map(len, lost.values())), sum(each.planned for each in of_arm.values())
    verb = "is" if trials == 1 else "are"
    return (
        f"; {trials} of {count(planned, 'trial')} diverged and {verb} missing from that epoch on: "
        f"{listed(names, most=_NAMED)}"
    )


def _without(panels: Sequence[Panel[Points]]) -> str:
    """`; without a number: Adam at 0.5 (0/10) and 2 more`, or nothing."""
    names = list(_numberless(panels))
    if not names:
        return ""
    return f"; without a number: {listed(names, most=_NAMED)}"


def _numberless(panels: Sequence[Panel[Points]]) -> Iterator[str]:
    """The arms without a number."""
    for panel in panels:
        for line in panel.lines:
            name = ", ".join(part for part in (panel.title, line.name) if part) or "keep_prob"
            for keep_prob, each in line.of:
                if each.mean is None:
                    yield f"{name} at {keep_prob:g} ({each.count})"


def _range(counts: Iterable[int], noun: str, each: str = " per arm") -> str:
    """`n = 4 seeds per arm`, `n = 3 to 4 seeds per arm`."""
    found = sorted(set(counts)) or [0]
    low, high = found[0], found[-1]
    shown = str(high) if low == high else f"{low} to {high}"
    return f"n = {shown} {noun}{'' if high == 1 else 's'}{each}"
