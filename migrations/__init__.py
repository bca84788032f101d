"""The schema's history. `upgrade` brings a database to the newest revision."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Bring the database to `revision`; does nothing if it is there."""
    with _begin(engine) as connection:
        command.upgrade(_config(connection), revision)


def downgrade(engine: Engine, revision: str) -> None:
    """Take the database back to `revision`; `base` is empty."""
    with _begin(engine) as connection:
        command.downgrade(_config(connection), revision)


def check(engine: Engine) -> None:
    """Raise alembic.util.CommandError if models and migrations differ."""
    with engine.begin() as connection:
        command.check(_config(connection))


@contextlib.contextmanager
def _begin(engine: Engine) -> Iterator[Connection]:
    """A transaction in which SQLite may rebuild a table: with its foreign keys on, dropping the old
    one would delete all rows that refer to it (sqlite.org/lang_altertable.html, section 7)."""
    with engine.connect() as connection:
        sqlite = engine.dialect.name == "sqlite"
        raw = connection.connection.driver_connection
        assert raw is not None
        if sqlite:
            raw.execute("pragma foreign_keys = OFF")
        try:
            with connection.begin():
                yield connection
                if sqlite:
                    broken = connection.exec_driver_sql("pragma foreign_key_check").all()
                    assert not broken, f"the migration breaks foreign keys: {broken[:3]}"
        finally:
            if sqlite:
                raw.execute("pragma foreign_keys = ON")


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config
