"""How long a sweep will take, judged by trials of the past."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from lrd_core.spec import config_hash
from service.analysis.configurations import identity


@dataclass(frozen=True)
class Past:
    """A trial that ran, to the end or not."""

    config: Mapping[str, Any]
    epochs_done: int
    seconds: float
    """Wall-clock time of those epochs together."""


@dataclass(frozen=True)
class Estimate:
    """The time of the planned trials, from the median seconds per epoch of past ones like them."""

    trials: int
    exact: int
    """Trials whose very configuration has run before, but for its number of epochs."""
    alike: int
    """Trials judged by others with the same task, data set, model and batch size."""
    unknown: int
    """Trials of which nothing is known; they are in none of the seconds."""
    trial_seconds: float | None
    """All known trials one after the other; None where there are trials and none is known."""
    wall_seconds: float | None
    """The same with `slots` trials at once, at best: no waiting, no start-up, no retries."""
    slots: int

    def to_json(self) -> dict[str, Any]:
        """All fields."""
        return asdict(self)


def estimate(
    planned: Sequence[tuple[Mapping[str, Any], int]], past: Sequence[Past], slots: int = 1
) -> Estimate:
    """The time for `planned` arms: configurations (with their `epochs`), each with its trials.

    The seconds per epoch of a past trial are its mean; of several trials the median is taken. The
    machines are taken to be alike.

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
    known = exact + alike > 0 or unknown == 0  # where nothing is left to run, it takes no time
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
"""`data` among them: a first look at a few examples tells nothing of an epoch over all of them."""


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
