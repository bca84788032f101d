"""Code that has changed: a worker process is kept for later trials, and keeps what it imported.

A trial that takes something of another package starts in a process that has imported that very
code, or nothing yet; once it has changed on disk, the processes that have the old one end.
"""

import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from lrd_core import plugins

LOOK_SECONDS = 5.0
"""How often a process looks whether its code is still that on disk."""
_CODE = "LRD_PLUGINS"
"""The variable that tells processes of different code apart."""

_at_work = threading.Lock()
_watchers: list[threading.Thread] = []


def runtime_env(spec: Mapping[str, Any]) -> dict[str, Any]:
    """What Ray is told of a trial's process: it keeps one for tasks that are told the same."""
    made_of = plugins.sources([spec])
    return {"runtime_env": {"env_vars": {_CODE: ", ".join(made_of)}}} if made_of else {}


@contextmanager
def watched(spec: Mapping[str, Any]) -> Iterator[None]:
    """Within, a trial runs in this process; Ray gives it one at a time."""
    if _CODE not in os.environ:
        yield
        return
    with _at_work:
        if not _watchers:
            _watchers.append(threading.Thread(target=_end_when_outdated, args=(spec,), daemon=True))
            _watchers[0].start()
        yield


def _end_when_outdated(spec: Mapping[str, Any]) -> None:
    made_of = plugins.sources([spec])
    while plugins.sources([spec]) == made_of:
        time.sleep(LOOK_SECONDS)
    _at_work.acquire()  # what runs here has begun with the old code, and ends with it
    os._exit(0)  # nothing will be started here: Ray is told of other processes now
