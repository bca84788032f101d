"""One sweep's rows in a SQLite file of their own, where slow work on them blocks nothing.

A bundle's tables and figures take long, but a transaction must not: PostgreSQL ends one that is
idle, and SQLite's writers wait for it. So the rows are copied first and processed afterwards.
"""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy.orm import Session

from service.bundles.tables import BATCH, TABLES, insert_into, names_of, rows_of
from service.errors import Conflict
from service.store import sweeps as store
from service.store.models import Base
from service.store.session import Database


@contextlib.contextmanager
def taken(database: Database, sweep_id: str) -> Iterator[Session]:
    """A session on a copy of the sweep, outside of any transaction of `database`.

    Raises:
        NotFound: there is no such sweep.
        Conflict: it is still running, and a bundle holds only what will not change.
    """
    with tempfile.TemporaryDirectory(prefix="lrd-bundle-") as folder:
        copy = Database(f"sqlite:///{Path(folder) / 'sweep.db'}", lasting=False)
        try:
            _fill(copy, database, sweep_id)
            with copy.read() as session:
                yield session
        finally:
            copy.close()


def _fill(copy: Database, database: Database, sweep_id: str) -> None:
    Base.metadata.create_all(copy.engine, tables=list(TABLES.values()))
    with copy.write() as writing, database.read() as reading:
        sweep = store.get(reading, sweep_id)
        if not sweep.has_ended:
            raise Conflict(f"sweep {sweep_id} still runs; a bundle is made of one that has ended")
        for name in TABLES:
            query = rows_of(name, sweep_id).execution_options(yield_per=BATCH)
            # The values are as SQLite takes them, in the table's order: no conversion is needed.
            into = str(insert_into(name).compile(copy.engine, column_keys=names_of(name)))
            for rows in reading.execute(query).partitions():
                writing.connection().exec_driver_sql(into, [tuple(row) for row in rows])
