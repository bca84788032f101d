"""Whose the folder of trials is: one database's, for each counts its trials from 1.

With two databases over one folder the trial 3 of one would go on from the checkpoints of the
other's, stop at its requests, and lose what it has when that is deleted.
"""

import contextlib
import logging
import time
import uuid
from collections.abc import Iterator

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from lrd_core.errors import LRDError
from lrd_core.trial_folder import folder_at
from service.errors import Unavailable
from service.store.away import AWAY
from service.store.models import Identity
from service.store.session import Database

log = logging.getLogger(__name__)

MARK = "database"
"""The file below the trials that says whose they are."""
PAUSE_SECONDS = 1.0
_NAMING = int.from_bytes(b"lrdnames")
"""The number of PostgreSQL's advisory lock on giving a database its identity."""


class AnothersFolder(LRDError):
    """The folder of trials is that of another database."""


@contextlib.contextmanager
def answering() -> Iterator[None]:
    """What is read from the trials' folders meanwhile.

    Raises:
        Unavailable: the storage does not answer.
    """
    try:
        yield
    except OSError as error:
        log.error("the storage of the trials' folders does not answer: %s", error)
        raise Unavailable(
            "the storage of the trials' folders does not answer at present; try again in half a "
            "minute",
            retry_after=30,
        ) from error


def own(database: Database, trials: str) -> None:
    """Make the folder of trials the database's, if it is nobody's. A database that is away is
    waited for; storage that is away is looked at when the next dispatcher starts.

    Args:
        trials: a path or an fsspec URL.

    Raises:
        AnothersFolder: it is another's.
    """
    while True:
        try:
            with database.write() as session:
                here = _identity(session)
            break
        except AWAY as error:
            log.warning("the database does not answer (%s)", str(error).splitlines()[0])
            time.sleep(PAUSE_SECONDS)
    try:
        folder = folder_at(trials)
        if not folder.exists(MARK):
            folder.write(MARK, here.encode())
        _compare(trials, here, folder.read(MARK).decode())
    except OSError as error:
        log.warning("whose the folder of trials is, cannot be read: %s", error)


def identity_of(session: Session) -> str | None:
    """Which database this is; None where no dispatcher has started on it."""
    return session.scalar(select(Identity.id))


def refuse_anothers(trials: str, here: str | None) -> None:
    """Before anything in the folder of trials is removed for the database `here`; None is one on
    which no dispatcher has started, so that it has no folder yet.

    Raises:
        AnothersFolder: it is another database's.
        OSError: it cannot be read.
    """
    folder = folder_at(trials)
    if folder.exists(MARK):
        _compare(trials, here, folder.read(MARK).decode())


# --- inside ---------------------------------------------------------------------------------------


def _identity(session: Session) -> str:
    if session.get_bind().dialect.name == "postgresql":  # SQLite has one writer
        session.execute(select(func.pg_advisory_xact_lock(_NAMING)))
    here = identity_of(session)
    if here is None:
        here = uuid.uuid4().hex
        session.add(Identity(id=here))
    return here


def _compare(trials: str, here: str | None, there: str) -> None:
    if there != here:
        raise AnothersFolder(
            f"the trials in {trials} are those of another database ({there}; this one is "
            f"{here or 'without an id yet'}): give each database a folder of its own, by "
            "LRD_STORAGE_DIR or LRD_TRIALS_URL. If the folder is this database's all the same (it "
            f"was copied, or the database restored), delete the file {MARK!r} in it"
        )
