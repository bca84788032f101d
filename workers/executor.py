"""RayExecutor: starts trials as plain Ray tasks, follows their streams, stops them.

`max_retries=0`: with Ray's own retries a resumed generator loses epochs silently, and retries after
out-of-memory never end. The trials table counts the attempts instead.
"""

import gc
import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import (
    NodeDiedError,
    OutOfMemoryError,
    RayError,
    RayTaskError,
    TaskCancelledError,
    TaskUnschedulableError,
)
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from lrd_core.errors import text_of
from lrd_core.messages import Ended, Envelope, Key, Message, Outcome
from lrd_core.texts import readable
from lrd_core.trial_folder import Checkpoint, stop_name
from workers import gpus, kept
from workers.errands import Errands
from workers.tasks import run_trial, warm_up

log = logging.getLogger(__name__)

LINGER_SECONDS = 0.005
"""How long a message waits for others, so that they share a commit; a commit takes as long."""
IDLE_WORKERS = 64
"""Ray ends idle workers beyond this number after a second; its default is the number of CPUs, with
which trials that share a CPU would each wait 3 s for a new worker to import torch."""

DOUBT_SECONDS = 30.0
"""How long a node is left out after a trial was lost with it. Ray lists a dead node as alive for
another 14 s, and whatever is placed there meanwhile waits and is lost. A node that Ray still lists
after this time is back."""

_CANCELLED = Ended(Outcome.user, "cancelled")


@dataclass
class _Attempt:
    """A running attempt, as Ray knows it."""

    key: Key
    node: str
    """Ray's id of the node on which it runs."""
    stream: Any
    cancelled: bool = False
    """Whether it was asked to end; under load Ray may report such an attempt as lost."""


