"""The errors of a database that does not answer, or refuses what it is given; after either, nothing
of the transaction has happened."""

import contextlib
from collections.abc import Iterator

from sqlalchemy.exc import (
    DatabaseError,
    DataError,
    DBAPIError,
    InterfaceError,
    OperationalError,
    ProgrammingError,
    StatementError,
    TimeoutError,
)

from lrd_core.errors import LRDError, first_line

NoConnection = TimeoutError
"""Every connection of this process is in use, and none came free in time."""
AWAY = (OperationalError, InterfaceError, NoConnection)


@contextlib.contextmanager
def in_words() -> Iterator[None]:
    """Turn the database's errors into one sentence, for the user who starts a process or command.

    Raises:
        LRDError: it does not answer, is no database, or is of another version.
    """
    try:
        yield
    except DatabaseError as error:
        said = first_line(error.orig or error)
        if isinstance(error, ProgrammingError) or said.startswith("no such "):
            remedy = "If it is new or of an older version, `lrd db upgrade`"
        else:
            remedy = (
                "Check LRD_DATABASE_URL (without it, a file in LRD_STORAGE_DIR), and whether the "
                "server that it names is running"
            )
        raise LRDError(f"the database answers: {said}. {remedy}") from None


def is_unfit(error: Exception) -> bool:
    """Whether the error is in the data to be written: malformed, or such as no database takes."""
    if isinstance(error, DBAPIError):
        return isinstance(error, DataError)
    return isinstance(error, StatementError | ValueError | TypeError | KeyError)
