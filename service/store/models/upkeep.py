"""Tokens, repeated requests, the audit, webhooks, and who dispatches."""

from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from service.store.models.base import Base, BigId


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
