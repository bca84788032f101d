"""An executor that runs trials in this process, one epoch a poll: a dispatcher's test needs no Ray.

It is held to the same contract as RayExecutor (`tests/contracts`).
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lrd_core.messages import Ended, Envelope, Key, Message, Outcome
from lrd_core.trial_folder import Checkpoint, stop_name, trial_folder
from workers.tasks import run_trial


class InlineExecutor:
    def __init__(
        self,
        trials: str,
        cpus: float = 2,
        gpus: float = 0,
        nodes: list[dict[str, Any]] | None = None,
    ) -> None:
        self._trials = trials
        self._nodes = nodes or [{"CPU": cpus, "GPU": gpus}]
        self.places: dict[Key, Mapping[str, Any]] = {}
        """Where each attempt was started."""
        self._running: dict[Key, Iterator[Message]] = {}
        self._cancelled: list[Key] = []

    def nodes(self) -> list[Mapping[str, Any]]:
        return list(self._nodes)

    def start(
        self,
        trial_id: int,
        attempt: int,
        spec: dict[str, Any],
        checkpoints: list[Checkpoint],
        place: Mapping[str, Any],
    ) -> None:
        self.places[trial_id, attempt] = place
        self._running[trial_id, attempt] = run_trial(
            spec, self._trials, trial_id, attempt, checkpoints, 0
        )

    def poll(self, timeout: float) -> list[Envelope]:
        cancelled = Ended(Outcome.user, "cancelled")
        messages: list[Envelope] = [(*key, cancelled) for key in self._cancelled]
        self._cancelled.clear()
        for key, stream in list(self._running.items()):
            message = next(stream)
            if isinstance(message, Ended):
                del self._running[key]
            messages.append((*key, message))
        return messages

    def discard(self, trial_id: int, checkpoints: Sequence[str]) -> None:
        for name in checkpoints:
            trial_folder(self._trials, trial_id).delete(name)

    def stop(self, trial_id: int, attempt: int) -> None:
        trial_folder(self._trials, trial_id).write(stop_name(attempt), b"")

    def cancel(self, trial_id: int, attempt: int, *, force: bool = False) -> None:
        if self._running.pop((trial_id, attempt), None) is not None:
            self._cancelled.append((trial_id, attempt))

    def running(self) -> list[Key]:
        return list(self._running)

    def close(self) -> None:
        self._running.clear()

    def vanish(self, trial_id: int, attempt: int) -> None:
        """Lose a trial as a killed worker does: no last word."""
        del self._running[trial_id, attempt]
