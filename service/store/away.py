"""What is raised where the database does not answer; nothing of the transaction has happened."""

from sqlalchemy.exc import InterfaceError, OperationalError, TimeoutError

NoConnection = TimeoutError
"""Every connection of this process is in use, and none came free in time."""
AWAY = (OperationalError, InterfaceError, NoConnection)
