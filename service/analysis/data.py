"""Input of the analysis, and its interface to the store: arms, and trials seen in one metric."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

NON_FINITE = frozenset({"diverged", "not finite"})
"""The reasons in `Observation.missing` that count against the arm, because its own numbers stopped
being finite. A trial that ran out of memory says nothing about the arm."""


ArmId = int | str
"""Ids are only compared and passed on; the store uses integers."""


@dataclass(frozen=True)
class ArmInfo:
    """One configuration without its seed."""

    id: ArmId
    label: str
    """Its name, the same everywhere (`lrd_core.titles.arm_names`)."""
    config: dict[str, Any]
    """Defaults written out, nested: `config["optimizer"]["keep_prob"]`."""
    is_baseline: bool
    given: str = ""
    """The part of its name that the sweep gives it as a label."""
    is_primary: bool = True
    """Whether its comparison is one of those that the sweep is made for."""
    number: int = 0
    """Its place among the sweep's arms, from 1, which an import preserves."""


@dataclass(frozen=True, slots=True)
class Observation:
    """One trial seen through one metric at one place (last, best or a given epoch)."""

    trial_id: str
    arm_id: ArmId
    seed: int
    state: str
    """queued running succeeded failed cancelled"""
    reason: str | None
    """diverged oom error stalled lost timeout user"""
    value: float | None
    """The metric, which may be NaN or infinite; None if it was not reported."""
    seconds: float
    """Wall-clock time, summed over the epochs."""
    epochs_done: int
    epoch: int | None = None
    """The epoch at which `value` was read; None: the last one."""
    gpus: float = 0.0
    """Resources held while the trial ran; a share such as 0.25 is possible."""
    cpus: float = 1.0

    @property
    def missing(self) -> str | None:
        """Why this trial gives no number, in a word or two; None if it gives one.

        A number counts only if the trial succeeded and the value is finite. What a diverged trial
        reported before it diverged is not its result.
        """
        if self.state == "succeeded":
            if self.value is None:
                return "not reported"
            return None if math.isfinite(self.value) else "not finite"
        if self.state == "failed":
            return self.reason if self.reason == "diverged" else f"failed: {self.reason or 'error'}"
        return self.state


@dataclass(frozen=True)
class Series:
    """One trial's metric, epoch by epoch."""

    trial_id: str
    arm_id: ArmId
    seed: int
    state: str
    reason: str | None
    epochs: tuple[int, ...]
    """Rising; counted from 1."""
    values: tuple[float | None, ...]
    """One per epoch, possibly NaN or infinite; None where it was not reported."""
    seconds: tuple[float, ...]
    """Wall-clock time of each epoch, not cumulative."""

    def __post_init__(self) -> None:
        if not len(self.epochs) == len(self.values) == len(self.seconds):
            raise ValueError(f"trial {self.trial_id}: epochs, values and seconds differ in length")

    @property
    def diverged(self) -> bool:
        """Whether the trial diverged, or succeeded with a last value that is not finite."""
        if self.state == "failed":
            return self.reason == "diverged"
        last = self.values[-1] if self.values else None
        return self.state == "succeeded" and last is not None and not math.isfinite(last)