class RayExecutor:
    """Runs trials on a Ray cluster, of which this process is a driver."""

    def __init__(self, address: str, trials: str, checkpoint_seconds: float) -> None:
        """Join the cluster at `address`, or start one on this machine if it is `local`.

        `trials`: path or fsspec URL of the trials' folders, shared by all nodes.
        """
        self._trials, self._checkpoint_seconds = trials, checkpoint_seconds
        self._errands = Errands(trials)
        self._awaited: dict[Any, _Attempt] = {}
        """What to wait for -> its attempt: the stream or, once that is closed, the task's end."""
        self._doubted: dict[str, float] = {}
        """Node -> until when it is left out."""
        self._looks: dict[str, Any] = {}
        """Node -> reference to the result of testing its GPUs; None once it was read."""
        self._unusable: set[str] = set()
        """The nodes whose GPUs torch cannot use."""
        options: dict[str, Any] = {"log_to_driver": False, "logging_level": "warning"}
        if address == "local":
            options |= {"include_dashboard": False, "_node_ip_address": "127.0.0.1"}
            options["_system_config"] = {
                "num_workers_soft_limit": IDLE_WORKERS,
                # Processes started in advance lack the job's environment, so they get no trial.
                "prestart_worker_first_driver": False,
            }
        # Set once for the job: set per task, half as many tasks start per second.
        self._code = kept.runtime_env({})
        ray.init(address, **options, **self._code)
        self.cut_off = False
        """Whether the Ray node of this process was gone when `nodes` last looked: without it,
        nothing can be started."""
        self._beside = ray.get_runtime_context().get_node_id()
        self._task = ray.remote(max_retries=0, num_returns="streaming")(run_trial)
        self._look = ray.remote(max_retries=0, num_cpus=0)(gpus.fault)
        warm = ray.remote(max_retries=0, num_cpus=1)(warm_up)
        for _ in range(int(sum(node.get("CPU", 0) for node in self.nodes()))):
            warm.remote()

    def nodes(self) -> list[Mapping[str, Any]]:
        """What each living node has, free or in use: `id`, `CPU`, `GPU`, `memory` in bytes,
        `accelerator_type` and `labels`; an absent key means the node has none of it.

        GPUs that torch cannot use do not count, once a process on the node has reported that. A
        node that was just lost together with a trial is left out.
        """
        alive = [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
        self.cut_off = self._beside not in [node["NodeID"] for node in alive]
        now = time.monotonic()
        nodes = [node for node in alive if self._doubted.get(node["NodeID"], now) <= now]
        self._look_at(nodes)
        return [_node_view(node, usable=node["NodeID"] not in self._unusable) for node in nodes]

    def _look_at(self, nodes: Sequence[dict[str, Any]]) -> None:
        """Start a test of the GPUs on each new node that has some, and read finished tests."""
        for node in nodes:
            node_id = node["NodeID"]
            if node["Resources"].get("GPU") and node_id not in self._looks:
                there = NodeAffinitySchedulingStrategy(node_id, soft=False)
                self._looks[node_id] = self._look.options(scheduling_strategy=there).remote()
        waiting = {look: node_id for node_id, look in self._looks.items() if look is not None}
        seen, _ = (
            ray.wait(list(waiting), num_returns=len(waiting), timeout=0) if waiting else ([], [])
        )
        for look in seen:
            node_id, self._looks[waiting[look]] = waiting[look], None
            with suppress(RayError):  # its trials will report what is wrong
                if why := ray.get(look):
                    log.warning("node %s has a GPU that torch cannot use: %s", node_id, why)
                    self._unusable.add(node_id)

    def start(
        self,
        trial_id: int,
        attempt: int,
        spec: dict[str, Any],
        checkpoints: list[Checkpoint],
        place: Mapping[str, Any],
    ) -> None:
        """Start an attempt on the node of `place`, with the CPUs and GPUs reserved there."""
        code, options = kept.runtime_env(spec), _options(spec["resources"], place)
        task = self._task.options(**options | (code if code != self._code else {}))
        stream = task.remote(
            spec, self._trials, trial_id, attempt, checkpoints, self._checkpoint_seconds
        )
        self._awaited[stream] = _Attempt((trial_id, attempt), place["node"], stream)

    def poll(self, timeout: float) -> list[Envelope]:
        """The messages that trials have yielded: waits up to `timeout` seconds for the first, then
        a moment for others, because messages read together share a commit."""
        messages: list[Envelope] = []
        until = time.monotonic() + timeout
        while self._awaited:
            awaited = list(self._awaited)
            ready, _ = ray.wait(awaited, num_returns=len(awaited), timeout=0)
            if not ready:
                left = max(0.0, until - time.monotonic())
                ready, _ = ray.wait(awaited, num_returns=1, timeout=left)
                if not ready:
                    break
            soon = time.monotonic() + LINGER_SECONDS
            found = [(*key, message) for key, message in map(self._read, ready) if message]
            if found and not messages:
                until = soon
            messages += found
            if time.monotonic() > until or len(messages) >= 256:
                break
        return messages

    def _read(self, ready: Any) -> tuple[Key, Message | None]:
        """The next message of the attempt of which this is ready; None if there is none yet."""
        attempt = self._awaited.pop(ready)
        end = attempt.stream.completed()
        if _is_closed(attempt.stream) and not ray.wait([end], timeout=0)[0]:
            # Ray closes the stream of a task as soon as it is cancelled. `next` would wait until
            # the task has ended, and a task can ignore for long that it is cancelled.
            self._awaited[end] = attempt
            return attempt.key, None
        message = self._next(attempt)
        match message:
            case Ended(Outcome.lost, _) if attempt.cancelled:
                message = _CANCELLED
            case Ended(Outcome.lost, text):
                message = Ended(Outcome.lost, f"{text}{_whereabouts(attempt.node)}")
            case Ended():
                pass
            case _:
                self._awaited[ready] = attempt
        return attempt.key, message

    def _next(self, attempt: _Attempt) -> Message:
        try:
            return ray.get(next(attempt.stream))  # type: ignore[no-any-return]
        except StopIteration:
            return Ended(Outcome.lost, "its stream ended without a word")
        except OutOfMemoryError:
            return Ended(Outcome.node_oom, "the node ran out of memory")
        except RayError as error:
            if isinstance(error, NodeDiedError | TaskUnschedulableError):
                self._doubted[attempt.node] = time.monotonic() + DOUBT_SECONDS
            if isinstance(getattr(error, "cause", error), TaskCancelledError):
                if attempt.cancelled:
                    return _CANCELLED
                # Ray says so of a task that raises KeyboardInterrupt. It would again.
                return Ended(Outcome.error, "it was interrupted, and nobody had cancelled it")
            return Ended(Outcome.lost, _ray_said(error))

    def discard(self, trial_id: int, checkpoints: Sequence[str]) -> None:
        """Delete these checkpoints of a trial soon, retrying for as long as that fails."""
        for name in checkpoints:
            self._errands.add(trial_id, lambda folder, name=name: folder.delete(name))  # type: ignore[misc]

    def stop(self, trial_id: int, attempt: int) -> None:
        """Ask an attempt to save its state after the present epoch, and end."""
        self._errands.add(trial_id, lambda folder: folder.write(stop_name(attempt), b""))

    def cancel(self, trial_id: int, attempt: int, *, force: bool = False) -> None:
        """End an attempt now; with `force` even one that hangs, by killing its process."""
        for each in self._awaited.values():
            if each.key == (trial_id, attempt):
                each.cancelled = True
                ray.cancel(each.stream, force=force)

    def close(self) -> None:
        """Stop everything and leave the cluster."""
        self._errands.close()
        # Every error that Ray has raised holds ObjectRefs in a cycle through its traceback. If a
        # thread collects it during the quarter of a second that Ray takes to leave, Ray ends this
        # process on the spot ("the core worker has already been shutdown").
        gc.collect()
        ray.shutdown()


# --- inside ---------------------------------------------------------------------------------------


def _is_closed(stream: Any) -> bool:
    """Whether a stream has no further message, and never will. At once; `is_finished` may wait."""
    core = stream.worker.core_worker
    return bool(core.is_object_ref_stream_finished(stream.completed()))


def _ray_said(error: RayError) -> str:
    """What Ray says of a lost task, in one line: of a traceback the last, which names the error."""
    lines = readable(text_of(error)).split("\n")
    return lines[-1] if isinstance(error, RayTaskError) else lines[0]


def _node_view(node: dict[str, Any], *, usable: bool) -> dict[str, Any]:
    """A node as `nodes` describes it; `usable`: whether torch can use its GPUs."""
    has = node["Resources"]
    kinds = [name.removeprefix(_KIND) for name in sorted(has) if name.startswith(_KIND) and usable]
    counted = ("CPU", "GPU", "memory") if usable else ("CPU", "memory")
    return {
        "id": node["NodeID"],
        **{name: has[name] for name in counted if name in has},
        "accelerator_type": kinds[0] if kinds else None,
        "labels": dict(node["Labels"]),
    }


def _whereabouts(node_id: str) -> str:
    """The machine on which a worker was lost, and the folder of its Ray logs, as far as known."""
    nodes = ray.nodes()  # type: ignore[no-untyped-call]
    node: Mapping[str, Any] = next((each for each in nodes if each["NodeID"] == node_id), {})
    if not (host := node.get("NodeManagerHostname")):
        return f" (node {node_id})"
    socket = node.get("RayletSocketName")  # of a session: SESSION/sockets/raylet
    logs = f"; its logs are there in {Path(socket).parents[1] / 'logs'}" if socket else ""
    return f" (node {host}{logs})"


_KIND = "accelerator_type:"
"""Prefix of the resource by which Ray names a node's accelerators."""


def _options(needs: Mapping[str, Any], place: Mapping[str, Any]) -> dict[str, Any]:
    """A trial's options for Ray. The dispatcher has chosen the node, because it counts what runs on
    each; if the node is gone by now, the attempt ends at once, as lost."""
    memory_gib = needs.get("memory_gib") or 0
    return {
        "num_cpus": place["cpus"],
        "num_gpus": place["gpus"],
        "memory": int(memory_gib * 2**30) or None,
        "accelerator_type": needs.get("accelerator_type"),
        "label_selector": needs.get("labels") or None,
        "scheduling_strategy": NodeAffinitySchedulingStrategy(place["node"], soft=False),
    }
