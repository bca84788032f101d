"""A worker process is kept for later trials, until its code has changed or its GPU fails in it;
what a trial had is not kept.

A trial starts in a process that has imported the very code that lies on disk, lrd's own and that of
the packages it takes something of, or nothing yet; once that has changed on disk, the processes
that have the old one end. So does one in which CUDA has met a fault, which it never gets over.
"""

import atexit
import functools
import gc
import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from lrd_core import sources

LOOK_SECONDS = 5.0
"""How often a process looks whether its code is still that on disk."""
LAST_WORDS_SECONDS = 1.0
"""How long a process that is to end stays, for what its trial said last to be sent."""
_CODE = "LRD_CODE"
"""The variable that tells processes of different code apart."""

_at_work = threading.Lock()
_watchers: list[threading.Thread] = []
_unfit = threading.Event()
"""This process is to end."""


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
        if _unfit.is_set():  # Ray gave it a trial before it knew: that is lost, and tried elsewhere
            os._exit(1)
        if not _watchers:
            _watchers.append(threading.Thread(target=_end_when_outdated, args=(spec,), daemon=True))
            _watchers[0].start()
        yield


def was_edited() -> bool:
    """Whether lrd was edited since this process began to import it: what it has may be the old
    code, or the old in one file and the new in another."""
    return _is_kept() and sources.on_disk() != sources.IMPORTED


def end_soon() -> None:
    """Have this process take no other trial, and end after the present one."""
    if _is_kept():
        _unfit.set()
        threading.Thread(target=_end, args=(LAST_WORDS_SECONDS,), daemon=True).start()


def collect() -> None:
    """Free what a trial has left in cycles, as an error does and another package's code may: Python
    itself rarely looks for it where so much is imported."""
    if not _is_kept():
        return
    gc.collect()
    _freeze()


# --- inside ---------------------------------------------------------------------------------------


@functools.cache
def _freeze() -> None:
    """Once: what was imported stays. To walk it takes 140 ms, where a collection now takes 0.04; to
    ask whether it is frozen walks it, too."""
    gc.freeze()
    atexit.register(gc.unfreeze)  # or torch's compiler says at the end that it leaks


def _is_kept() -> bool:
    """Whether this is a process of Ray's, and no test's or dispatcher's."""
    return _CODE in os.environ


def _end_when_outdated(spec: Mapping[str, Any]) -> None:
    imported = sources.made_by(spec, sources.IMPORTED)
    while sources.made_by(spec) == imported:
        time.sleep(LOOK_SECONDS)
    _end()  # Ray is told of other processes now: nothing will be started here


def _end(after_seconds: float = 0.0) -> None:
    time.sleep(after_seconds)
    _at_work.acquire()  # what runs here ends first
    os._exit(0)
