"""The schema's history. `upgrade` brings a database to the newest revision."""

import contextlib
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, func, inspect, select, text

from lrd_core.errors import LRDError

VERSION_TABLE = "lrd_alembic_version"
_UPGRADING = int.from_bytes(b"lrdsteps")
"""The number of PostgreSQL's advisory lock on changing the schema."""


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Bring the database to `revision`, unless it is there. Of several processes that start
    together, one does it and the others wait.

    Raises:
        LRDError: a newer version has brought it further.
    """
    with _begin(engine) as connection:
        _refuse_newer(connection)
        command.upgrade(_config(connection), revision)


def downgrade(engine: Engine, revision: str) -> None:
    """Take the database back to `revision`; `base` is empty."""
    with _begin(engine) as connection:
        command.downgrade(_config(connection), revision)


def check(engine: Engine) -> None:
    """Raise alembic.util.CommandError if models and migrations differ.

    Raises:
        LRDError: a newer version has brought it further.
    """
    with engine.begin() as connection:
        _refuse_newer(connection)
        command.check(_config(connection))


def refuse_another(engine: Engine) -> None:
    """Refuse a database that is not at the newest revision.

    Raises:
        LRDError: it is at another one.
    """
    with engine.begin() as connection:
        _refuse_newer(connection)
        here, newest = _revision(connection), _scripts().get_current_head()
    if here != newest:
        raise LRDError(
            f"the schema of the database is {here or 'not there yet'}, and this version of lrd "
            f"works with {newest}: `lrd db upgrade`"
        )


def _refuse_newer(connection: Connection) -> None:
    here, known = _revision(connection), _scripts()
    if here is not None and here not in {each.revision for each in known.walk_revisions()}:
        raise LRDError(
            f"the schema of the database is {here}, of a newer version of lrd than this one, which "
            f"knows it up to {known.get_current_head()}: install the newer version here too, or "
            "restore the backup from before its upgrade"
        )


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    here: str | None = connection.scalar(text(f"select version_num from {VERSION_TABLE}"))  # noqa: S608
    return here


def _scripts() -> ScriptDirectory:
    return ScriptDirectory(str(Path(__file__).parent))


@contextlib.contextmanager
def _begin(engine: Engine) -> Iterator[Connection]:
    """A transaction for one process at a time, in which SQLite may rebuild a table: with foreign
    keys on, dropping the old table would delete all rows that refer to it
    (sqlite.org/lang_altertable.html, section 7)."""
    with engine.connect().execution_options(lrd_write=True) as connection:
        sqlite = engine.dialect.name == "sqlite"
        raw = connection.connection.driver_connection
        assert raw is not None
        if sqlite:
            raw.execute("pragma foreign_keys = OFF")
        try:
            with connection.begin():
                if not sqlite:
                    _wait_for_turn(connection)
                yield connection
                if sqlite:
                    broken = connection.exec_driver_sql("pragma foreign_key_check").all()
                    assert not broken, f"the migration breaks foreign keys: {broken[:3]}"
        finally:
            if sqlite:
                raw.execute("pragma foreign_keys = ON")


def _wait_for_turn(connection: Connection) -> None:
    """Wait for another process's steps, however long they take, and lift the time limits of one's
    own: an index of many rows takes minutes, and so may computations between two statements.
    Waiting for a table's lock keeps its limit, because all others wait behind it."""
    connection.exec_driver_sql("set local statement_timeout = 0")
    connection.exec_driver_sql("set local idle_in_transaction_session_timeout = 0")
    connection.exec_driver_sql("set local lock_timeout = 0")
    connection.execute(select(func.pg_advisory_xact_lock(_UPGRADING)))
    connection.exec_driver_sql("set local lock_timeout to default")


def _config(connection: Connection) -> Config:
    config = Config(stdout=StringIO())  # `lrd db` has sentences of its own
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.set_main_option("path_separator", "os")
    config.attributes |= {"connection": connection, "version_table": VERSION_TABLE}
    return config
