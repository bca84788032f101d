"""The tables. Times are seconds since 1970 UTC, by the database's clock."""

from service.store.models.base import Base
from service.store.models.experiments import Arm, Attempt, Event, Report, Sweep, Trial
from service.store.models.upkeep import (
    Answer,
    AuditEntry,
    Delivery,
    Identity,
    Lease,
    Purged,
    Token,
    Webhook,
)

__all__ = [
    "Answer",
    "Arm",
    "Attempt",
    "AuditEntry",
    "Base",
    "Delivery",
    "Event",
    "Identity",
    "Lease",
    "Purged",
    "Report",
    "Sweep",
    "Token",
    "Trial",
    "Webhook",
]
