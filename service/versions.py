"""Which clients the service understands: the header `LRD-Version`, sent both ways.

The service sends its version with every answer. A client sends its own with every request, and is
refused if the two do not fit. Clients that send none (curl, a browser) are served as usual.
"""

import re
from importlib.metadata import version
from pathlib import Path

from lrd_core import sources, sums
from service.errors import WrongVersion

HEADER = "LRD-Version"
VERSION = version("learning-rate-dropout")
_OWN = sums.of(sums.below(Path(__file__).parent, ".py"))
CODE = sums.short(f"{sources.IMPORTED} {_OWN}".encode())
"""The code of this process as of its start: a checksum of the service's own sources and of the
sources of lrd on which a number depends."""
OLDEST_CLIENT = "0.1"
"""Raised when an answer or a request changes so that an older client would misread it."""


def tag_of_results(version: int) -> str:
    """The `ETag` of results of a sweep at this version. It includes the code's checksum, because
    other code may compute or word them differently."""
    return f'"{version}-{CODE}"'


def check(client: str | None) -> None:
    """Refuse a client that is too old for this service or newer than it.

    Raises:
        WrongVersion: the message says what to install.
    """
    if client is None:
        return
    theirs = _series(client)
    if theirs is None:
        raise WrongVersion(f"{HEADER} is a version such as {VERSION}, not {client[:40]!r}")
    if theirs < _known(OLDEST_CLIENT):
        raise WrongVersion(
            f"this client is of version {client}, too old for the service ({VERSION}), which "
            f"understands {OLDEST_CLIENT} and later: install learning-rate-dropout=={VERSION}"
        )
    if theirs > _known(VERSION):
        raise WrongVersion(
            f"this client is of version {client}, newer than the service ({VERSION}): upgrade the "
            f"service, or install learning-rate-dropout=={VERSION} here"
        )


def _series(text: str) -> tuple[int, int] | None:
    """(major, minor); the third number does not change the contract."""
    found = re.match(r"(\d{1,6})\.(\d{1,6})(?![\d])", text)
    return None if found is None else (int(found[1]), int(found[2]))


def _known(text: str) -> tuple[int, int]:
    series = _series(text)
    assert series is not None
    return series
