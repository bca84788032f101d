"""The tables. Times are seconds since 1970 UTC, by the database's clock."""

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    String,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from service.lifecycle import SweepState, TrialState, sweep_state


def _only(rows: str) -> dict[str, Any]:
    """Arguments for an index of those rows alone, for either database."""
    return {"postgresql_where": text(rows), "sqlite_where": text(rows)}


BigId = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts up only an INTEGER key


class Base(DeclarativeBase):
    """Names its constraints, so that migrations can refer to them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {float: Double, dict[str, Any]: JSON(none_as_null=True), list[str]: JSON}


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
        Index("ix_sweeps_open", "priority", **_only("queued > 0 or running > 0")),
        Index("ix_sweeps_deleted", "deleted_at", **_only("deleted_at is not null")),
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
        Index("ix_trials_queued", "sweep_id", "id", **_only("state = 'queued'")),
        # Finds the next of either kind, however many there are of the other.
        Index("ix_trials_ready", "sweep_id", "alone", "id", **_only("state = 'queued'")),
        # Costs nothing for trials that do not fail.
        Index("ix_trials_failed", "sweep_id", "id", **_only("state = 'failed'")),
        Index("ix_trials_running", "dispatcher_id", **_only("state = 'running'")),
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


class Token(Base):
    """A right to use the service; the secret itself is stored nowhere."""

    __tablename__ = "tokens"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    name: Mapped[str] = mapped_column(String(100))
    role: Mapped[str] = mapped_column(String(16))
    sha256: Mapped[str] = mapped_column(String(64), unique=True)
    created_at: Mapped[float]
    expires_at: Mapped[float | None]
    revoked_at: Mapped[float | None]
    last_used_at: Mapped[float | None]
    """To the minute."""
    requests_per_minute: Mapped[int | None]
    """None: the settings decide; so with the two below."""
    max_queued_trials: Mapped[int | None]
    max_sweep_trials: Mapped[int | None]

    __table_args__ = (CheckConstraint("role in ('viewer', 'submitter', 'admin')", name="role"),)


class Answer(Base):
    """The answer to a POST with an Idempotency-Key, in case that is sent again."""

    __tablename__ = "answers"

    token_id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=False)
    """Its sender, because two tokens may choose the same key. 0 where there are no tokens."""
    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    request_sha256: Mapped[str] = mapped_column(String(64))
    """Of method, address and body; a key must not be used for two different ones."""
    status: Mapped[int]
    location: Mapped[str | None] = mapped_column(Text)
    body: Mapped[str] = mapped_column(Text)
    created_at: Mapped[float] = mapped_column(index=True)


class AuditEntry(Base):
    """A change and who asked for it, appended in the transaction that made it."""

    __tablename__ = "audit"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    at: Mapped[float]
    token_id: Mapped[int | None] = mapped_column(BigId)
    name: Mapped[str] = mapped_column(String(200))
    """Of the token; `this machine` without one; of the user, with `lrd token` and `lrd webhook`."""
    address: Mapped[str | None] = mapped_column(String(64))
    """Where the request came from."""
    action: Mapped[str] = mapped_column(String(40))
    """e.g. `POST`, `PATCH`, `token revoke`."""
    target: Mapped[str] = mapped_column(Text)
    """e.g. `/api/v1/sweeps/8w2k…/cancel`, or the thing that was made."""


class Webhook(Base):
    """An address that gets a message when a sweep has ended, or has paused by itself."""

    __tablename__ = "webhooks"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    url: Mapped[str] = mapped_column(Text)
    secret: Mapped[str] = mapped_column(String(64))
    """Signs the messages, so it is stored in clear."""
    created_at: Mapped[float]


class Delivery(Base):
    """A message for a webhook: written in the transaction that ended or paused the sweep, and sent
    after it."""

    __tablename__ = "deliveries"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    webhook_id: Mapped[int] = mapped_column(BigId, ForeignKey("webhooks.id", ondelete="CASCADE"))
    sweep_id: Mapped[str] = mapped_column(ForeignKey("sweeps.id", ondelete="CASCADE"), index=True)
    event: Mapped[str] = mapped_column(String(40))
    """`sweep.succeeded`, `sweep.failed`, `sweep.cancelled` or `sweep.paused`."""
    created_at: Mapped[float]
    tries: Mapped[int] = mapped_column(default=0)
    next_at: Mapped[float | None] = mapped_column(index=True)
    """When to try next; None once it has arrived or was given up."""
    delivered_at: Mapped[float | None]
    error: Mapped[str | None] = mapped_column(Text)
    """Why the last try failed."""

    # Receivers recognise messages by id: a reused one would look like a message they have had.
    __table_args__ = (
        Index("ix_deliveries_webhook", "webhook_id", "id"),
        {"sqlite_autoincrement": True},
    )


class Purged(Base):
    """The last version of a deleted sweep. If a bundle brings its id back, that sweep's versions go
    on from there, so that no reader takes it for the old one."""

    __tablename__ = "purged"

    sweep_id: Mapped[str] = mapped_column(String(16), primary_key=True)
    version: Mapped[int]


class Identity(Base):
    """The identity of this database and its copies, by which it knows its folder of trials."""

    __tablename__ = "identity"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)


class Lease(Base):
    """The right to dispatch, held by one dispatcher at a time until it expires."""

    __tablename__ = "leases"

    name: Mapped[str] = mapped_column(String(40), primary_key=True)
    holder: Mapped[str] = mapped_column(String(36))
    host: Mapped[str] = mapped_column(String(255))
    pid: Mapped[int]
    term: Mapped[int]
    """Raised with each new holder."""
    acquired_at: Mapped[float]
    expires_at: Mapped[float]
    cluster: Mapped[dict[str, Any] | None]
    """The cluster as the holder last saw it, with each node's resources, and what the holder has
    done since it started."""

    @property
    def nodes(self) -> list[dict[str, Any]]:
        """The nodes that the holder last saw."""
        return list((self.cluster or {}).get("nodes", []))
