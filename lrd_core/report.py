"""EpochReport: the published result of one epoch. Free of torch, so that everyone may import it."""

import math
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

BESIDE_METRICS = ("epoch", "lr", "seconds")
"""A report's fields besides its metrics."""
RESERVED = (*BESIDE_METRICS, "trial_id", "arm_id", "arm", "seed", "attempt", "recorded_at")
"""Names that no metric may have: lists and files have columns of these names next to a report."""

# JSON has no word for these; the strings are those of the protobuf JSON mapping.
_NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def encode_number(value: float) -> float | str:
    """The number itself if JSON can carry it, else one of "NaN", "Infinity", "-Infinity"."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def decode_number(value: float | str) -> float:
    """Inverse of `encode_number`.

    Raises:
        KeyError: for any other string.
    """
    return _NOT_FINITE[value] if isinstance(value, str) else float(value)


class EpochReport(BaseModel):
    """The outcome of one epoch. Accuracies are shares, 0 to 1; losses are means per example."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    epoch: int = Field(ge=1)
    """Counted from 1."""
    lr: float
    """Learning rate of the first parameter group during this epoch."""
    seconds: float = Field(ge=0)
    """Wall-clock time of this epoch, training and evaluation."""
    metrics: dict[str, float]
    """Name to value, e.g. `test_accuracy`; may hold NaN and infinities."""

    def to_json(self) -> dict[str, Any]:
        """Flat and JSON-safe: `{"epoch": 1, "train_loss": 0.4, …, "lr": 0.1, "seconds": 2.5}`."""
        numbers = {name: encode_number(value) for name, value in self.metrics.items()}
        return {"epoch": self.epoch, **numbers, "lr": self.lr, "seconds": self.seconds}
