"""Sweeps, arms and trials, with what trials report and what happens to them."""

from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    String,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from service.lifecycle import SweepState, TrialState, sweep_state
from service.store.models.base import Base, BigId, only


class Sweep(Base):
    """A sweep as it was submitted, with the requests made on it and a count for each trial state.

    `store.transitions` updates the counts in the transaction that moves a trial, so the status of a
    sweep of any size is in one row.
    """

    __tablename__ = "sweeps"

    id: Mapped[str] = mapped_column(String(16), primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    spec: Mapped[dict[str, Any]]
    code_version: Mapped[str] = mapped_column(String(80))
    trials_total: Mapped[int]
    queued: Mapped[int]
    running: Mapped[int] = mapped_column(default=0)
    succeeded: Mapped[int] = mapped_column(default=0)
    failed: Mapped[int] = mapped_column(default=0)
    cancelled: Mapped[int] = mapped_column(default=0)
    priority: Mapped[int] = mapped_column(default=0)
    max_concurrent: Mapped[int | None]
    max_failures: Mapped[int | None]
    tags: Mapped[list[str]]
    waiting_for: Mapped[str | None] = mapped_column(Text)
    """Why no trial of this sweep can start, in the words of `placement.shortage`."""
    created_at: Mapped[float]
    started_at: Mapped[float | None]
    finished_at: Mapped[float | None]
    paced_from: Mapped[float | None]
    """When its first trial started since it was submitted, resumed, extended or retried."""
    finished_before: Mapped[int] = mapped_column(server_default=text("0"))
    """Trials that had ended by then: the others show how fast it goes."""
    paused_at: Mapped[float | None]
    paused_because: Mapped[str | None] = mapped_column(Text)
    """None if a person paused it."""
    cancel_requested_at: Mapped[float | None]
    deleted_at: Mapped[float | None]
    """From then on no reader sees it, and `store.purging` deletes its rows."""
    version: Mapped[int] = mapped_column(default=1)
    """Rises with every change that a reader can see; becomes the ETag."""
    owner: Mapped[str | None] = mapped_column(String(100))
    """Name of the token that submitted it; None without a token."""
    gpu_share: Mapped[float | None]
    """The part of a GPU that a trial takes with `num_gpus: shared`, by the largest memory peak
    measured in the sweep; None before the first measurement."""

    __table_args__ = (
        CheckConstraint(
            "queued + running + succeeded + failed + cancelled = trials_total", name="conserved"
        ),
        CheckConstraint(
            "queued >= 0 and running >= 0 and succeeded >= 0 and failed >= 0 and cancelled >= 0",
            name="counts",
        ),
        Index("ix_sweeps_created_at", "created_at", "id"),
        Index("ix_sweeps_open", "priority", **only("queued > 0 or running > 0")),
        Index("ix_sweeps_deleted", "deleted_at", **only("deleted_at is not null")),
    )

    @property
    def counts(self) -> dict[TrialState, int]:
        """The number of its trials in each state."""
        return {state: getattr(self, state) for state in TrialState}

    @property
    def state(self) -> SweepState:
        """As derived from the counts."""
        return sweep_state(self.counts, paused=self.paused_at is not None)

    @property
    def has_ended(self) -> bool:
        """Whether no trial runs or will run, unless somebody retries or extends it."""
        return self.queued == self.running == 0


class Arm(Base):
    """One configuration of a sweep, seed left out."""

    __tablename__ = "arms"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    sweep_id: Mapped[str] = mapped_column(ForeignKey("sweeps.id", ondelete="CASCADE"))
    position: Mapped[int]
    label: Mapped[str] = mapped_column(Text)
    config: Mapped[dict[str, Any]]
    config_sha256: Mapped[str] = mapped_column(String(64), index=True)
    is_baseline: Mapped[bool]
    is_primary: Mapped[bool] = mapped_column(default=True)

    __table_args__ = (
        UniqueConstraint("sweep_id", "position"),
        UniqueConstraint("sweep_id", "config_sha256"),
    )


class Trial(Base):
    """One training run of an arm with one seed. `state` changes only in `store.transitions`."""

    __tablename__ = "trials"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    sweep_id: Mapped[str] = mapped_column(ForeignKey("sweeps.id", ondelete="CASCADE"))
    arm_id: Mapped[int] = mapped_column(
        BigId, ForeignKey("arms.id", ondelete="CASCADE"), index=True
    )
    """Indexed, because deleting an arm looks for its trials."""
    seed: Mapped[int] = mapped_column(BigInteger)
    state: Mapped[TrialState] = mapped_column(String(16), default=TrialState.queued)
    reason: Mapped[str | None] = mapped_column(String(16))
    message: Mapped[str | None] = mapped_column(Text)
    attempt: Mapped[int] = mapped_column(default=0)
    """The fencing number: raised by every claim, checked by each write of an attempt."""
    losses: Mapped[int] = mapped_column(default=0)
    not_before: Mapped[float | None]
    """When a lost trial may start again."""
    alone: Mapped[bool] = mapped_column(default=False)
    """It ran out of memory next to others: its next attempt has a node to itself."""
    dispatcher_id: Mapped[str | None] = mapped_column(String(36))
    epochs: Mapped[int]
    epochs_done: Mapped[int] = mapped_column(default=0)
    last_report: Mapped[dict[str, Any] | None]
    """The newest epoch report: lists and tables read it without touching `epoch_reports`."""
    seconds: Mapped[float] = mapped_column(default=0.0)
    """Sum over the recorded epochs."""
    cpus: Mapped[float] = mapped_column(default=0.0)
    """Occupied by the newest attempt, also after its end; 0 before the first. So is `gpus`."""
    gpus: Mapped[float] = mapped_column(default=0.0)
    weights_sha256: Mapped[str | None] = mapped_column(String(64))
    """Of the final weights; equal trials in equal environments have equal ones."""
    reused_from: Mapped[int | None] = mapped_column(BigId)
    """The trial that made these results, with the same configuration, seed and code."""
    cancel_requested_at: Mapped[float | None]
    created_at: Mapped[float]
    started_at: Mapped[float | None]
    finished_at: Mapped[float | None]
    reported_at: Mapped[float | None]
    """When this attempt last reported."""

    __table_args__ = (
        UniqueConstraint("sweep_id", "arm_id", "seed"),
        CheckConstraint(
            "state in ('queued', 'running', 'succeeded', 'failed', 'cancelled')", name="state"
        ),
        CheckConstraint("(state = 'running') = (dispatcher_id is not null)", name="leased"),
        CheckConstraint("state <> 'succeeded' or epochs_done = epochs", name="complete"),
        Index("ix_trials_sweep", "sweep_id", "id"),
        Index("ix_trials_queued", "sweep_id", "id", **only("state = 'queued'")),
        # Finds the next of either kind, however many there are of the other.
        Index("ix_trials_ready", "sweep_id", "alone", "id", **only("state = 'queued'")),
        # Costs nothing for trials that do not fail.
        Index("ix_trials_failed", "sweep_id", "id", **only("state = 'failed'")),
        Index("ix_trials_running", "dispatcher_id", **only("state = 'running'")),
        Index("ix_trials_reused_from", "reused_from", **only("reused_from is not null")),
        # The id of a deleted trial is never reused: an attempt that nobody has stopped would write
        # to another trial. PostgreSQL's sequences never reuse one anyway.
        {"sqlite_autoincrement": True},
    )


class Attempt(Base):
    """The n-th try at a trial."""

    __tablename__ = "attempts"

    trial_id: Mapped[int] = mapped_column(
        BigId, ForeignKey("trials.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    attempt: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    dispatcher_id: Mapped[str] = mapped_column(String(36))
    started_at: Mapped[float]
    ended_at: Mapped[float | None]
    outcome: Mapped[str | None] = mapped_column(String(16))
    """The trial's state or reason when the attempt ended, e.g. `succeeded`, `lost`."""
    message: Mapped[str | None] = mapped_column(Text)
    environment: Mapped[dict[str, Any] | None]
    """Node, process, and the fingerprint of everything that its numbers depend on."""
    recomputed_from: Mapped[int | None]
    """The first epoch that it computed although an earlier attempt's was recorded: epochs after the
    checkpoint from which it resumed."""
    recomputed_to: Mapped[int | None]
    different_epoch: Mapped[int | None]
    """The first of them whose numbers were not the recorded ones."""

    __table_args__ = (
        Index("ix_attempts_recomputed", "trial_id", **only("recomputed_to is not null")),
    )


class Report(Base):
    """One epoch of a trial; the primary key ensures that it is recorded once."""

    __tablename__ = "epoch_reports"

    trial_id: Mapped[int] = mapped_column(
        BigId, ForeignKey("trials.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    epoch: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    attempt: Mapped[int]
    report: Mapped[dict[str, Any]]
    sha256: Mapped[str] = mapped_column(String(64))
    """Of the report without its seconds; a recomputed epoch must have the same."""
    checkpoint: Mapped[str | None] = mapped_column(String(80))
    checkpoint_sha256: Mapped[str | None] = mapped_column(String(64))
    recorded_at: Mapped[float]

    __table_args__ = (
        ForeignKeyConstraint(
            ["trial_id", "attempt"], ["attempts.trial_id", "attempts.attempt"], ondelete="CASCADE"
        ),
    )


class Event(Base):
    """A change of a sweep or a trial; appended, never changed."""

    __tablename__ = "events"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    sweep_id: Mapped[str] = mapped_column(ForeignKey("sweeps.id", ondelete="CASCADE"))
    trial_id: Mapped[int | None] = mapped_column(BigId)
    attempt: Mapped[int | None]
    at: Mapped[float]
    kind: Mapped[str] = mapped_column(String(40))
    from_state: Mapped[str | None] = mapped_column(String(16))
    to_state: Mapped[str | None] = mapped_column(String(16))
    reason: Mapped[str | None] = mapped_column(String(16))
    message: Mapped[str | None] = mapped_column(Text)

    __table_args__ = (
        Index("ix_events_sweep", "sweep_id", "id"),
        Index("ix_events_trial", "trial_id", "id"),
    )
