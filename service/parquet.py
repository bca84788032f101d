"""The rows of an export as Parquet.

The type of a column is known before its first row, from the tables and from all configurations of
the sweep.
"""

import itertools
import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import IO, Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from service import exports
from service.analysis.configurations import flatten
from service.store.models import Arm, Trial

_OF_REPORTS = dict.fromkeys(("trial_id", "arm_id", "seed", "attempt", "epoch"), int) | {"arm": str}


def write(session: Session, sweep_id: str, kind: str, out: IO[bytes]) -> None:
    """Write the rows as a Parquet file. Lists are written as JSON, and so is a setting that is a
    number in one arm and a word in another."""
    import pyarrow as pa  # takes a tenth of a second, which other answers can do without
    import pyarrow.parquet as pq

    own = _of_trials(session, sweep_id) if kind == "trials" else _OF_REPORTS
    arrow = {
        bool: pa.bool_(), int: pa.int64(), float: pa.float64(), str: pa.string(),
        datetime: pa.timestamp("ms", tz="UTC"),
    }  # fmt: skip
    types = {name: own.get(name, float) for name in exports.columns(session, sweep_id, kind)}
    schema = pa.schema([(name, arrow[each]) for name, each in types.items()])
    with pq.ParquetWriter(out, schema) as writer:
        for batch in _batches(exports.rows(session, sweep_id, kind)):
            columns = [
                pa.array([_as(each, row.get(name)) for row in batch], arrow[each])
                for name, each in types.items()
            ]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema))


# --- inside ---------------------------------------------------------------------------------------


def _of_trials(session: Session, sweep_id: str) -> dict[str, type]:
    """The types of the columns other than metrics, which are all numbers."""
    tables = {column.key: column.type.python_type for column in Trial.__table__.columns}
    configs = session.scalars(select(Arm.config).where(Arm.sweep_id == sweep_id))
    return tables | dict.fromkeys(exports.TIMES, datetime) | {"arm": str} | _of_settings(configs)


def _of_settings(configs: Iterable[dict[str, Any]]) -> dict[str, type]:
    seen: dict[str, set[type]] = {}
    for config in configs:
        for path, value in flatten(config).items():
            found = seen.setdefault(f"config.{path}", set())
            if value is not None:
                found.add(_kind(value))
    return {name: found.pop() if len(found) == 1 else str for name, found in seen.items()}


def _kind(value: Any) -> type:
    if isinstance(value, bool):
        return bool
    # A number that is whole in these arms may be a fraction in those of another sweep.
    return float if isinstance(value, int | float) else str


def _as(kind: type, value: Any) -> Any:
    if value is None:
        return None
    if kind is str:
        return value if isinstance(value, str) else json.dumps(value)
    if kind is datetime:
        return _moment(value)
    return float(value) if kind is float else value


def _moment(value: float | str) -> datetime:
    """The time given by seconds since 1970 or in RFC 3339."""
    if isinstance(value, str):
        return datetime.fromisoformat(value)
    return datetime.fromtimestamp(value, UTC)


def _batches(found: Iterator[exports.Row]) -> Iterator[list[exports.Row]]:
    while batch := list(itertools.islice(found, exports.BATCH)):
        yield batch
