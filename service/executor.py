"""The dispatcher's view of what runs trials: it starts attempts and passes on what they yield."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from service.lifecycle import Reason
from service.placement import Place

Message = tuple[Any, ...]
"""What an attempt yields; `workers.tasks` lists the forms."""
Key = tuple[int, int]
"""(trial, attempt)"""
Envelope = tuple[int, int, Message]
"""(trial, attempt, message)"""
NODE_OOM = "node_oom"
"""The reason when the node ran out of memory; `oom` is for the trial's own GPU."""
NO_DATA = "no_data"
"""The reason when the node lacks the data and cannot get it; another node may have it."""


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
        checkpoints: list[tuple[int, str, str]],
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


def decode_reason(reason: str | None, place: Place) -> tuple[Reason | None, bool]:
    """The reason for an attempt's end, and whether nothing shared the memory that it ran out of."""
    if reason == NODE_OOM:
        return Reason.oom, place.exclusive
    if reason == NO_DATA:
        return Reason.error, False
    return Reason(reason) if reason else None, place.exclusive or place.gpus >= 1
