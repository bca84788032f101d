"""What is done to the world, when, and by a seed: the same seed gives the same schedule."""

import contextlib
import os
import random
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from tests.chaos.world import LEASE_SECONDS, World


@dataclass(frozen=True)
class Fault:
    """Something that was done."""

    at: float
    """Seconds since 1970."""
    kind: str


class Schedule:
    """Does faults to a world, one every 1 to 6 seconds, until told to stop."""

    def __init__(self, world: World, seed: int, *, heads: bool) -> None:
        self._world, self._random = world, random.Random(seed)
        self.done: list[Fault] = []
        self._kinds: dict[str, Callable[[], bool]] = {
            "kill worker": lambda: self._signal(world.workers(), signal.SIGKILL),
            "hang worker": lambda: self._hang(world.workers(), 3, 12),
            "kill node": self._kill_node,
            "kill dispatcher": lambda: self._signal(self._dispatchers(), signal.SIGKILL),
            "hang dispatcher": lambda: self._hang(self._dispatchers(), 3, 2 * LEASE_SECONDS),
            "kill API": lambda: self._signal([world.api.pid], signal.SIGKILL),
            "hang API": lambda: self._hang([world.api.pid], 1, 5),
            "kill database connection": lambda: self._signal(world.backends(), signal.SIGKILL),
            "kill database": lambda: world.kill_postgres() is None,
        }
        self._weights = [6, 2, 2, 4, 3, 4, 1, 3, 1]
        if heads:
            self._kinds["kill head"] = lambda: world.kill_head() is None
            self._weights.append(1)

    def run(self, seconds: float) -> None:
        """Do faults for so long; every kind at least once, if there is time for it."""
        end = time.monotonic() + seconds
        ahead = self._random.sample(list(self._kinds), len(self._kinds))
        while time.monotonic() < end:
            time.sleep(self._random.uniform(1, 6))
            kind = ahead.pop() if ahead else self._random.choices([*self._kinds], self._weights)[0]
            at = time.time()
            if self._kinds[kind]():
                self.done.append(Fault(at, kind))
            else:
                ahead.append(kind) if len(ahead) < 3 else None  # nobody was there to be hit

    def _dispatchers(self) -> list[int]:
        return [process.pid for process in self._world.dispatchers]

    def _kill_node(self) -> bool:
        self._world.kill_node(self._random.randrange(len(self._world.nodes)))
        return True

    def _signal(self, pids: list[int], number: int) -> bool:
        if not pids:
            return False
        try:
            os.kill(self._random.choice(pids), number)
        except ProcessLookupError:
            return False
        return True

    def _hang(self, pids: list[int], low: float, high: float) -> bool:
        if not pids:
            return False
        pid, seconds = self._random.choice(pids), self._random.uniform(low, high)

        def wake() -> None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

        try:
            os.kill(pid, signal.SIGSTOP)
        except ProcessLookupError:
            return False
        threading.Timer(seconds, wake).start()
        return True
