"""What a database's connections do when they fail."""

from collections.abc import Callable

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

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
