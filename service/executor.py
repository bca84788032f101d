"""What runs trials, as the dispatcher knows it: it starts them and tells what they yield."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from service.lifecycle import Reason
from service.placement import Place

Message = tuple[Any, ...]
"""As `workers.tasks` lists them."""
Key = tuple[int, int]
"""(trial, attempt)"""
Said = tuple[int, int, Message]
"""(trial, attempt, message)"""
NODE_OOM = "node_oom"
"""The reason of an attempt whose node ran out of memory; `oom` is that of its own GPU."""
NO_DATA = "no_data"
"""The reason of an attempt whose node lacks its data, and has no way to it; another may have it."""


class Executor(Protocol):
    """Runs trials somewhere and tells what they yield."""

    def nodes(self) -> list[Mapping[str, Any]]:
        """What each node has, free or not: `id`, `CPU`, `GPU`, `memory` in bytes,
        `accelerator_type` and `labels`; what is left out it has not. A node that took a trial along
        is no longer among them when the loss is told."""

    def start(
        self,
        trial_id: int,
        attempt: int,
        spec: dict[str, Any],
        checkpoints: list[tuple[int, str, str]],
        place: Mapping[str, Any],
    ) -> None:
        """Start an attempt; what it yields comes from `poll`.

        `place`: what it holds, `cpus`, `gpus` and `memory_gib`, and of which `node`.
        """

    def poll(self, timeout: float) -> list[Said]:
        """(trial, attempt, message) in order, waiting up to `timeout` seconds for the first."""

    def discard(self, trial_id: int, checkpoints: Sequence[str]) -> None:
        """Delete these checkpoints of a trial: soon, and again for as long as that fails."""

    def stop(self, trial_id: int, attempt: int) -> None:
        """Ask an attempt to save its state after the present epoch, and end: soon, and again for as
        long as that fails."""

    def cancel(self, trial_id: int, attempt: int, *, force: bool = False) -> None:
        """End an attempt now; its end comes as a message."""

    def close(self) -> None:
        """Stop everything."""


def understood(reason: str | None, place: Place) -> tuple[Reason | None, bool]:
    """What an attempt's end says; and whether nothing shared the memory that it ran out of."""
    if reason == NODE_OOM:
        return Reason.oom, place.alone
    if reason == NO_DATA:
        return Reason.error, False
    return Reason(reason) if reason else None, place.alone or place.gpus >= 1
