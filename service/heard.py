"""Messages of trials on their way to the database: sorted by kind, split by sweep."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from service.executor import Envelope, Key
from service.held import Held
from service.store import recording


class End(NamedTuple):
    """How an attempt ended."""

    reason: str | None
    """None if its trial is done."""
    text: str
    weights: str | None
    """SHA-256 of the final weights."""


@dataclass
class Batch:
    """What several attempts reported, by kind; each kind in the order of arrival."""

    gpus: list[tuple[Key, Sequence[int]]] = field(default_factory=list)
    environments: dict[Key, dict[str, Any]] = field(default_factory=dict)
    epochs: list[recording.ReportedEpoch] = field(default_factory=list)
    memory: list[tuple[Key, int, int]] = field(default_factory=list)
    """Peak and total, in bytes."""
    ends: list[tuple[Key, End]] = field(default_factory=list)

    @classmethod
    def of(cls, heard: Iterable[Envelope]) -> "Batch":
        """Sort messages, in the forms that `workers.tasks` lists, by kind."""
        batch = cls()
        for trial_id, attempt, message in heard:
            key = trial_id, attempt
            match message:
                case "gpus", numbers:
                    batch.gpus.append((key, numbers))
                case "started", environment:
                    batch.environments[key] = environment
                case "epoch", report, checkpoint:
                    epoch = recording.ReportedEpoch(trial_id, attempt, report, checkpoint)
                    batch.epochs.append(epoch)
                case "memory", peak, total:
                    batch.memory.append((key, peak, total))
                case "ended", reason, text, weights:
                    batch.ends.append((key, End(reason, text, weights)))
                case _:
                    raise ValueError(f"trial {trial_id} sent an unknown message: {message!r}")
        return batch


def split_by_lock(
    heard: Sequence[Envelope], held: Mapping[Key, Held], locked: Collection[str]
) -> tuple[list[Envelope], list[Envelope]]:
    """Split messages into those to record now, of sweeps in `locked`, and those to retry later.

    Messages of attempts that are no longer held are dropped.
    """
    now: list[Envelope] = []
    later: list[Envelope] = []
    for envelope in heard:
        if each := held.get(envelope[:2]):
            (now if each.assignment.sweep_id in locked else later).append(envelope)
    return now, later
