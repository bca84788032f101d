"""A database's address: a SQLAlchemy URL of SQLite or PostgreSQL, with this service's driver."""

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from lrd_core.errors import LRDError

_DRIVERS = {"sqlite": "sqlite", "postgresql": "postgresql+psycopg"}


def address(url: str) -> URL:
    """Parse `url`.

    Raises:
        LRDError: it is no URL, one of another kind of database, or one of SQLite without a file.
    """
    scheme, colon, _ = url.partition(":")  # what follows may hold a password
    try:
        parsed = make_url(url)
        parsed = parsed.set(drivername=_DRIVERS[parsed.get_backend_name()])
    except (ArgumentError, KeyError, ValueError):
        raise LRDError(
            f"{scheme + colon + '…' * len(colon)!r} is no URL of a database of this service: write "
            "postgresql://USER@HOST/NAME, or sqlite:////FOLDER/FILE.db with all of its slashes"
        ) from None
    if scheme.startswith("sqlite") and parsed.database in (None, "", ":memory:"):
        raise LRDError(
            "SQLite needs a file, for several processes share the database: write "
            "sqlite:////FOLDER/FILE.db"
        )
    return parsed
