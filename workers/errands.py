"""What is written or deleted in trials' folders in the background, each until it is done: storage
may be slow, or away, and the dispatcher waits for neither."""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from lrd_core.trial_folder import TrialFolder, trial_folder

log = logging.getLogger(__name__)

AT_A_TIME = 8
"""An object store takes some 20 ms for each; a file system less than five."""
RETRY_SECONDS = 5.0


class Errands:
    """In the trials' folders below `trials`, a path or an fsspec URL."""

    def __init__(self, trials: str) -> None:
        self._trials = trials
        self._closed = threading.Event()
        self._threads = ThreadPoolExecutor(AT_A_TIME, thread_name_prefix="errand")

    def add(self, trial_id: int, errand: Callable[[TrialFolder], None]) -> None:
        """Do this in the folder of a trial; it may be done twice."""
        self._threads.submit(self._run, trial_id, errand)

    def close(self) -> None:
        """Try once what is left, and return."""
        self._closed.set()
        self._threads.shutdown()

    def _run(self, trial_id: int, errand: Callable[[TrialFolder], None]) -> None:
        while True:
            try:
                errand(trial_folder(self._trials, trial_id))
                return
            except OSError as error:
                log.warning("the folder of trial %d: %s; trying again", trial_id, error)
            if self._closed.wait(RETRY_SECONDS):
                return
