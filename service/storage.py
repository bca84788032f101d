"""Ensure that a folder of trials belongs to one database, because each counts its trials from 1.

If two databases shared a folder, trial 3 of one would resume from the other's checkpoints, stop at
its requests, and lose its files when the other trial is deleted.
"""

import contextlib
import logging
import time
import uuid
from collections.abc import Iterator

from sqlalchemy import select
from sqlalchemy.orm import Session

from lrd_core.errors import LRDError, first_line
from lrd_core.trial_folder import folder_at
from service.errors import Unavailable
from service.store import locks
from service.store.away import AWAY
from service.store.models import Identity
from service.store.session import Database

log = logging.getLogger(__name__)

MARK = "database"
"""The file in the folder of trials that holds the id of their database."""
PAUSE_SECONDS = 1.0


class AnothersFolder(LRDError):
    """The folder of trials belongs to another database."""


@contextlib.contextmanager
def answering() -> Iterator[None]:
    """Guard a block that reads from the trials' folders.

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
    """Claim the folder of trials for the database, unless it already belongs to one.

    Wait if the database is away; if the storage is away, leave it to the next dispatcher.

    Args:
        trials: a path or an fsspec URL.

    Raises:
        AnothersFolder: it belongs to another database.
    """
    while True:
        try:
            with database.write() as session:
                here = _identity(session)
            break
        except AWAY as error:
            log.warning("the database does not answer (%s)", first_line(error))
            time.sleep(PAUSE_SECONDS)
    try:
        folder = folder_at(trials)
        if not folder.exists(MARK):
            folder.write(MARK, here.encode())
        refuse_anothers(trials, here)
    except OSError as error:
        log.warning("cannot read which database the folder of trials belongs to: %s", error)


def identity_of(session: Session) -> str | None:
    """The id of this database; None before a dispatcher has started on it."""
    return session.scalar(select(Identity.id))


def refuse_anothers(trials: str, here: str | None) -> None:
    """Refuse to remove anything from a folder of trials unless it is known to be this database's.

    `here`: the id of this database; None before a dispatcher has started on it, so that it has no
    folder yet.

    Raises:
        AnothersFolder: it belongs to another database.
        OSError: it cannot be read, or does not say whose it is: the place where storage is to be
            mounted looks so while it is not.
    """
    folder = folder_at(trials)
    if not folder.exists(MARK):
        if here is None:
            return
        raise FileNotFoundError(
            f"{trials} has no file {MARK!r}, which says whose the trials in it are: is the storage "
            "mounted? A dispatcher writes the file when it starts"
        )
    there = folder.read(MARK).decode(errors="replace")
    if there != here:
        raise AnothersFolder(
            f"the trials in {trials} belong to another database ({there}; this one is "
            f"{here or 'without an id yet'}): give each database a folder of its own, by "
            "LRD_STORAGE_DIR or LRD_TRIALS_URL. If the folder does belong to this database (it was "
            f"copied, or the database restored), delete the file {MARK!r} in it"
        )


# --- inside ---------------------------------------------------------------------------------------


def _identity(session: Session) -> str:
    locks.hold(session, "the identity of the database")
    here = identity_of(session)
    if here is None:
        here = uuid.uuid4().hex
        session.add(Identity(id=here))
    return here
