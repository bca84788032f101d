"""Locks on a word instead of a row, held until the transaction ends: PostgreSQL's advisory locks.

On SQLite they are nothing, because a writing transaction has the whole file to itself.
"""

import hashlib
from typing import Any

from sqlalchemy import Function, func, select
from sqlalchemy.orm import Session

from service.store.session import on_postgres


def hold(session: Session, word: str, *, shared: bool = False) -> None:
    """Wait for the lock; any number of transactions may hold it `shared`."""
    lock = func.pg_advisory_xact_lock_shared if shared else func.pg_advisory_xact_lock
    _take(session, lock(_number(word)))


def try_to_hold(session: Session, word: str) -> bool:
    """Take the lock unless another transaction holds it; whether this one has it now."""
    return _take(session, func.pg_try_advisory_xact_lock(_number(word))) is not False


def _take(session: Session, lock: Function[Any]) -> Any:
    return session.scalar(select(lock)) if on_postgres(session) else None


def _number(word: str) -> int:
    return int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "big", signed=True)
