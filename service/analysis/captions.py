"""What each figure shows, in a sentence below it: what is drawn, the interval, and n."""

from collections.abc import Iterable, Mapping, Sequence

from service.analysis.arms import CONFIDENCE
from service.analysis.comparisons import ALPHA, Comparison
from service.analysis.curves import Curve
from service.analysis.panels import Panel, Points

_INTERVAL = f"{100 * CONFIDENCE:g} % Student t interval"


def learning_curves(metrics: Mapping[str, Sequence[Curve]]) -> str:
    """Of `figures.learning_curves` and its plot."""
    counts = [n for curves in metrics.values() for curve in curves for n in curve.n if n]
    return (
        "Mean over the seeds; band: ± 1 sample standard deviation (divided by n − 1); "
        f"dashed without LRD; {_range(counts, 'seed')}."
    )


def against_keep_prob(panels: Sequence[Panel[Points]]) -> str:
    """Of `figures.against_keep_prob` and its plot."""
    counts = [summary.n for panel in panels for line in panel.lines for _, summary in line.of]
    moved = "; lines set apart sideways" if any(len(panel.lines) > 1 for panel in panels) else ""
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


def descent_paths(surfaces: Sequence[str]) -> str:
    """Of `figures.descent_paths` and its plot."""
    of_one = f" on the surface {surfaces[0]}" if len(surfaces) == 1 and surfaces[0] else ""
    return (
        f"The first trial of each arm{of_one}; dashed without LRD; "
        "contours: equally many grid points between two of them."
    )


def _range(counts: Iterable[int], noun: str) -> str:
    """`n = 4 seeds an arm`, `n = 3 to 4 seeds an arm`."""
    found = sorted(set(counts)) or [0]
    low, high = found[0], found[-1]
    shown = str(high) if low == high else f"{low} to {high}"
    return f"n = {shown} {noun}{'' if high == 1 else 's'} an arm"
