"""The audit log: who asked for which change; appended in the change's own transaction."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from service.store.models import AuditEntry
from service.store.session import clock


def note(
    session: Session,
    name: str,
    action: str,
    target: str,
    *,
    token_id: int | None = None,
    address: str | None = None,
) -> None:
    """Append that `name` did `action` to `target`."""
    now = clock(session)
    session.add(
        AuditEntry(
            at=now, token_id=token_id, name=name, address=address, action=action, target=target
        )
    )


def page(session: Session, before: int | None, size: int) -> list[AuditEntry]:
    """Entries below the id `before`, the newest first."""
    query = select(AuditEntry).order_by(AuditEntry.id.desc()).limit(size)
    if before is not None:
        query = query.where(AuditEntry.id < before)
    return list(session.scalars(query))
