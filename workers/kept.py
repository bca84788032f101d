"""A worker process is kept for later trials until its code changes or its GPU fails; a trial's own
objects are not kept.

A trial starts in a process that has imported exactly the code on disk, lrd's own and that of its
plugins, or nothing yet. Once the code on disk changes, processes with the old code end. So does a
process in which CUDA has met a fault, because CUDA never recovers from one.
"""

import atexit
import functools
import gc
import logging
import os
import sys
import threading
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from lrd_core import sources

LOOK_SECONDS = 5.0
"""How often a process compares its code with that on disk."""
LAST_WORDS_SECONDS = 1.0
"""How long an ending process stays, so that its trial's last messages are sent."""
_CODE = "LRD_CODE"
"""The environment variable that tells processes with different code apart."""

_at_work = threading.Lock()
_watchers: list[threading.Thread] = []
_unfit = threading.Event()
"""Set when this process must end."""


def runtime_env(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Ray's options for a trial's process; Ray keeps a process for tasks with equal options."""
    code = ", ".join(filter(None, sources.made_by(spec)))
    return {"runtime_env": {"env_vars": {_CODE: code}}}


@contextmanager
def watched(spec: Mapping[str, Any]) -> Iterator[None]:
    """Claim this process for one trial, and start the thread that ends the process once its code on
    disk changes."""
    if not _is_kept():
        yield
        return
    with _at_work:
        if _unfit.is_set():  # Ray sent a trial before it knew; it is retried elsewhere
            os._exit(1)
        if not _watchers:
            _watchers.append(threading.Thread(target=_end_when_outdated, args=(spec,), daemon=True))
            _watchers[0].start()
        yield


@contextmanager
def restored() -> Iterator[None]:
    """Within, a trial's own code runs; afterwards, whatever it has changed for the whole process is
    as before: environment variables, the working directory, `sys.path`, the filters of warnings,
    and the root logger. `environment.pin` does the same for torch."""
    environment, folder, path = os.environ.copy(), _folder(), sys.path.copy()
    root = logging.getLogger()
    level, handlers = root.level, root.handlers.copy()
    try:
        with warnings.catch_warnings():
            yield
    finally:
        root.setLevel(level)
        root.handlers[:] = handlers
        sys.path[:] = path
        if folder is not None and folder != _folder():
            with suppress(OSError):  # it was removed
                os.chdir(folder)
        for name in os.environ.keys() - environment.keys():
            del os.environ[name]
        for name, value in environment.items():
            if os.environ.get(name) != value:
                os.environ[name] = value


def was_edited() -> bool:
    """Whether lrd was edited since this process began to import it: it may have old code, or a mix
    of old and new files."""
    return _is_kept() and sources.on_disk() != sources.IMPORTED


def end_soon() -> None:
    """Let this process end after the present trial and take no other."""
    if _is_kept():
        _unfit.set()
        threading.Thread(target=_end, args=(LAST_WORDS_SECONDS,), daemon=True).start()


def collect() -> None:
    """Free what a trial has left in reference cycles, as errors and plugins do: with so much
    imported, Python itself rarely collects them."""
    if not _is_kept():
        return
    gc.collect()
    _freeze()


# --- inside ---------------------------------------------------------------------------------------


@functools.cache
def _freeze() -> None:
    """Exempt all imported objects from collection, once: walking them takes 140 ms, a collection
    without them 0.04 ms. Asking whether they are frozen would walk them, too."""
    gc.freeze()
    atexit.register(gc.unfreeze)  # or torch's compiler says at the end that it leaks


def _folder() -> Path | None:
    """The working directory; None if it was removed."""
    try:
        return Path.cwd()
    except FileNotFoundError:
        return None


def _is_kept() -> bool:
    """Whether this is a process of Ray's, not a test's or the dispatcher's."""
    return _CODE in os.environ


def _end_when_outdated(spec: Mapping[str, Any]) -> None:
    imported = sources.made_by(spec, sources.IMPORTED)
    while sources.made_by(spec) == imported:
        time.sleep(LOOK_SECONDS)
    _end()  # new trials ask Ray for a process of the new code, so none will start here


def _end(after_seconds: float = 0.0) -> None:
    time.sleep(after_seconds)
    _at_work.acquire()  # let the running trial finish first
    os._exit(0)
