"""The schema's history leads to the models, up and down, and takes what is stored along."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from alembic.script import ScriptDirectory
from fastapi.testclient import TestClient
from sqlalchemy import Engine, MetaData, inspect, select, text
from sqlalchemy.exc import OperationalError

import migrations
from lrd_core.errors import LRDError
from service import access, app, storage
from service.dispatch import await_schema
from service.dispatcher import Dispatcher
from service.settings import Settings
from service.store.models import Base
from service.store.session import Database
from service.webhooks import Sender
from tests.conftest import small_sweep
from tests.inline import InlineExecutor

REVISIONS = [
    each.revision
    for each in ScriptDirectory(str(Path(migrations.__file__).parent)).walk_revisions()
]  # the newest first
FIRST = {"sweeps", "arms", "trials", "attempts", "epoch_reports", "events"}


def stored(database: Database) -> dict[str, list[dict[str, Any]]]:
    """Every row of the tables that were there from the first."""
    found = MetaData()
    found.reflect(database.engine)
    with database.engine.connect() as connection:
        return {
            name: sorted(
                (dict(row._mapping) for row in connection.execute(select(found.tables[name]))),
                key=lambda row: [
                    str(row[column.name]) for column in found.tables[name].primary_key
                ],
            )
            for name in FIRST
        }


def test_the_newest_revision_is_what_the_models_say(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'lrd.db'}")
    migrations.upgrade(database.engine)
    migrations.upgrade(database.engine)  # a second start changes nothing
    migrations.check(database.engine)
    assert "trials" in inspect(database.engine).get_table_names()
    migrations.downgrade(database.engine, "base")
    assert inspect(database.engine).get_table_names() == ["lrd_alembic_version"]
    database.close()


def shape(database: Database) -> dict[str, Any]:
    """What `migrations.check` does not look at: checks, conditions of indexes, foreign keys."""
    found = inspect(database.engine)
    return {
        table: {
            "checks": {
                (each["name"], each["sqltext"]) for each in found.get_check_constraints(table)
            },
            "unique": {each["name"] for each in found.get_unique_constraints(table)},
            "foreign": {
                (each["name"], each["referred_table"], str(each["options"]))
                for each in found.get_foreign_keys(table)
            },
            "indexes": {
                (each["name"], *map(str, each.get("dialect_options", {}).values()))
                for each in found.get_indexes(table)
            },
        }
        for table in Base.metadata.tables
    }


def test_the_newest_revision_has_the_constraints_of_the_models(database: Database) -> None:
    migrated = shape(database)
    Base.metadata.drop_all(database.engine)
    Base.metadata.create_all(database.engine)
    assert migrated == shape(database)


def test_what_refers_to_a_row_is_found_by_an_index(database: Database) -> None:
    """Catches: a removed row that has the database read all of a table for what refers to it."""
    found = inspect(database.engine)
    for table in Base.metadata.tables:
        first = {columns[0] for columns in (
            found.get_pk_constraint(table)["constrained_columns"],
            *(each["column_names"] for each in found.get_indexes(table)),
            *(each["column_names"] for each in found.get_unique_constraints(table)),
        )}  # fmt: skip
        for foreign in found.get_foreign_keys(table):
            assert foreign["constrained_columns"][0] in first, f"{table}: {foreign['name']}"


def test_of_several_that_upgrade_at_once_one_does_it(database: Database) -> None:
    """Catches: replicas whose first start fails, for each of them makes the same tables."""
    migrations.downgrade(database.engine, "base")
    url = database.engine.url.render_as_string(hide_password=False)
    ours = [Database(url) for _ in range(3)]
    with ThreadPoolExecutor() as threads:
        list(threads.map(lambda each: migrations.upgrade(each.engine), ours))
    migrations.check(database.engine)
    for each in ours:
        each.close()


def test_an_upgrade_may_take_its_time(postgres: Callable[[], str]) -> None:
    """Catches: an index of many rows that is given up after the minute that a request may take."""
    with closing(Database(postgres())) as database:
        with migrations._begin(database.engine) as connection:
            for limit in ("statement_timeout", "idle_in_transaction_session_timeout"):
                assert connection.exec_driver_sql(f"show {limit}").scalar() == "0"
            assert connection.exec_driver_sql("show lock_timeout").scalar() == "15s"
        with database.read() as session:
            assert session.execute(text("show statement_timeout")).scalar() == "1min"


@pytest.mark.parametrize("step", ["upgrade", "check", "refuse_another"])
def test_a_schema_of_a_newer_version_is_refused_in_a_sentence(
    database: Database, step: str
) -> None:
    """Catches: 200 lines of Alembic's, or the advice to upgrade what is newer already."""
    with database.write() as session:
        session.execute(text("update lrd_alembic_version set version_num = '9999'"))
    with pytest.raises(LRDError, match=f"is 9999, of a newer version .* up to {REVISIONS[0]}"):
        getattr(migrations, step)(database.engine)


