"""Waiting for a database that is away: ask again, after pauses that grow."""

import logging
import time
from collections.abc import Callable

from lrd_core.errors import first_line
from service.store.away import AWAY

log = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.1, 2.5


class Patience:
    """Does one thing after another with a database that may not answer."""

    def __init__(self) -> None:
        self.has_waited = False
        """Whether the database did not answer; the owner resets it."""
        self._pause = FIRST_PAUSE_SECONDS

    def with_(self, work: Callable[[], bool]) -> bool | None:
        """The result of `work`; None, after a pause, if the database does not answer."""
        try:
            done = work()
        except AWAY as error:
            log.warning("the database does not answer (%s); trying again", first_line(error))
            self.has_waited = True
            time.sleep(self._pause)
            self._pause = min(LONGEST_PAUSE_SECONDS, 2 * self._pause)
            return None
        self._pause = FIRST_PAUSE_SECONDS
        return done
