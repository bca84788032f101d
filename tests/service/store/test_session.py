"""What a database's connections do when they fail."""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, make_url, text
from sqlalchemy.exc import OperationalError

from service.store import session as module
from service.store.session import Database


def test_a_transaction_that_hung_is_a_lost_connection(postgres: Callable[[], str]) -> None:
    # Catches: psycopg's InternalError, for which the dispatcher ended and a request got 500.
    database = Database(postgres())
    with database.write() as session, database.write() as other:
        session.execute(text("set local idle_in_transaction_session_timeout = '20ms'"))
        pid = session.scalar(text("select pg_backend_pid()"))
        alive = text(f"select count(*) from pg_stat_activity where pid = {pid}")
        while other.scalar(alive):
            other.execute(text("select pg_stat_clear_snapshot()"))
        with pytest.raises(OperationalError, match="idle-in-transaction"):
            session.scalar(text("select 1"))
        session.rollback()
    with database.write() as session:
        assert session.scalar(text("select 1")) == 1
    database.close()


def test_a_server_that_only_reads_is_a_lost_connection(postgres: Callable[[], str]) -> None:
    """Catches: after a failover, or on a full disk, a dispatcher that ended with all of its trials,
    requests that got 500, and connections to the old server that were kept."""
    database = Database(postgres())
    with database.read() as session:
        before = session.scalar(text("select pg_backend_pid()"))
    with pytest.raises(OperationalError, match="read-only"), database.write() as session:
        session.execute(text("set transaction read only; delete from leases"))
    with database.write() as session:
        session.execute(text("delete from leases"))
        assert session.scalar(text("select pg_backend_pid()")) != before
    database.close()


def test_a_server_that_vanished_is_not_waited_for_as_long_as_the_kernel_would(
    postgres: Callable[[], str],
) -> None:
    """Catches: a dispatcher that waits two hours for an answer; who says otherwise is not heard."""
    given: dict[str, Any] = {}
    address = make_url(postgres()).update_query_dict({"keepalives_idle": "99"})
    database = Database(address.render_as_string(hide_password=False))

    @event.listens_for(database.engine, "do_connect")
    def look(_: object, __: object, ___: object, named: dict[str, Any]) -> None:
        given.update(named)

    with database.read() as session:
        session.execute(text("select 1"))
    database.close()
    assert given["keepalives_idle"] == "99"
    assert given["keepalives_interval"] * given["keepalives_count"] <= 30
    assert given["tcp_user_timeout"] == 30_000


def test_a_commit_that_readers_were_in_the_way_of_leaves_no_lock_behind(
    sqlite: Callable[[Path], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Catches: the connection back in the pool, its transaction open: nobody could read or write.
    monkeypatch.setattr(module, "BUSY_TIMEOUT_MS", 20)
    monkeypatch.setattr(module, "_journal_mode", lambda: "truncate")  # as where WAL has its bug
    database = Database(sqlite(tmp_path))
    reader = sqlite3.connect(tmp_path / "lrd.db", isolation_level=None, timeout=0)
    reader.execute("begin")
    reader.execute("select * from sweeps").fetchall()
    with pytest.raises(OperationalError, match="locked"), database.write() as session:
        session.execute(text("delete from leases"))
    reader.execute("commit")
    reader.execute("begin immediate")
    reader.execute("rollback")
    with database.write() as session:
        assert session.scalar(text("select count(*) from leases")) == 0
    reader.close()
    database.close()


def test_a_full_disk_is_the_reason_though_a_savepoint_is_gone_with_it(
    sqlite: Callable[[Path], str], tmp_path: Path
) -> None:
    """Catches: `the database does not answer (no such savepoint)`, on a disk that is full."""
    database = Database(sqlite(tmp_path))

    def fill() -> None:
        with database.write() as session:
            session.begin_nested()
            session.connection().exec_driver_sql("rollback")  # as SQLite may do by itself
            raise OperationalError("insert", None, Exception("database or disk is full"))

    with pytest.raises(OperationalError, match="disk is full"):
        fill()
    with database.write() as session:
        assert session.scalar(text("select 1")) == 1
    database.close()
