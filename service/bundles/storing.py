"""Import: store a checked bundle's rows in batches, under ids of this database."""

import contextlib
from collections.abc import Iterable, Iterator

from sqlalchemy.exc import DataError, IntegrityError
from sqlalchemy.orm import Session

from lrd_core.errors import first_line
from service.bundles.checking import Bundle, Row
from service.bundles.tables import BATCH, insert_into
from service.errors import Conflict, Unprocessable
from service.store import sweeps as store
from service.store.models import Event, Purged, Sweep
from service.store.reuse import IMPORTED
from service.store.session import clock

BATCH_CHARS = 16 << 20
"""Text in a batch after which no more rows are added, because messages may be long."""


def store_bundle(session: Session, bundle: Bundle, owner: str | None) -> Sweep:
    """Store the sweep for `owner`, with its id, trials, reports and events.

    Raises:
        Conflict: a sweep with its id already exists, or is not yet completely removed.
        Unprocessable: the database rejects a row although it was checked.
    """
    sweep_id = bundle.sweep["id"]
    here = Conflict(f"sweep {sweep_id} is here already")
    there = session.get(Sweep, sweep_id)
    if there is not None and there.deleted_at is not None:
        raise Conflict(
            f"sweep {sweep_id} was deleted, and what it has left is being removed; send the bundle "
            "again later",
            retry_after=1,
        )
    if there is not None:
        raise here
    earlier = session.get(Purged, sweep_id)
    row = bundle.sweep | {"owner": owner, "version": 1 if earlier is None else earlier.version + 1}
    try:
        _insert(session, "sweep", [row])
    except IntegrityError:  # another request has just imported it
        raise here from None
    now = clock(session)
    # Before the past events in the bundle: an imported sweep is recognised by its first event.
    session.add(Event(sweep_id=sweep_id, at=now, kind=IMPORTED))
    session.flush()
    arm_ids = _insert_anew(session, "arms", bundle.arms)
    trials = (row | {"arm_id": arm_ids[row["arm_id"]]} for row in bundle.rows("trials"))
    trial_ids = _insert_anew(session, "trials", trials)
    for name in ("attempts", "reports", "events"):
        for first, rows in _batches(bundle.rows(name)):
            for row in rows:
                row.pop("id", None)
                if row["trial_id"] is not None:
                    row["trial_id"] = trial_ids[row["trial_id"]]
            with _refused(name, first, rows):
                _insert(session, name, rows)
    return store.get(session, sweep_id)


# --- inside ---------------------------------------------------------------------------------------


def _insert(session: Session, name: str, rows: list[Row]) -> None:
    session.connection().execute(insert_into(name), rows)


def _insert_anew(session: Session, name: str, rows: Iterable[Row]) -> dict[int, int]:
    """Insert rows under ids of this database, and return old id -> new id."""
    ids: dict[int, int] = {}
    into = insert_into(name)
    new = into.returning(into.table.c.id, sort_by_parameter_order=True)
    for first, batch in _batches(rows):
        old = [row.pop("id") for row in batch]
        with _refused(name, first, batch):
            made = session.connection().execute(new, batch).scalars()
            ids |= zip(old, made, strict=True)
    return ids


def _batches(rows: Iterable[Row]) -> Iterator[tuple[int, list[Row]]]:
    """Batches of rows, each with the number of its first row."""
    first, batch, size = 1, list[Row](), 0
    for row in rows:
        batch.append(row)
        size += sum(len(value) for value in row.values() if isinstance(value, str))
        if len(batch) == BATCH or size > BATCH_CHARS:
            yield first, batch
            first, batch, size = first + len(batch), [], 0
    if batch:
        yield first, batch


@contextlib.contextmanager
def _refused(name: str, first: int, rows: list[Row]) -> Iterator[None]:
    try:
        yield
    except (IntegrityError, DataError) as error:
        where = f"rows/{name}.jsonl, rows {first} to {first + len(rows) - 1}"
        said = first_line(error.orig or error)
        raise Unprocessable(f"{where}: the database does not take them: {said}") from None
