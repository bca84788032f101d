"""What is raised where the database does not answer, or does not take what it is given; nothing of
the transaction has happened."""

from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    InterfaceError,
    OperationalError,
    StatementError,
    TimeoutError,
)

NoConnection = TimeoutError
"""Every connection of this process is in use, and none came free in time."""
AWAY = (OperationalError, InterfaceError, NoConnection)


def is_unfit(error: Exception) -> bool:
    """Whether it is about what was to be written: it is not what it should be, or no database takes
    it."""
    if isinstance(error, DBAPIError):
        return isinstance(error, DataError)
    return isinstance(error, StatementError | ValueError | TypeError | KeyError)
