"""What a dispatcher holds: its running attempts, the clock that judges them, what it has done."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from service.retention import Retention
from service.store.claims import Assignment

LONGEST_STEP_SECONDS = 5.0
"""What lies between two looks beyond this was no listening."""


class Listening:
    """The seconds for which trials could make themselves heard.

    While the database is away nobody asks them, and neither does a process or a machine that stands
    still: by this clock such time does not pass, and no trial was silent or late in it.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self._at = time.monotonic()

    def go_on(self) -> None:
        """All that the trials have said by now is recorded."""
        now = time.monotonic()
        self.seconds += min(now - self._at, LONGEST_STEP_SECONDS)
        self._at = now


@dataclass
class Held:
    """A running attempt of this dispatcher."""

    assignment: Assignment
    began: float
    """By the clock of `Listening`, as the next one."""
    heard: float = field(init=False)
    """When its last word was recorded."""
    started: float = field(default_factory=time.monotonic)
    asked_to_stop: bool = False
    cancelled_at: float | None = None
    checkpoints: Retention = field(init=False)

    def __post_init__(self) -> None:
        self.heard = self.began
        self.checkpoints = Retention(name for _, name, _ in reversed(self.assignment.checkpoints))

    def is_on(self, gpus: Sequence[int]) -> None:
        """Ray gave it these of its node's GPUs, which are not always those that were counted on:
        where another trial has just ended, Ray may know of that a moment later."""
        place = replace(self.assignment.place, on=tuple(gpus))
        self.assignment = replace(self.assignment, place=place)


@dataclass
class Totals:
    """What a dispatcher has done since it began, for /metrics; times in seconds."""

    starts: int = 0
    start_seconds: float = 0.0
    """From claims to the first words of their processes."""
    reports: int = 0
    report_seconds: float = 0.0
    """From the arrival of epoch reports to their commits."""
    cpu_seconds: float = 0.0
    gpu_seconds: float = 0.0
