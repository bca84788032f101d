"""Models of the rows in a bundle's files; each has exactly the columns of its table."""

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from lrd_core.configuration import Spec
from lrd_core.spec import MAX_SEED, MaxConcurrent, MaxFailures, Priority, Tags
from lrd_core.texts import Text
from service.lifecycle import Reason, TrialState

Id = Annotated[int, Field(ge=0, lt=2**63)]
"""An id of the service that made the bundle. It links rows; the importing service replaces it."""
SweepId = Annotated[str, Field(pattern=r"^[0-9a-hjkmnp-tv-z]{12}$")]
"""Ids of sweeps, as `store.sweeps` makes them."""
Count = Annotated[int, Field(ge=0, le=1_000_000_000)]
Epoch = Annotated[int, Field(ge=1, le=100_000)]
Time = Annotated[float, Field(ge=0, le=253_000_000_000)]
"""Seconds since 1970, before the year 9988, which a calendar can still show."""
Seconds = Annotated[float, Field(ge=0, le=1e12)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Message = Annotated[str, Field(max_length=100_000, pattern=r"^[^\x00]*$")]
"""A message of a failed trial: anything except NUL, which PostgreSQL does not accept."""
Word = Annotated[Text, Field(max_length=200)]
Holder = Annotated[Text, Field(min_length=1, max_length=36)]
Scalar = bool | Annotated[int, Field(ge=-(2**63), lt=2**63)] | float | Message | None
Number = float | Literal["NaN", "Infinity", "-Infinity"]
"""A number as `lrd_core.report.encode_number` writes it."""


class SweepRow(Spec):
    """The one row of rows/sweep.jsonl."""

    id: SweepId
    name: Word
    spec: dict[str, Any]
    code_version: Annotated[Text, Field(min_length=1, max_length=80)]
    trials_total: Count
    queued: Count
    running: Count
    succeeded: Count
    failed: Count
    cancelled: Count
    priority: Priority
    max_concurrent: MaxConcurrent | None
    max_failures: MaxFailures | None = None
    tags: Tags = []
    waiting_for: Message | None
    created_at: Time
    started_at: Time | None
    finished_at: Time | None
    paused_at: Time | None
    cancel_requested_at: Time | None
    version: Count
    owner: Word | None
    gpu_share: Annotated[float, Field(ge=0, le=1)] | None


class ArmRow(Spec):
    """A row of rows/arms.jsonl."""

    id: Id
    sweep_id: SweepId
    position: Count
    label: Annotated[Text, Field(min_length=1, max_length=20_000)]
    config: dict[str, Any]
    config_sha256: Sha256
    is_baseline: bool
    is_primary: bool = True


class TrialRow(Spec):
    """A row of rows/trials.jsonl. The trial has ended: nothing is pending and nobody holds it."""

    id: Id
    sweep_id: SweepId
    arm_id: Id
    seed: Annotated[int, Field(ge=0, le=MAX_SEED)]
    state: TrialState
    reason: Reason | None
    message: Message | None
    attempt: Count
    losses: Count
    not_before: Time | None
    alone: bool
    dispatcher_id: Holder | None
    epochs: Epoch
    epochs_done: Count
    last_report: dict[str, Any] | None
    seconds: Seconds
    cpus: Annotated[float, Field(ge=0, le=1024)]
    gpus: Annotated[float, Field(ge=0, le=64)]
    weights_sha256: Sha256 | None
    reused_from: Id | None
    cancel_requested_at: Time | None
    created_at: Time
    started_at: Time | None
    finished_at: Time | None
    reported_at: Time | None


class AttemptRow(Spec):
    """A row of rows/attempts.jsonl."""

    trial_id: Id
    attempt: Count
    dispatcher_id: Holder
    started_at: Time
    ended_at: Time | None
    outcome: TrialState | Reason | None
    message: Message | None
    environment: (
        Annotated[dict[Word, Scalar | list[Scalar] | dict[Word, Scalar]], Field(max_length=100)]
        | None
    )
    recomputed_from: Epoch | None = None
    recomputed_to: Epoch | None = None
    different_epoch: Epoch | None = None

    @field_validator("environment")
    @classmethod
    def _counts(cls, value: dict[str, Any] | None) -> dict[str, Any] | None:
        """Of all that stands there, only this is read as a number."""
        count = (value or {}).get("parameters")
        if not (count is None or (isinstance(count, int) and not isinstance(count, bool))):
            raise ValueError(f"parameters is their number, got {count!r}")
        return value


class EpochRow(Spec):
    """One epoch in rows/reports.jsonl, as `lrd_core.report.EpochReport` writes it."""

    model_config = {**Spec.model_config, "extra": "allow"}
    __pydantic_extra__: dict[Annotated[Text, Field(min_length=1, max_length=100)], Number]

    epoch: Epoch
    lr: float
    seconds: Seconds


class ReportRow(Spec):
    """A row of rows/reports.jsonl."""

    trial_id: Id
    epoch: Epoch
    attempt: Count
    report: EpochRow
    sha256: Sha256
    checkpoint: Word | None
    checkpoint_sha256: Sha256 | None
    recorded_at: Time


class EventRow(Spec):
    """A row of rows/events.jsonl."""

    id: Id
    sweep_id: SweepId
    trial_id: Id | None
    attempt: Count | None
    at: Time
    kind: Annotated[Text, Field(min_length=1, max_length=40)]
    from_state: TrialState | None
    to_state: TrialState | None
    reason: Reason | None
    message: Message | None


ROWS: dict[str, type[Spec]] = {
    "sweep": SweepRow, "arms": ArmRow, "trials": TrialRow, "attempts": AttemptRow,
    "reports": ReportRow, "events": EventRow,
}  # fmt: skip
