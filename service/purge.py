"""Purge deleted sweeps in the background: the folders of their trials, then their rows.

Every API does this; several at once do no harm. It waits for storage or a database that is away.
The thread is a daemon, so that hanging storage does not keep the process alive.
"""

import logging
import threading
import time
from collections.abc import Sequence
from queue import Empty, SimpleQueue

from sqlalchemy.exc import SQLAlchemyError

from lrd_core.errors import first_line
from lrd_core.trial_folder import WEIGHTS, trial_folder
from service.storage import AnothersFolder, identity_of, refuse_anothers
from service.store import purging
from service.store.session import Database

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
"""How often to look for deleted sweeps."""
RETRY_SECONDS = 30.0
"""The pause before storage or a database that did not answer is asked again."""
HANGING_SECONDS = 60.0
"""After this long, a warning names folders that are still being removed."""
CLOSE_SECONDS = 5.0
AT_A_TIME = 8
"""Folders removed at a time: an object store takes some 20 ms for each request."""


class Purger:
    """The purging thread of one process."""

    def __init__(self, database: Database, trials: str, settled_seconds: float) -> None:
        """
        Args:
            database: the database with the deleted sweeps.
            trials: the place of the trials' folders, a path or an fsspec URL.
            settled_seconds: how long after its end a process may still work on a trial.
        """
        self._database, self._trials = database, trials
        self._settled_seconds = settled_seconds
        self._closed = threading.Event()
        self._warned = False
        """Whether the log says that it cannot go on at present."""
        self._thread = threading.Thread(target=self._run, name="purge", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self) -> None:
        """Stop after the present transaction; another process, or the next one, continues."""
        self._closed.set()
        self._thread.join(CLOSE_SECONDS)

    def step(self) -> bool:
        """Purge the sweeps that wait for it; whether storage and database allowed that."""
        refused = None
        try:
            with self._database.read() as session:
                waiting = purging.deleted(session, self._settled_seconds)
                here = identity_of(session)
            if waiting:
                refuse_anothers(self._trials, here)
            for sweep_id in waiting:
                try:
                    self._purge(sweep_id)
                except OSError as error:  # other sweeps may have folders elsewhere, or none
                    refused = f"the folders of sweep {sweep_id} cannot be removed: {error}"
        except (SQLAlchemyError, AnothersFolder, OSError) as error:
            refused = first_line(error)  # away, or its schema is just being changed
        if refused and not self._warned:
            log.warning("deleted sweeps wait to be purged: %s; trying again", refused)
        elif self._warned and not refused:
            log.info("deleted sweeps are purged again")
        self._warned = refused is not None
        return not self._warned

    # --- inside -----------------------------------------------------------------------------------

    def _run(self) -> None:
        pause = LOOK_SECONDS
        while not self._closed.wait(pause):
            try:
                able = self.step()
            except Exception:  # or nothing would be purged until the next start
                log.exception("purging failed; trying again")
                able = False
            pause = LOOK_SECONDS if able else RETRY_SECONDS

    def _purge(self, sweep_id: str) -> None:
        while not self._closed.is_set():
            with self._database.read() as session:
                trials = purging.next_trials(session, sweep_id)
                tried = [trial_id for trial_id, tried in trials if tried]
                heirs = purging.heirs(session, sweep_id, tried)
            for trial_id, takers in heirs.items():
                self._hand_over(trial_id, takers)
            self._remove(tried)
            # The rows go last, because only they lead to the folders.
            if not self._erase(sweep_id, [trial_id for trial_id, _ in trials]):
                return

    def _hand_over(self, trial_id: int, takers: Sequence[int]) -> None:
        """Copy the weights of a trial to those that reuse its results."""
        folder = trial_folder(self._trials, trial_id)
        for name in folder.names():
            if name.startswith(WEIGHTS):
                content = folder.read(name)
                for taker in takers:
                    trial_folder(self._trials, taker).write(name, content)

    def _erase(self, sweep_id: str, trial_ids: Sequence[int]) -> bool:
        """Delete the rows of these trials, or without any, of the sweep; whether more are left."""
        done = False
        while not done and not self._closed.is_set():
            began = time.monotonic()
            with self._database.write() as session:
                if not purging.hold(session, sweep_id):
                    return False
                if trial_ids:
                    done = purging.erase(session, trial_ids)
                else:
                    done = purging.bury(session, sweep_id)
            self._closed.wait(time.monotonic() - began)  # as long again, for other writers
        if done and not trial_ids:
            log.info("deleted sweep %s is purged", sweep_id)
        return bool(trial_ids)

    def _remove(self, trial_ids: Sequence[int]) -> None:
        """Remove folders, several at a time.

        Raises:
            OSError: one of them cannot be removed.
        """
        left: SimpleQueue[int] = SimpleQueue()
        errors: list[OSError] = []
        for trial_id in trial_ids:
            left.put(trial_id)

        def work() -> None:
            while not errors and not self._closed.is_set():
                try:
                    trial_folder(self._trials, left.get_nowait()).remove()
                except Empty:
                    return
                except OSError as error:
                    errors.append(error)

        threads = [
            threading.Thread(target=work, name="purge", daemon=True)
            for _ in range(min(AT_A_TIME, len(trial_ids)))
        ]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + HANGING_SECONDS
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        if any(thread.is_alive() for thread in threads) and not self._warned:
            self._warned = True
            log.warning("deleted sweeps wait to be purged: %s does not answer", self._trials)
        for thread in threads:
            thread.join()
        if errors:
            raise errors[0]
