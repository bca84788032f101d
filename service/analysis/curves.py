"""Mean learning curves: an arm's metric over its seeds, against epochs or seconds."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from service.analysis.arms import statistics_of
from service.analysis.data import ArmId, ArmInfo, Floats, Series


@dataclass(frozen=True)
class Curve:
    """One arm's curve; `x`, `epochs`, `mean`, `std` and `n` are of equal length, x rising.

    At each epoch the statistics are over the trials that reported a finite value there. So n falls
    where trials diverged or have not arrived yet, and the mean may jump: show n, or mention it.
    """

    arm_id: ArmId
    label: str
    trials: int
    """Trials with at least one report, whatever their state."""
    epochs: tuple[int, ...]
    """Counted from 1."""
    x: tuple[float, ...]
    """The epochs, or seconds: the running sum of each epoch's mean duration. If all trials are
    present, that is their mean time of arrival."""
    mean: tuple[float | None, ...]
    """None where n = 0: a gap in the line."""
    std: tuple[float | None, ...]
    """Sample standard deviation (divided by n − 1); None where n < 2."""
    n: tuple[int, ...]
    thinned_from: int | None
    """The number of points before thinning; None if all were kept."""
    planned: int
    """All trials of the arm, whatever their state."""
    diverged: tuple[int, ...]
    """The seeds that diverged, or succeeded with a last value that is not finite: they are missing
    from that epoch on."""
    n_least: int | None
    """The smallest n at any epoch of which some trial reported a value; 0 if all trials diverged;
    None if none reported anything."""
    n_most: int | None
    """The largest n at any epoch."""

    def to_json(self) -> dict[str, Any]:
        """All fields; tuples become lists in JSON."""
        return asdict(self)


def mean_curves(
    arms: Sequence[ArmInfo],
    series: Iterable[Series],
    *,
    by: Literal["epoch", "seconds"] = "epoch",
    points: int | None = None,
) -> list[Curve]:
    """One curve per arm, in the order of `arms`; an arm without reports has an empty one.

    `points`: how many to keep, at most (see `thin`); None keeps all.

    Raises:
        ValueError: a series names an unknown arm, or `points` is below 2.
    """
    of_arm: dict[ArmId, list[Series]] = {arm.id: [] for arm in arms}
    for each in series:
        if each.arm_id not in of_arm:
            raise ValueError(f"trial {each.trial_id}: no arm {each.arm_id}")
        of_arm[each.arm_id].append(each)
    return [_curve(arm, of_arm[arm.id], by, points) for arm in arms]


def thin(x: Sequence[float], y: Sequence[float | None], points: int) -> list[int]:
    """The indices of at most `points` points that preserve the look of the line, in order.

    Largest triangle, three buckets (Steinarsson 2013): each bucket keeps the point that spans the
    largest triangle with the point kept before it and the mean of the next bucket. Spikes survive,
    and so do the first and the last point.

    Raises:
        ValueError: `points` below 2.
    """
    if points < 2:
        raise ValueError(f"the first and the last point are kept: at least 2 points, got {points}")
    if len(x) <= points:
        return list(range(len(x)))
    xs, ys = np.asarray(x, dtype=np.float64), _filled(y)
    edges = np.linspace(1, len(xs) - 1, points - 1).astype(int).tolist()
    kept = [0]
    for start, end, after in zip(edges, edges[1:], [*edges[2:], len(xs)], strict=False):
        next_x, next_y = xs[end:after].mean(), ys[end:after].mean()
        last_x, last_y = xs[kept[-1]], ys[kept[-1]]
        areas = np.abs(
            (last_x - next_x) * (ys[start:end] - last_y)
            - (last_x - xs[start:end]) * (next_y - last_y)
        )
        kept.append(start + int(areas.argmax()))
    return [*kept, len(xs) - 1]


# --- inside ---------------------------------------------------------------------------------------


def _curve(arm: ArmInfo, series: Sequence[Series], by: str, points: int | None) -> Curve:
    values: dict[int, list[float]] = {}
    known: set[int] = set()
    seconds: dict[int, list[float]] = {}
    for each in series:
        for epoch, value, spent in zip(each.epochs, each.values, each.seconds, strict=True):
            at = values.setdefault(epoch, [])
            if value is not None:
                known.add(epoch)
                if np.isfinite(value):
                    at.append(value)
            seconds.setdefault(epoch, []).append(spent)
    epochs = sorted(values)
    statistics = statistics_of([values[epoch] for epoch in epochs])
    x = [float(epoch) for epoch in epochs]
    if by == "seconds":
        x = np.cumsum([np.mean(seconds[epoch]) for epoch in epochs]).tolist()
    mean = [each["mean"] for each in statistics]
    diverged = tuple(each.seed for each in series if each.diverged)
    counts = [len(values[epoch]) for epoch in sorted(known)]
    counts += [0] if diverged and len(diverged) == len(series) else []
    kept = list(range(len(x))) if points is None else thin(x, mean, points)
    return Curve(
        arm_id=arm.id,
        label=arm.label,
        trials=sum(bool(each.epochs) for each in series),
        epochs=tuple(epochs[index] for index in kept),
        x=tuple(x[index] for index in kept),
        mean=tuple(mean[index] for index in kept),
        std=tuple(statistics[index]["std"] for index in kept),
        n=tuple(len(values[epochs[index]]) for index in kept),
        thinned_from=len(x) if len(kept) < len(x) else None,
        planned=len(series),
        diverged=diverged,
        n_least=min(counts, default=None),
        n_most=max(counts, default=None),
    )


def _filled(y: Sequence[float | None]) -> Floats:
    """The values with gaps bridged by straight lines, for measuring only."""
    ys = np.array([np.nan if value is None else value for value in y], dtype=np.float64)
    known = np.flatnonzero(np.isfinite(ys))
    if not known.size:
        return np.zeros_like(ys)
    top = np.abs(ys[known]).max() or 1.0  # the area of two losses of 1e200 would overflow
    return np.asarray(np.interp(np.arange(len(ys)), known, ys[known] / top))
