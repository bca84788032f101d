"""What is written or deleted in trials' folders in the background, each until it is done: storage
may be slow, or away, and the dispatcher waits for neither."""

import logging
import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue

from lrd_core.trial_folder import TrialFolder, trial_folder

log = logging.getLogger(__name__)

Errand = tuple[int, Callable[[TrialFolder], None]]
"""The trial, and what is to be done in its folder."""

AT_A_TIME = 8
"""An object store takes some 20 ms for each; a file system less than five."""
RETRY_SECONDS = 5.0
CLOSE_SECONDS = 5.0


class Errands:
    """In the trials' folders below `trials`, a path or an fsspec URL.

    The threads are daemons: one that hangs in storage that is away does not hold its process.
    """

    def __init__(self, trials: str) -> None:
        self._trials = trials
        self._waiting: SimpleQueue[Errand | None] = SimpleQueue()
        self._failed: SimpleQueue[Errand] = SimpleQueue()
        self._closed = threading.Event()
        self._threads = [self._start(self._work) for _ in range(AT_A_TIME)]
        self._start(self._try_again)

    def add(self, trial_id: int, errand: Callable[[TrialFolder], None]) -> None:
        """Do this in the folder of a trial; it may be done twice."""
        self._waiting.put((trial_id, errand))

    def close(self) -> None:
        """Try what is left once, for a few seconds, and return."""
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
            trial_id, act = errand
            try:
                act(trial_folder(self._trials, trial_id))
            except OSError as error:
                log.warning("the folder of trial %d: %s; trying again", trial_id, error)
                self._failed.put(errand)

    def _try_again(self) -> None:
        while not self._closed.wait(RETRY_SECONDS):
            try:
                while True:
                    self._waiting.put(self._failed.get_nowait())
            except Empty:
                pass
