"""The dispatcher's view of what runs trials: it starts attempts and passes on what they yield."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from lrd_core.messages import Envelope, Outcome
from lrd_core.trial_folder import Checkpoint
from service.lifecycle import Reason
from service.placement import Place


class Executor(Protocol):
    """Runs trials somewhere and passes on what they yield."""

    def nodes(self) -> list[Mapping[str, Any]]:
        """Each node's capacity, free or not: `id`, `CPU`, `GPU`, `memory` in bytes,
        `accelerator_type` and `labels`. A node lacks whatever is left out. A node that died with a
        trial is no longer listed when the loss is reported."""

    def start(
        self,
        trial_id: int,
        attempt: int,
        spec: dict[str, Any],
        checkpoints: list[Checkpoint],
        place: Mapping[str, Any],
    ) -> None:
        """Start an attempt; `poll` returns what it yields.

        `place`: what it holds (`cpus`, `gpus`, `memory_gib`), and on which `node`.
        """

    def poll(self, timeout: float) -> list[Envelope]:
        """(trial, attempt, message) in order, waiting up to `timeout` seconds for the first."""

    def discard(self, trial_id: int, checkpoints: Sequence[str]) -> None:
        """Delete these checkpoints of a trial soon, retrying for as long as that fails."""

    def stop(self, trial_id: int, attempt: int) -> None:
        """Ask an attempt to save its state after the present epoch and end: soon, retrying for as
        long as asking fails."""

    def cancel(self, trial_id: int, attempt: int, *, force: bool = False) -> None:
        """End an attempt now; with `force`, even one that hangs. Its end arrives as a message."""

    def close(self) -> None:
        """Stop everything."""


def reason_of(outcome: Outcome) -> Reason | None:
    """The reason for an attempt's end; None if its trial is done."""
    match outcome:
        case Outcome.done:
            return None
        case Outcome.no_data:
            return Reason.error
        case Outcome.node_oom:
            return Reason.oom
        case _:
            return Reason(outcome)


def had_memory_alone(outcome: Outcome, place: Place) -> bool:
    """Whether an attempt at this place shared with none the memory that it ran out of: the node's,
    or its GPU's."""
    return place.exclusive or (outcome is Outcome.oom and place.gpus >= 1)
