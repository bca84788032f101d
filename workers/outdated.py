"""Code that has changed: a worker process is kept for later trials, and keeps what it imported.

A trial starts in a process that has imported the very code that lies on disk, lrd's own and that of
the packages it takes something of, or nothing yet; once that has changed on disk, the processes
that have the old one end.
"""

import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from lrd_core import sources

LOOK_SECONDS = 5.0
"""How often a process looks whether its code is still that on disk."""
_CODE = "LRD_CODE"
"""The variable that tells processes of different code apart."""

_at_work = threading.Lock()
_watchers: list[threading.Thread] = []


def runtime_env(spec: Mapping[str, Any]) -> dict[str, Any]:
    """What Ray is told of a trial's process: it keeps one for tasks that are told the same."""
    code = ", ".join(filter(None, sources.made_by(spec)))
    return {"runtime_env": {"env_vars": {_CODE: code}}}


@contextmanager
def watched(spec: Mapping[str, Any]) -> Iterator[None]:
    """Within, a trial runs in this process; Ray gives it one at a time."""
    if not _is_kept():
        yield
        return
    with _at_work:
        if not _watchers:
            _watchers.append(threading.Thread(target=_end_when_outdated, args=(spec,), daemon=True))
            _watchers[0].start()
        yield


def was_edited() -> bool:
    """Whether lrd was edited since this process began to import it: what it has may be the old
    code, or the old in one file and the new in another."""
    return _is_kept() and sources.on_disk() != sources.IMPORTED


# --- inside ---------------------------------------------------------------------------------------


def _is_kept() -> bool:
    """Whether this is a process of Ray's, and no test's or dispatcher's."""
    return _CODE in os.environ


def _end_when_outdated(spec: Mapping[str, Any]) -> None:
    imported = sources.made_by(spec, sources.IMPORTED)
    while sources.made_by(spec) == imported:
        time.sleep(LOOK_SECONDS)
    _at_work.acquire()  # what runs here has begun with the old code, and ends with it
    os._exit(0)  # nothing will be started here: Ray is told of other processes now