def test_the_dispatcher_says_what_schema_it_needs(database: Database) -> None:
    """Catches: one that asks for ever, and calls the database away."""
    await_schema(database)
    migrations.downgrade(database.engine, "0005")
    with pytest.raises(LRDError, match=f"is 0005, .* with {REVISIONS[0]}: `lrd db upgrade`"):
        await_schema(database)
    migrations.downgrade(database.engine, "base")
    with pytest.raises(LRDError, match="is not there yet"):
        await_schema(database)


def test_the_dispatcher_waits_for_a_database_that_is_away(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = [OperationalError("select", None, Exception("refused")), None]

    def refuse_another(engine: Engine) -> None:
        if (error := answers.pop(0)) is not None:
            raise error

    monkeypatch.setattr(migrations, "refuse_another", refuse_another)
    monkeypatch.setattr(storage, "PAUSE_SECONDS", 0)
    await_schema(database)
    assert answers == []


def finished_sweep(api: TestClient, database: Database, settings: Settings) -> str:
    sweep_id = str(api.post("/api/v1/sweeps", json=small_sweep()).json()["id"])
    dispatcher = Dispatcher(database, InlineExecutor(settings.trials), lease_seconds=60)
    for _ in range(20):
        dispatcher.step(0)
    assert api.get(f"/api/v1/sweeps/{sweep_id}").json()["state"] == "succeeded"
    return sweep_id


@pytest.mark.parametrize("revision", REVISIONS)
def test_what_is_stored_goes_down_and_up_again(
    idle_api: TestClient, database: Database, settings: Settings, revision: str
) -> None:
    table = f"/api/v1/sweeps/{finished_sweep(idle_api, database, settings)}/table"
    before, shown = stored(database), idle_api.get(table).json()
    assert len(before["epoch_reports"]) == 8
    database.engine.dispose()
    migrations.downgrade(database.engine, revision)
    below = stored(database)
    for name, rows in before.items():
        for row, old in zip(rows, below[name], strict=True):
            assert {column: row.get(column) for column in old} == old
    migrations.upgrade(database.engine)
    migrations.check(database.engine)
    assert stored(database) == before
    assert idle_api.get(table).json() == shown


def test_a_populated_database_can_be_emptied_and_begun_anew(
    api: TestClient, database: Database, settings: Settings
) -> None:
    finished_sweep(api, database, settings)
    migrations.downgrade(database.engine, "base")
    assert inspect(database.engine).get_table_names() == ["lrd_alembic_version"]
    migrations.upgrade(database.engine)
    assert not any(stored(database).values())


def test_what_the_api_does_by_itself_outlives_a_schema_that_is_away(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Catches: a task that ended at its first look into a table that a migration had taken down.
    steps = 0

    async def soon(seconds: float) -> None:
        nonlocal steps
        steps += 1
        if steps > 3:
            raise asyncio.CancelledError

    monkeypatch.setattr(asyncio, "sleep", soon)
    migrations.downgrade(database.engine, "base")
    for task in (
        app._send(Sender(database, private=False)),
        app._housekeeping(database, access.Uses(), 1),
    ):
        steps = 0
        with pytest.raises(asyncio.CancelledError):
            asyncio.run(task)
        assert steps == 4


def test_what_the_api_does_by_itself_outlives_an_error_that_nobody_foresaw(
    database: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Catches: trials that are never given back, and webhooks never sent, until the next start,
    because once there was no memory for a thread."""
    pauses = iter(range(3))

    async def soon(seconds: float) -> None:
        if next(pauses, None) is None:
            raise asyncio.CancelledError

    async def none(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(asyncio, "sleep", soon)
    monkeypatch.setattr(asyncio, "to_thread", none)
    for task in (
        app._send(Sender(database, private=False)),
        app._housekeeping(database, access.Uses(), 1),
    ):
        pauses = iter(range(3))
        caplog.clear()
        with pytest.raises(asyncio.CancelledError):
            asyncio.run(task)
        assert caplog.text.count("RuntimeError: can't start new thread") == 3
