"""Where a trial's number is read: at its last epoch, its best one, or a given one."""

import math

from service.analysis.data import Observation, Series
from service.analysis.metrics import Metric


def read(series: Series, metric: Metric, at: str) -> tuple[float | None, int | None]:
    """The value at `at` (`last`, `best` or `epoch:N`) and its epoch; (None, None) if there is none.

    `best` is the best finite value, the earliest of equals. It is chosen by the same numbers that
    it reports, so it flatters: see docs/statistics.md.

    Raises:
        ValueError: `at` is none of the three.
    """
    points = [(v, e) for v, e in zip(series.values, series.epochs, strict=True) if v is not None]
    if at == "last":
        found = [(v, e) for v, e in points if e == series.epochs[-1]]
    elif at == "best":
        finite = [(v, e) for v, e in points if math.isfinite(v)]
        found = [max(finite, key=lambda point: metric.better(point[0]))] if finite else []
    elif at.startswith("epoch:") and at[6:].isdecimal():
        found = [(v, e) for v, e in points if e == int(at[6:])]
    else:
        raise ValueError(f"at is last, best or epoch:N, got {at!r}")
    return found[0] if found else (None, None)


def observe(
    series: Series, metric: Metric, at: str, gpus: float = 0.0, cpus: float = 1.0
) -> Observation:
    """The trial as the statistics see it.

    Raises:
        ValueError: as `read`.
    """
    value, epoch = read(series, metric, at)
    return Observation(
        trial_id=series.trial_id,
        arm_id=series.arm_id,
        seed=series.seed,
        state=series.state,
        reason=series.reason,
        value=value,
        seconds=math.fsum(series.seconds),
        epochs_done=series.epochs[-1] if series.epochs else 0,
        epoch=epoch,
        gpus=gpus,
        cpus=cpus,
    )
