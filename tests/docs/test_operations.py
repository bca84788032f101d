"""docs/operations.md: what was backed up by its lines comes back by its lines, row for row."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url, select

from service.store.models import Base
from service.store.session import Database
from tests.conftest import small_sweep
from tests.docs.pages import block
from tests.docs.test_commands import Shell
from tests.seeded import seed

BACKUP, RESTORE, RESTORE_FILE = (
    block("docs/operations.md", "sh", number).commands() for number in (0, 1, 2)
)
KILLED = """
import os, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute(f"pragma journal_mode = {sys.argv[2]}")
connection.execute("update arms set label = 'later'")
connection.execute("pragma cache_size = 1")
connection.execute("begin immediate")
connection.execute("update arms set label = 'torn'")
connection.execute("update arms set label = hex(randomblob(100000))")
os._exit(0)
"""
"""A process that is killed while it writes more than its cache holds."""


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def rows(database: Database) -> dict[str, list[Any]]:
    with database.read() as session:
        return {
            table.name: list(session.execute(select(table).order_by(*table.primary_key)))
            for table in Base.metadata.sorted_tables
        }


def lose_everything(database: Database) -> None:
    with database.write() as session:
        for table in reversed(Base.metadata.sorted_tables):
            session.execute(table.delete())


@pytest.mark.slow
def test_a_postgresql_comes_back(shell: Shell, postgres: Callable[[], str]) -> None:
    if shell.lacks("pg_dump"):
        pytest.skip("pg_dump is not installed")
    url = postgres()
    shell.variables["LRD_DATABASE_URL"] = (
        make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    )
    with closing(Database(url)) as database:
        seed(database, small_sweep(), states=("succeeded", "running", "failed", "queued"))
        before = rows(database)
        (dump,) = (line for line in BACKUP if line.startswith("pg_dump"))
        shell.run(dump)
        lose_everything(database)
        assert rows(database) != before
        for line in RESTORE:
            shell.run(line)
        assert rows(database) == before


@pytest.fixture
def laptop(sqlite: Callable[[Path], str], tmp_path: Path) -> Iterator[Database]:
    """The file of `lrd serve`."""
    with closing(Database(sqlite(tmp_path / ".lrd"))) as database:
        yield database


@pytest.mark.slow
@pytest.mark.parametrize("journal", ["TRUNCATE", "WAL"])
def test_a_sqlite_file_comes_back(shell: Shell, laptop: Database, journal: str) -> None:
    """Catches: another database than the one that was backed up, for SQLite takes over into the
    copy what a killed process has left beside the old file."""
    if shell.lacks("sqlite3"):
        pytest.skip("sqlite3 is not installed")
    seed(laptop, small_sweep(), states=("succeeded", "running", "failed", "queued"))
    before = rows(laptop)
    (backup,) = (line for line in BACKUP if line.startswith("sqlite3"))
    shell.run(backup)
    laptop.close()
    file = shell.home / ".lrd" / "lrd.db"
    subprocess.run([sys.executable, "-c", KILLED, str(file), journal], check=True)
    assert any(beside.stat().st_size for beside in file.parent.glob("lrd.db-*"))
    said = [shell.run(line) for line in RESTORE_FILE]
    assert "newest schema" in said[-1]
    with closing(Database(f"sqlite:///{shell.home}/.lrd/lrd.db")) as restored:
        assert rows(restored) == before
