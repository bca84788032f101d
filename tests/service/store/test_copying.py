"""A copied database holds the same rows, null where null was, and counts its ids on from there."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text
from typer.testing import CliRunner

import migrations
from lrd_core.errors import LRDError
from lrd_core.spec import SweepSpec, expand_arms
from service.cli import app
from service.store import audit, copying, leases, submission, tokens, webhooks
from service.store.models import Base, Lease
from service.store.session import Database
from tests.conftest import small_sweep
from tests.seeded import seed


@pytest.fixture
def laptop(sqlite: Callable[[Path], str], tmp_path: Path) -> Iterator[Database]:
    """One of everything."""
    database = Database(sqlite(tmp_path / "laptop"))
    seed(database, small_sweep(), states=("succeeded", "queued", "failed"))
    with database.write() as session:
        tokens.create(session, "ann", tokens.Role.admin, None)
        audit.note(session, "ann", "token create", "token 1")
        webhooks.add(session, "https://example.org/hook")
    yield database
    database.close()


def rows(database: Database) -> dict[str, list[Any]]:
    tables = [each for each in Base.metadata.sorted_tables if each.name != Lease.__tablename__]
    with database.read() as session:
        return {
            each.name: list(session.execute(select(each).order_by(*each.primary_key)))
            for each in tables
        }


def nulls(database: Database) -> int:
    with database.read() as session:
        return session.scalar(text("select count(*) from trials where last_report is null")) or 0


def schema(database: Database) -> list[Any]:
    with database.read() as session:
        return list(session.scalars(text("select sql from sqlite_schema order by name")))


def test_it_has_the_same_rows_in_every_table(laptop: Database, database: Database) -> None:
    counts = copying.copy(laptop, database)
    assert rows(database) == rows(laptop)
    assert counts == {name: len(found) for name, found in rows(laptop).items()}
    assert counts["trials"] == 4
    assert nulls(database) == nulls(laptop) > 0


def test_a_source_in_use_is_not_even_upgraded(
    laptop: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: an older version's schema that moves under its running service, which is then
    refused."""
    with laptop.write() as session:
        leases.take(session, "one", host="host", pid=1, seconds=60)
    migrations.downgrade(laptop.engine, "-1")
    before = schema(laptop)
    monkeypatch.setenv("LRD_STORAGE_DIR", str(tmp_path / "new"))
    answer = CliRunner().invoke(app, ["db", "copy", str(laptop.engine.url)])
    assert "process 1 on host dispatches from the source" in str(answer.exception)
    assert schema(laptop) == before


def test_it_comes_over_in_portions(
    laptop: Database, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copying, "ROWS", 3)
    copying.copy(laptop, database)
    assert rows(database) == rows(laptop)


def test_a_new_sweep_finds_room_behind_the_copied_ones(
    laptop: Database, database: Database
) -> None:
    copying.copy(laptop, database)
    before = {arm.id for arm in rows(database)["arms"]}
    spec = SweepSpec.parse(small_sweep(name="next"))
    with database.write() as session:
        submission.create(session, spec, expand_arms(spec), code_version="0.1.0")
    after = {arm.id for arm in rows(database)["arms"]}
    assert len(after) == len(before) + 2
    assert min(after - before) > max(before)


def test_it_leaves_a_database_with_rows_alone(laptop: Database, database: Database) -> None:
    with database.write() as session:
        webhooks.add(session, "https://example.org/other")
    before = rows(database)
    with pytest.raises(LRDError, match="rows in its table webhooks already"):
        copying.copy(laptop, database)
    assert rows(database) == before


def test_a_text_that_does_not_fit_is_named_with_its_row_and_how_to_shorten_it(
    laptop: Database, database: Database
) -> None:
    """Catches: `value too long for type character varying(100)`, of which of a million rows?"""
    with laptop.write() as session:
        session.execute(text("update tokens set name = :name"), {"name": "a" * 101})
    said = r"'name' of the row with id = 1 in the source's table tokens has 101 characters"
    with pytest.raises(LRDError, match=said) as found:
        copying.copy(laptop, database)
    assert not rows(database)["sweeps"]
    assert not rows(database)["tokens"]
    (_, remedy, _) = str(found.value).split("`")
    with laptop.write() as session:
        session.execute(text(remedy))
    copying.copy(laptop, database)
    assert [token.name for token in rows(database)["tokens"]] == ["a" * 100]


def test_it_waits_for_nobody_who_goes_on_writing(laptop: Database, database: Database) -> None:
    with laptop.write() as session:
        leases.take(session, "d1", host="laptop", pid=7, seconds=60)
    with pytest.raises(LRDError, match="process 7 on laptop dispatches from the source"):
        copying.copy(laptop, database)
    assert not rows(database)["sweeps"]


def test_the_command_copies_a_file_into_the_configured_database(
    laptop: Database, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LRD_DATABASE_URL", database_url)
    monkeypatch.setenv("LRD_STORAGE_DIR", str(tmp_path))
    said = CliRunner().invoke(app, ["db", "copy", str(tmp_path / "laptop" / "lrd.db")])
    assert said.exit_code == 0, said.output
    assert "trials                     4" in said.output
    assert f"the trials' folders are now expected in {tmp_path / 'trials'}" in said.output
    missing = CliRunner().invoke(app, ["db", "copy", str(tmp_path / "none.db")])
    assert "there is no database at" in str(missing.exception)
    assert not (tmp_path / "none.db").exists()
