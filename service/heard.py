"""What trials have said, on its way to the database: whose words, and what they tell."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from service.executor import Key, Said
from service.held import Held
from service.store import recording


class End(NamedTuple):
    """How an attempt ended."""

    reason: str | None
    """None where its trial is done."""
    text: str
    weights: str | None
    """SHA-256 of the final ones."""


@dataclass
class Words:
    """What several attempts said, by what it tells; in the order in which it was heard."""

    gpus: list[tuple[Key, Sequence[int]]] = field(default_factory=list)
    environments: dict[Key, dict[str, Any]] = field(default_factory=dict)
    epochs: list[recording.Said] = field(default_factory=list)
    memory: list[tuple[Key, int, int]] = field(default_factory=list)
    """Peak and total, in bytes."""
    ends: list[tuple[Key, End]] = field(default_factory=list)

    @classmethod
    def of(cls, heard: Iterable[Said]) -> "Words":
        """Messages as `workers.tasks` lists them."""
        words = cls()
        for trial_id, attempt, message in heard:
            key = trial_id, attempt
            match message:
                case "gpus", numbers:
                    words.gpus.append((key, numbers))
                case "started", environment:
                    words.environments[key] = environment
                case "epoch", report, checkpoint:
                    words.epochs.append(recording.Said(trial_id, attempt, report, checkpoint))
                case "memory", peak, total:
                    words.memory.append((key, peak, total))
                case "ended", reason, text, weights:
                    words.ends.append((key, End(reason, text, weights)))
                case _:
                    raise ValueError(f"trial {trial_id} says what nobody knows: {message!r}")
        return words


def parted(
    heard: Sequence[Said], held: Mapping[Key, Held], free: Collection[str]
) -> tuple[list[Said], list[Said]]:
    """What was said of trials of the `free` sweeps, and of others; of a trial that was given up
    before, words no longer count."""
    now: list[Said] = []
    later: list[Said] = []
    for said in heard:
        if each := held.get(said[:2]):
            (now if each.assignment.sweep_id in free else later).append(said)
    return now, later
