"""Deletes files of trials in the background, each until it is gone: storage may be slow or away."""

import logging
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from lrd_core.trial_folder import trial_folder

log = logging.getLogger(__name__)

AT_A_TIME = 8
"""An object store takes some 20 ms for each; a file system less than one."""
RETRY_SECONDS = 5.0


class Discarding:
    """Of the trials' folders below `trials`, a path or an fsspec URL."""

    def __init__(self, trials: str) -> None:
        self._trials = trials
        self._closed = threading.Event()
        self._threads = ThreadPoolExecutor(AT_A_TIME, thread_name_prefix="discard")

    def add(self, trial_id: int, names: Sequence[str]) -> None:
        """Delete these files of a trial."""
        self._threads.submit(self._delete, trial_id, names)

    def close(self) -> None:
        """Try once what is left, and return."""
        self._closed.set()
        self._threads.shutdown()

    def _delete(self, trial_id: int, names: Sequence[str]) -> None:
        folder = trial_folder(self._trials, trial_id)
        for name in names:
            while True:
                try:
                    folder.delete(name)
                    break
                except OSError as error:
                    log.warning("%s of trial %d cannot be deleted: %s", name, trial_id, error)
                if self._closed.wait(RETRY_SECONDS):
                    break
