"""The tables behind a bundle's rows, in order, with columns of JSON as text."""

from typing import Any

from sqlalchemy import (
    JSON,
    Dialect,
    Insert,
    MetaData,
    Select,
    Table,
    Text,
    TypeDecorator,
    cast,
    insert,
    select,
)

from service.store.models import Arm, Attempt, Base, Event, Report, Sweep, Trial

VERSION = 2
BATCH = 5_000
"""Rows held in memory at a time."""
TABLES: dict[str, Table] = {
    name: Base.metadata.tables[model.__tablename__]
    for name, model in {
        "sweep": Sweep, "arms": Arm, "trials": Trial, "attempts": Attempt, "reports": Report,
        "events": Event,
    }.items()
}  # fmt: skip
"""Name in the bundle -> table, each referring only to those before it."""
_OWN = {"deleted_at", "paused_because", "paced_from", "finished_before"}
"""Columns that no bundle has: its sweep is not deleted, and has ended."""


class Written(TypeDecorator[Any]):
    """A column of JSON whose values stay JSON texts. Parsing and writing one again would cost more
    than the rest of its row."""

    impl = JSON
    cache_ok = True

    def bind_processor(self, dialect: Dialect) -> None:
        """Pass the text through unchanged."""


def names_of(name: str) -> list[str]:
    """The table's columns that a bundle contains."""
    return [key for key in TABLES[name].c.keys() if key not in _OWN]  # noqa: SIM118


def json_names(name: str) -> frozenset[str]:
    """The table's columns that hold JSON."""
    return frozenset(column.key for column in TABLES[name].c if isinstance(column.type, JSON))


def rows_of(name: str, sweep_id: str) -> Select[Any]:
    """A query for the sweep's rows of a table, in order, JSON as text."""
    table, trials, written = TABLES[name], TABLES["trials"], json_names(name)
    query = select(
        *(
            cast(table.c[key], Text).label(key) if key in written else table.c[key]
            for key in names_of(name)
        )
    )
    if name == "sweep":
        query = query.where(table.c.id == sweep_id)
    elif "sweep_id" in table.c:
        query = query.where(table.c.sweep_id == sweep_id)
    else:
        query = query.join(trials, trials.c.id == table.c.trial_id)
        query = query.where(trials.c.sweep_id == sweep_id)
    return query.order_by(*table.primary_key)


def insert_into(name: str) -> Insert:
    """An insert statement for such rows."""
    return insert(_WRITTEN.tables[TABLES[name].name])


def _with_texts() -> MetaData:
    """A copy of the tables with JSON as text."""
    copied = MetaData()
    for table in Base.metadata.sorted_tables:
        for column in table.to_metadata(copied).c:
            if isinstance(column.type, JSON):
                column.type = Written()
    return copied


_WRITTEN = _with_texts()
