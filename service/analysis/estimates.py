"""Estimate how long a sweep will take, from past trials."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from lrd_core.spec import config_hash
from service.analysis.configurations import identity


@dataclass(frozen=True)
class Past:
    """A trial that ran, whether or not to its end."""

    config: Mapping[str, Any]
    epochs_done: int
    seconds: float
    """Total wall-clock time of those epochs."""


@dataclass(frozen=True)
class Estimate:
    """The time of the planned trials, from the median seconds per epoch of similar past ones."""

    trials: int
    exact: int
    """Trials whose configuration has run before, apart from its number of epochs."""
    alike: int
    """Trials estimated from others with the same task, data set, model and batch size."""
    unknown: int
    """Trials that cannot be estimated; they are in none of the seconds."""
    trial_seconds: float | None
    """All known trials one after another; None if there are trials and none is known."""
    wall_seconds: float | None
    """The same with `slots` trials at once, at best: without waiting, start-up or retries."""
    slots: int

    def to_json(self) -> dict[str, Any]:
        """All fields."""
        return asdict(self)


def estimate(
    planned: Sequence[tuple[Mapping[str, Any], int]], past: Sequence[Past], slots: int = 1
) -> Estimate:
    """The time for `planned` arms: configurations (with their `epochs`), each with its trials.

    A past trial counts with its mean seconds per epoch, and several with the median of theirs. All
    machines are assumed to be alike.

    Raises:
        ValueError: `slots` below 1.
    """
    if slots < 1:
        raise ValueError(f"slots is at least 1, got {slots}")
    same, like = _rates(past, _all_but_epochs), _rates(past, _kind)
    exact = alike = unknown = 0
    total = longest = 0.0
    for config, trials in planned:
        rate = same.get(_all_but_epochs(config))
        if rate is not None:
            exact += trials
        elif (rate := like.get(_kind(config))) is not None:
            alike += trials
        else:
            unknown += trials
            continue
        seconds = rate * config["epochs"]
        total += seconds * trials
        longest = max(longest, seconds if trials else 0.0)
    known = exact + alike > 0 or unknown == 0  # nothing left to run takes no time
    return Estimate(
        trials=exact + alike + unknown,
        exact=exact,
        alike=alike,
        unknown=unknown,
        trial_seconds=total if known else None,
        wall_seconds=max(total / slots, longest) if known else None,
        slots=slots,
    )


# --- inside ---------------------------------------------------------------------------------------

_KIND = ("task", "dataset", "data", "model", "batch_size")
"""`data` is included: a first look at a few examples says nothing about an epoch over all."""


def _rates(past: Sequence[Past], key: Any) -> dict[Any, float]:
    found: dict[Any, list[float]] = {}
    for trial in past:
        if trial.epochs_done > 0:
            found.setdefault(key(trial.config), []).append(trial.seconds / trial.epochs_done)
    return {name: median(rates) for name, rates in found.items()}


def _all_but_epochs(config: Mapping[str, Any]) -> Any:
    return config_hash({name: value for name, value in config.items() if name != "epochs"})


def _kind(config: Mapping[str, Any]) -> Any:
    return tuple(identity(config.get(name)) for name in _KIND)
