"""Writes and deletions in trials' folders, done in the background and retried until they succeed:
storage may be slow or away, and the dispatcher must not wait for it."""

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import NamedTuple

from lrd_core.trial_folder import TrialFolder, trial_folder

log = logging.getLogger(__name__)

AT_A_TIME = 8
"""Threads. An object store takes some 20 ms per errand, a file system less than five."""
RETRY_SECONDS, LONGEST_SECONDS = 5.0, 300.0
"""The pause before a failed errand is retried, doubled each time up to the second: without the
right to delete, every checkpoint of every trial is such an errand."""
CLOSE_SECONDS = 5.0


class Errand(NamedTuple):
    """One thing to do in a trial's folder."""

    trial_id: int
    act: Callable[[TrialFolder], None]
    failures: int = 0
    not_before: float = 0.0

    def again(self) -> "Errand":
        """The same errand, to be retried after a pause."""
        pause = min(LONGEST_SECONDS, RETRY_SECONDS * 2**self.failures)
        return Errand(self.trial_id, self.act, self.failures + 1, time.monotonic() + pause)


class Errands:
    """Does errands in the trials' folders below `trials`, a path or an fsspec URL.

    Its threads are daemons, so that one that hangs in failing storage does not keep the process.
    """

    def __init__(self, trials: str) -> None:
        self._trials = trials
        self._waiting: SimpleQueue[Errand | None] = SimpleQueue()
        self._failed: SimpleQueue[Errand] = SimpleQueue()
        self._closed = threading.Event()
        self._threads = [self._start(self._work) for _ in range(AT_A_TIME)]
        self._start(self._try_again)

    def add(self, trial_id: int, errand: Callable[[TrialFolder], None]) -> None:
        """Call `errand` with a trial's folder, soon; it may be called twice."""
        self._waiting.put(Errand(trial_id, errand))

    def close(self) -> None:
        """Try each remaining errand once, for a few seconds at most."""
        self._closed.set()
        for _ in self._threads:
            self._waiting.put(None)
        deadline = time.monotonic() + CLOSE_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _start(self, work: Callable[[], None]) -> threading.Thread:
        thread = threading.Thread(target=work, name="errands", daemon=True)
        thread.start()
        return thread

    def _work(self) -> None:
        while (errand := self._waiting.get()) is not None:
            try:
                errand.act(trial_folder(self._trials, errand.trial_id))
            except OSError as error:
                log.warning("the folder of trial %d: %s; trying again", errand.trial_id, error)
                self._failed.put(errand.again())

    def _try_again(self) -> None:
        later: list[Errand] = []
        while not self._closed.wait(RETRY_SECONDS):
            with suppress(Empty):
                while True:
                    later.append(self._failed.get_nowait())
            now = time.monotonic()
            for errand in later:
                if errand.not_before <= now:
                    self._waiting.put(errand)
            later = [errand for errand in later if errand.not_before > now]
