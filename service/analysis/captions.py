"""What each figure shows, in a sentence below it: what is drawn, the interval, and n."""

from collections.abc import Iterable, Mapping, Sequence

from service.analysis.arms import CONFIDENCE, ArmSummary
from service.analysis.comparisons import ALPHA, Comparison
from service.analysis.curves import Curve

_INTERVAL = f"{100 * CONFIDENCE:g} % Student t interval"


def learning_curves(panels: Mapping[str, Sequence[Curve]]) -> str:
    """Of `figures.learning_curves` and its plot."""
    counts = [n for curves in panels.values() for curve in curves for n in curve.n if n]
    return (
        "Mean over the seeds; band: ± 1 sample standard deviation (divided by n − 1); "
        f"dashed without LRD; {_range(counts, 'seed')}."
    )


def against_keep_prob(lines: Mapping[str, Sequence[tuple[float, ArmSummary]]]) -> str:
    """Of `figures.against_keep_prob` and its plot."""
    counts = [summary.n for points in lines.values() for _, summary in points]
    moved = "; lines set apart sideways" if len(lines) > 1 else ""
    return (
        f"Mean over the seeds; bar: its {_INTERVAL}; dotted: the mean without LRD{moved}; "
        f"{_range(counts, 'seed')}."
    )


def forest(comparisons: Sequence[Comparison]) -> str:
    """Of `figures.forest` and its plot."""
    return (
        f"Mean difference of the pairs (equal seeds); bar: its {_INTERVAL}, not adjusted for the "
        f"number of comparisons; filled: p (Holm) < {ALPHA:g}; "
        f"{_range((each.n for each in comparisons), 'pair')}."
    )


def descent_paths(surface: str) -> str:
    """Of `figures.descent_paths` and its plot; `surface`: its name, for a sweep may have others."""
    where = f" on the surface {surface}" if surface else ""
    return (
        f"The first trial of each arm{where}; dashed without LRD; "
        "contours: equally many grid points between two of them."
    )


def _range(counts: Iterable[int], noun: str) -> str:
    """`n = 4 seeds an arm`, `n = 3 to 4 seeds an arm`."""
    found = sorted(set(counts)) or [0]
    low, high = found[0], found[-1]
    shown = str(high) if low == high else f"{low} to {high}"
    return f"n = {shown} {noun}{'' if high == 1 else 's'} an arm"
