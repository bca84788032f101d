"""Which clients the service understands: the header `LRD-Version`, sent both ways.

The service says its version on every answer. A client says its own with every request, and is told
when the two do not fit; who sends none (curl, a browser) is answered as ever.
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
"""What this process makes its answers with, as it was when it began: a sum over the service's own
sources, and those of lrd that a number depends on."""
OLDEST_CLIENT = "0.1"
"""Raised when an answer or a request changes so that an older client would misread it."""


def tag_of_results(version: int) -> str:
    """The `ETag` of what is made of a sweep at this version: another code may say it otherwise."""
    return f'"{version}-{CODE}"'


def check(client: str | None) -> None:
    """Refuse a client that is too old, or newer than this service.

    Raises:
        WrongVersion: with what to install.
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
    """(major, minor): the third number changes no contract."""
    found = re.match(r"(\d{1,6})\.(\d{1,6})(?![\d])", text)
    return None if found is None else (int(found[1]), int(found[2]))


def _known(text: str) -> tuple[int, int]:
    series = _series(text)
    assert series is not None
    return series
