"""One database, SQLite or PostgreSQL: its engine, its clock, and its two kinds of transaction."""

import contextlib
import logging
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import (
    URL,
    Connection,
    Double,
    Engine,
    ExceptionContext,
    create_engine,
    event,
    select,
)
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Session
from sqlalchemy.sql.functions import FunctionElement

from service.store.address import address

log = logging.getLogger(__name__)

BUSY_TIMEOUT_MS = 20_000
"""How long a SQLite connection waits for another connection's transaction."""

POSTGRES_OPTIONS = (
    "-c idle_in_transaction_session_timeout=10s -c lock_timeout=15s -c statement_timeout=60s"
)
"""A process that hangs in the middle of a transaction must not hold its locks for ever, nor for so
long that those who wait for them give up. With 5 s, a machine that froze for a while lost requests.
"""
GONE = {"25P03", "25006"}
"""SQLSTATEs of a connection that is of no more use: the server ended its transaction because it
hung, or the server is read-only, because another one writes now or its disk is full."""
SILENCE = {
    "connect_timeout": 10,  # s
    "keepalives_idle": 10,  # s
    "keepalives_interval": 5,  # s
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,  # ms
}
"""A server that vanishes silently (power, network) is given up after half a minute. With the
kernel's own settings, a client would wait two hours for its answer."""


class db_now(FunctionElement[float]):  # noqa: N801 - reads as a SQL function
    """Seconds since 1970 by the database's clock: on PostgreSQL the present time, not the start of
    the transaction."""

    type = Double()
    inherit_cache = True


@compiles(db_now, "postgresql")
def _pg_now(*_: Any, **__: Any) -> str:
    return "extract(epoch from clock_timestamp())::double precision"


@compiles(db_now, "sqlite")
def _sqlite_now(*_: Any, **__: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


def clock(session: Session) -> float:
    """The present value of `db_now`."""
    return session.execute(select(db_now())).scalar_one()


def on_postgres(session: Session) -> bool:
    """Whether the session's database is PostgreSQL; otherwise it is SQLite."""
    return session.get_bind().dialect.name == "postgresql"


class Database:
    """Opens transactions. One request or one dispatcher step is one transaction."""

    def __init__(self, url: str, *, lasting: bool = True) -> None:
        """Open the database at a SQLAlchemy URL, e.g. `sqlite:////var/lrd.db`.

        `lasting`: whether a SQLite file must survive this process and a power cut; if not, no
        commit waits for the disk.

        Raises:
            LRDError: it is no URL of SQLite or PostgreSQL.
        """
        parsed = address(url)
        self.is_sqlite = parsed.get_backend_name() == "sqlite"
        self._writing = threading.Lock()
        if self.is_sqlite:
            Path(str(parsed.database)).parent.mkdir(parents=True, exist_ok=True)
            self.engine = _sqlite_engine(str(parsed), lasting=lasting)
        else:
            self.engine = _postgres_engine(parsed)

    @contextlib.contextmanager
    def read(self) -> Iterator[Session]:
        """A read-only transaction: one consistent snapshot."""
        with Session(self.engine, autoflush=False, expire_on_commit=False) as session:
            if not self.is_sqlite:
                session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
            yield session

    @contextlib.contextmanager
    def write(self) -> Iterator[Session]:
        """A writing transaction: committed at the end, rolled back on an error."""
        with self._turn(), Session(self.engine, expire_on_commit=False) as session:
            session.connection(execution_options={"lrd_write": True})
            yield session
            session.commit()

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        """Have SQLite's writers of this process take turns. SQLite itself retries after growing
        pauses, so the writer that has waited longest asks least often."""
        mine = self.is_sqlite and self._writing.acquire(timeout=BUSY_TIMEOUT_MS / 1000)
        try:
            yield
        finally:
            if mine:
                self._writing.release()

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()


def _postgres_engine(url: URL) -> Engine:
    engine = create_engine(
        url,
        pool_pre_ping=True,
        pool_size=10,
        max_overflow=10,
        connect_args={
            "options": POSTGRES_OPTIONS,
            **{name: value for name, value in SILENCE.items() if name not in url.query},
        },
    )

    @event.listens_for(engine, "handle_error", retval=True)
    def ended(context: ExceptionContext) -> BaseException | None:
        # psycopg calls it an internal error. As a lost connection, it makes every caller here try
        # again with a new one, perhaps to another server.
        error = context.original_exception
        if getattr(error, "sqlstate", None) not in GONE:
            return None
        context.is_disconnect = True
        return OperationalError(context.statement, None, error, connection_invalidated=True)

    return engine


def _sqlite_engine(url: str, *, lasting: bool) -> Engine:
    engine = create_engine(url, connect_args={"isolation_level": None, "timeout": 0})

    @event.listens_for(engine, "connect")
    def configure(connection: sqlite3.Connection, _: Any) -> None:
        connection.execute(f"pragma busy_timeout = {BUSY_TIMEOUT_MS}")
        connection.execute(f"pragma journal_mode = {_journal_mode() if lasting else 'MEMORY'}")
        connection.execute(f"pragma synchronous = {'FULL' if lasting else 'OFF'}")
        connection.execute("pragma foreign_keys = ON")

    @event.listens_for(engine, "checkin")
    def leave_nothing_open(connection: sqlite3.Connection | None, _: Any) -> None:
        # A refused commit (blocked by readers for too long) leaves its transaction open, with a
        # lock that keeps out everybody, in every process.
        if connection is not None and connection.in_transaction:
            connection.rollback()

    @event.listens_for(engine, "handle_error", retval=True)
    def first(context: ExceptionContext) -> BaseException | None:
        # When the disk is full, SQLite may end the transaction by itself. To undo a savepoint then
        # fails as well, which would hide the reason.
        error = context.original_exception
        return error.__context__ if str(error).startswith("no such savepoint") else None

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # A transaction that reads first and writes later would fail under load with SQLITE_BUSY,
        # without waiting. One that begins as a writer waits for its turn.
        writes = connection.get_execution_options().get("lrd_write")
        connection.exec_driver_sql("begin immediate" if writes else "begin")

    return engine


def _journal_mode(library: tuple[int, ...] = sqlite3.sqlite_version_info) -> str:
    """WAL where the library is free of the WAL-reset bug (sqlite.org/wal.html#walresetbug)."""
    fixed = library >= (3, 51, 3) or library in ((3, 50, 7), (3, 44, 6)) or library < (3, 7, 0)
    return "WAL" if fixed else "TRUNCATE"
