"""An executor that runs trials in this process, one epoch a poll: a dispatcher's test needs no Ray.

It is held to the same contract as RayExecutor (`tests/contracts`).
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lrd_core.trial_folder import stop_file, trial_folder
from workers.tasks import Message, run_trial

Key = tuple[int, int]


class InlineExecutor:
    def __init__(self, storage: Path, cpus: float = 2, gpus: float = 0) -> None:
        self._storage = storage
        self._nodes = [{"CPU": cpus, "GPU": gpus}]
        self._trials: dict[Key, Iterator[Message]] = {}
        self._cancelled: list[Key] = []

    def nodes(self) -> list[Mapping[str, float]]:
        return list(self._nodes)

    def start(
        self,
        trial_id: int,
        attempt: int,
        spec: dict[str, Any],
        checkpoints: list[tuple[int, str, str]],
    ) -> None:
        directory = str(trial_folder(self._storage, trial_id))
        self._trials[trial_id, attempt] = run_trial(spec, directory, attempt, checkpoints, 0)

    def poll(self, timeout: float) -> list[tuple[int, int, Message]]:
        messages: list[tuple[int, int, Message]] = [
            (*key, ("ended", "user", "cancelled", None)) for key in self._cancelled
        ]
        self._cancelled.clear()
        for key, stream in list(self._trials.items()):
            message = next(stream)
            if message[0] == "ended":
                del self._trials[key]
            messages.append((*key, message))
        return messages

    def stop(self, trial_id: int, attempt: int) -> None:
        path = stop_file(trial_folder(self._storage, trial_id), attempt)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()

    def cancel(self, trial_id: int, attempt: int, *, force: bool = False) -> None:
        if self._trials.pop((trial_id, attempt), None) is not None:
            self._cancelled.append((trial_id, attempt))

    def running(self) -> list[Key]:
        return list(self._trials)

    def close(self) -> None:
        self._trials.clear()

    def vanish(self, trial_id: int, attempt: int) -> None:
        """Lose a trial as a killed worker does: no last word."""
        del self._trials[trial_id, attempt]
