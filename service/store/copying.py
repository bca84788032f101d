"""Copy a whole database into an empty one, for instance a laptop's SQLite file to PostgreSQL."""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Integer, String, Table, func, insert, select, text
from sqlalchemy.orm import Session

from lrd_core.errors import LRDError
from service.store import leases
from service.store.models import Base, Lease
from service.store.session import Database, on_postgres

ROWS = 2000
"""Rows in memory at a time."""


def copy(source: Database, target: Database) -> dict[str, int]:
    """Copy every row; the number of rows by table. Both databases must have the newest schema.

    It is one transaction of the target, so an interrupted copy leaves it empty. The lease is not
    copied. Ids stay, and with them addresses, cursors and the trials' folders.

    Raises:
        LRDError: the target has rows, a text of the source is longer than its column, or a
            dispatcher works on the source and would go on changing it.
    """
    tables = [table for table in Base.metadata.sorted_tables if table.name != Lease.__tablename__]
    with source.read() as reading, target.write() as writing:
        refuse_led(reading)
        for table in tables:
            if writing.execute(select(table).limit(1)).first() is not None:
                raise LRDError(
                    f"the target has rows in its table {table.name} already: a copy goes into an "
                    "empty database (`lrd export` and `lrd import` move single sweeps)"
                )
        return {table.name: _copy(reading, writing, table) for table in tables}


def refuse_led(source: Session) -> None:
    """Refuse to copy from a database on which a dispatcher works.

    Raises:
        LRDError: it would go on changing it.
    """
    leader = leases.current(source)
    if leader is not None:
        raise LRDError(
            f"process {leader.pid} on {leader.host} dispatches from the source: stop the service "
            "there first, so that nothing is recorded that the copy would lack"
        )


def _copy(reading: Session, writing: Session, table: Table) -> int:
    count = 0
    for rows in _chunks(reading, table):
        _refuse_long(table, rows)
        writing.execute(insert(table), rows)
        count += len(rows)
    if on_postgres(writing):
        _continue_numbers(reading, writing, table)
    return count


def _refuse_long(table: Table, rows: list[dict[str, Any]]) -> None:
    """SQLite stores a text of any length, and earlier versions let some in that PostgreSQL would
    refuse without saying where they are."""
    limits = [(each.name, each.type.length) for each in table.c if isinstance(each.type, String)]
    for name, most in limits:
        for row in rows:
            if most and row[name] is not None and len(row[name]) > most:
                where = " and ".join(f"{key.name} = {row[key.name]!r}" for key in table.primary_key)
                shorten = f"set {name} = substr({name}, 1, {most}) where {where}"
                raise LRDError(
                    f"{name!r} of the row with {where} in the source's table {table.name} has "
                    f"{len(row[name])} characters, and may have {most}: nothing was copied. "
                    f"Shorten it there (`update {table.name} {shorten}`), then copy again"
                )


def _chunks(reading: Session, table: Table) -> Iterator[list[dict[str, Any]]]:
    ordered = select(table).order_by(*table.primary_key)
    for rows in reading.execute(ordered, execution_options={"yield_per": ROWS}).partitions():
        yield [dict(row._mapping) for row in rows]


def _continue_numbers(reading: Session, writing: Session, table: Table) -> None:
    """Advance the sequence of new ids past the copied ones, which do not move it by themselves, and
    past ids of deleted rows, if the source never gives those again."""
    own = table.autoincrement_column
    if own is None or not isinstance(own.type, Integer):
        return
    newest = writing.scalar(select(func.max(own))) or 0
    if not on_postgres(reading):
        given = text("select max(seq) from sqlite_sequence where name = :table")
        newest = max(newest, reading.scalar(given, {"table": table.name}) or 0)
    if not newest:
        return
    sequence = text("select setval(pg_get_serial_sequence(:table, :column), :newest)")
    writing.execute(sequence, {"table": table.name, "column": own.name, "newest": newest})
