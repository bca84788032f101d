"""Answers kept by their Idempotency-Key: a request that is sent again is answered, not repeated.

An answer is stored in the transaction of the change that it reports, so neither ever exists without
the other, wherever the process is killed.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, delete, select
from sqlalchemy.orm import Session

from service.errors import Conflict, Unprocessable
from service.store import locks, sweeps
from service.store.models import Answer
from service.store.session import clock, db_now

KEPT_SECONDS = 30 * 86_400
"""How long a key is remembered."""


@dataclass(frozen=True)
class Key:
    """An Idempotency-Key, the token that sent it, and the request."""

    token_id: int
    """0 where there are no tokens."""
    text: str
    request_sha256: str


@dataclass(frozen=True)
class Made:
    """The answer to a change."""

    body: dict[str, Any]
    status: int = 200
    location: str | None = None
    etag: str | None = None
    """Of the sweep that it shows. It is not kept: when the answer is repeated, that sweep may have
    changed."""


def once(session: Session, key: Key, change: Callable[[Session], Made]) -> tuple[Made, bool]:
    """Do `change` unless a request with this key was answered; the answer, and whether it is new.

    Raises:
        Conflict: a request with this key is being answered at this moment.
        NotFound: the answer shows a sweep that was deleted since, or a trial of one. The change is
            not repeated either, because a client that sends it twice wants it once.
        Unprocessable: the key was used for another request.
    """
    _lock(session, key)
    earlier = session.get(Answer, (key.token_id, key.text))
    if earlier is not None:
        if earlier.request_sha256 != key.request_sha256:
            raise Unprocessable(
                "this Idempotency-Key was used for another request; take a new key for a new one"
            )
        body = json.loads(earlier.body)
        if (sweep_id := _shown(body)) is not None:
            sweeps.get(session, sweep_id)
        return Made(body, earlier.status, earlier.location), False
    made = change(session)
    answer = Answer(
        token_id=key.token_id,
        key=key.text,
        request_sha256=key.request_sha256,
        status=made.status,
        location=made.location,
        body=json.dumps(made.body),
        created_at=clock(session),
    )
    session.add(answer)
    session.flush()
    return made, True


def in_flight() -> Conflict:
    """The refusal of a request whose key came earlier and has no answer yet."""
    return Conflict(
        "a request with this Idempotency-Key is being answered; send it again later", retry_after=1
    )


def any_old(session: Session) -> bool:
    """Whether any key is older than `KEPT_SECONDS`."""
    return session.execute(select(Answer.key).where(_old()).limit(1)).first() is not None


def forget(session: Session) -> None:
    """Forget the keys that are older than `KEPT_SECONDS`."""
    session.execute(delete(Answer).where(_old()))


def _shown(body: dict[str, Any]) -> str | None:
    """The id of the sweep that an answer shows, or of its trial's sweep; other ids are numbers."""
    found = body.get("sweep_id", body.get("id"))
    return found if isinstance(found, str) else None


def _old() -> ColumnElement[bool]:
    return Answer.created_at < db_now() - KEPT_SECONDS


def _lock(session: Session, key: Key) -> None:
    """Keep other processes off the key on PostgreSQL; SQLite has one writer anyway."""
    if not locks.try_to_hold(session, f"key {key.token_id}:{key.text}"):
        raise in_flight()
