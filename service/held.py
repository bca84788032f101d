"""What a dispatcher holds: its running attempts, the clock that judges them, and its totals."""

import time
from dataclasses import dataclass, field, replace

from lrd_core.messages import EpochDone, Message, Started
from service.retention import Retention
from service.store.claims import Assignment

LONGEST_STEP_SECONDS = 5.0
"""The most that counts as listening between two steps of the dispatcher."""


class Listening:
    """A clock that runs only while the dispatcher listens to its trials.

    It stands still while the database is away, and while the process or the machine hangs: nobody
    can hear the trials then, so none of them becomes silent or late.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self._at = time.monotonic()

    def go_on(self) -> None:
        """Advance the clock: everything that the trials reported so far is recorded."""
        now = time.monotonic()
        self.seconds += min(now - self._at, LONGEST_STEP_SECONDS)
        self._at = now


@dataclass
class Held:
    """A running attempt of this dispatcher."""

    assignment: Assignment
    listened_at_start: float
    """When it was claimed, by the `Listening` clock."""
    last_heard: float = field(init=False)
    """When its last message was recorded, by the same clock."""
    claimed_at: float = field(default_factory=time.monotonic)
    asked_to_stop: bool = False
    cancelled_at: float | None = None
    checkpoints: Retention = field(init=False)

    def __post_init__(self) -> None:
        self.last_heard = self.listened_at_start
        self.checkpoints = Retention(each.name for each in reversed(self.assignment.checkpoints))

    def set_gpus(self, numbers: tuple[int, ...]) -> None:
        """Note the GPUs of its node that Ray assigned, which may differ from the planned ones: Ray
        may learn a moment later than the dispatcher that another trial there has ended."""
        place = replace(self.assignment.place, on=numbers)
        self.assignment = replace(self.assignment, place=place)


@dataclass
class Totals:
    """What a dispatcher has done since it began, for /metrics; times in seconds."""

    starts: int = 0
    start_seconds: float = 0.0
    """From each claim to the first message of its process."""
    reports: int = 0
    report_seconds: float = 0.0
    """From the arrival of each epoch report to its commit."""
    cpu_seconds: float = 0.0
    gpu_seconds: float = 0.0

    def count(self, message: Message, arrived: float, held: Held) -> None:
        """Count a message that has just been recorded.

        Args:
            message: of the attempt `held`.
            arrived: when it arrived, by the monotonic clock.
            held: as it was when the message was recorded.
        """
        now = time.monotonic()
        match message:
            case Started():
                self.starts += 1
                self.start_seconds += now - held.claimed_at
            case EpochDone(report):
                seconds = float(report["seconds"])
                self.reports += 1
                self.report_seconds += now - arrived
                self.cpu_seconds += seconds * held.assignment.place.cpus
                self.gpu_seconds += seconds * held.assignment.place.gpus
