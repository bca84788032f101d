"""What runs trials, as the dispatcher knows it: it starts them and tells what they yield."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

Message = tuple[Any, ...]
"""As `workers.tasks` lists them."""
Key = tuple[int, int]
"""(trial, attempt)"""


class Executor(Protocol):
    """Runs trials somewhere and tells what they yield."""

    def nodes(self) -> list[Mapping[str, Any]]:
        """What each node has, free or not: `id`, `CPU`, `GPU`, `memory` in bytes,
        `accelerator_type` and `labels`; what is left out it has not."""

    def start(
        self,
        trial_id: int,
        attempt: int,
        spec: dict[str, Any],
        checkpoints: list[tuple[int, str, str]],
        place: Mapping[str, Any] | None = None,
    ) -> None:
        """Start an attempt; what it yields comes from `poll`.

        `place`: what it holds, `cpus`, `gpus` and `memory_gib`, and of which `node`; None: what its
        spec asks for, anywhere.
        """

    def poll(self, timeout: float) -> list[tuple[int, int, Message]]:
        """(trial, attempt, message) in order, waiting up to `timeout` seconds for the first."""

    def discard(self, trial_id: int, checkpoints: Sequence[str]) -> None:
        """Delete these checkpoints of a trial: soon, and again for as long as that fails."""

    def stop(self, trial_id: int, attempt: int) -> None:
        """Ask an attempt to save its state after the present epoch, and end."""

    def cancel(self, trial_id: int, attempt: int, *, force: bool = False) -> None:
        """End an attempt now; its end comes as a message."""

    def running(self) -> list[Key]:
        """What has not ended."""

    def close(self) -> None:
        """Stop everything."""
