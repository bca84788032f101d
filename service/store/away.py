"""What is raised where the database does not answer, or does not take what it is given; nothing of
the transaction has happened."""

import contextlib
from collections.abc import Iterator

from sqlalchemy.exc import (
    DatabaseError,
    DataError,
    DBAPIError,
    InterfaceError,
    OperationalError,
    StatementError,
    TimeoutError,
)

from lrd_core.errors import LRDError

NoConnection = TimeoutError
"""Every connection of this process is in use, and none came free in time."""
AWAY = (OperationalError, InterfaceError, NoConnection)


@contextlib.contextmanager
def in_words() -> Iterator[None]:
    """Within, what a database refuses is a sentence, for who starts a process or a command.

    Raises:
        LRDError: it does not answer, is none, or is of another version.
    """
    try:
        yield
    except DatabaseError as error:
        said = str(error.orig).splitlines()[0]
        raise LRDError(
            f"the database answers: {said}. If it is new or of an older version, `lrd db upgrade`"
        ) from None


def is_unfit(error: Exception) -> bool:
    """Whether it is about what was to be written: it is not what it should be, or no database takes
    it."""
    if isinstance(error, DBAPIError):
        return isinstance(error, DataError)
    return isinstance(error, StatementError | ValueError | TypeError | KeyError)
