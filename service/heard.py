"""Messages of trials on their way to the database: sorted by kind, split by sweep."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from lrd_core.messages import Ended, EpochDone, GpusGiven, Key, MemoryPeak, Message, Started
from service.held import Held
from service.store import recording


class Heard(NamedTuple):
    """A message on its way to the database."""

    trial_id: int
    attempt: int
    message: Message
    at: float
    """When it arrived, by the monotonic clock."""

    @property
    def key(self) -> Key:
        """(trial, attempt)"""
        return self.trial_id, self.attempt


@dataclass
class Batch:
    """What several attempts reported, by kind; each kind in the order of arrival."""

    gpus: list[tuple[Key, GpusGiven]] = field(default_factory=list)
    environments: dict[Key, dict[str, Any]] = field(default_factory=dict)
    epochs: list[recording.ReportedEpoch] = field(default_factory=list)
    memory: list[tuple[Key, MemoryPeak]] = field(default_factory=list)
    ends: list[tuple[Key, Ended]] = field(default_factory=list)

    @classmethod
    def of(cls, heard: Iterable[Heard]) -> "Batch":
        """Sort messages by kind."""
        batch = cls()
        for each in heard:
            key, (trial_id, attempt, message, _) = each.key, each
            match message:
                case GpusGiven():
                    batch.gpus.append((key, message))
                case Started(environment):
                    batch.environments[key] = environment
                case EpochDone(report, checkpoint):
                    epoch = recording.ReportedEpoch(trial_id, attempt, report, checkpoint)
                    batch.epochs.append(epoch)
                case MemoryPeak():
                    batch.memory.append((key, message))
                case Ended():
                    batch.ends.append((key, message))
                case _:
                    raise ValueError(f"trial {trial_id} sent an unknown message: {message!r}")
        return batch


def split_by_lock(
    heard: Sequence[Heard], held: Mapping[Key, Held], locked: Collection[str]
) -> tuple[list[Heard], list[Heard]]:
    """Split messages into those to record now, of sweeps in `locked`, and those to retry later.

    Messages of attempts that are no longer held are dropped.
    """
    now: list[Heard] = []
    later: list[Heard] = []
    for each in heard:
        if by := held.get(each.key):
            (now if by.assignment.sweep_id in locked else later).append(each)
    return now, later
