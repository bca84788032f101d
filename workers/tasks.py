"""The remote function: restore, train, checkpoint, yield.

A worker has no database, no URL and no password: what it has to say, it yields. Messages are
`("gpus", numbers)` first where it was given any, `("started", environment)`,
`("epoch", report, (checkpoint, sha256) or None)`,
`("memory", peak, total)` in bytes where it runs on a GPU, after its first epoch and at its end if
that has grown, and last `("ended", reason or None, message, sha256 of the final weights or None)`.
"""

import gc
import json
import math
import os
import socket
import time
import traceback
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from lrd_core.trial_folder import PATHS, TrialFolder, stop_name, trial_folder, weights_name
from workers.log import Log
from workers.outdated import end_soon, was_edited, watched

Message = tuple[Any, ...]

CONTEXT_BYTES = 850 * 2**20
"""What CUDA itself keeps of a GPU's memory for each process on it, beside what torch reserves: on
an H200 682 MiB with cuBLAS alone, 840 after networks, kernels and graphs. Nothing in the process
can be asked for it."""
PATH_POINTS = 500
"""Of each path that a figure shows."""


def run_trial(
    document: dict[str, Any],
    trials: str,
    trial_id: int,
    attempt: int,
    checkpoints: list[tuple[int, str, str]],
    checkpoint_seconds: float,
) -> Iterator[Message]:
    """Run one trial from its newest whole checkpoint to its last epoch.

    Args:
        document: a TrialSpec as plain data.
        trials: path or fsspec URL that holds every trial's folder; shared by all nodes.
        trial_id: whose folder it is.
        attempt: which try this is; names its log and the file that asks it to stop.
        checkpoints: (epoch, name, sha256) of those that are recorded.
        checkpoint_seconds: a checkpoint is written when the last is at least this old, and those
            before it are recorded, but for two.
    """
    log = Log(trial_folder(trials, trial_id), attempt)
    with watched(document):
        yield from _run(document, log, attempt, checkpoints, checkpoint_seconds)


def _run(
    document: dict[str, Any],
    log: Log,
    attempt: int,
    checkpoints: list[tuple[int, str, str]],
    checkpoint_seconds: float,
) -> Iterator[Message]:
    import torch

    from lrd_core import checkpoint
    from lrd_core.environment import fingerprint, pin
    from lrd_core.errors import DataNotFound, TrialError
    from lrd_core.spec import TrialSpec
    from lrd_core.training import TrainState, train

    folder = log.folder
    state = memory = None
    try:
        spec = TrialSpec.parse(document)
        pin(spec)
        if spec.resources.num_gpus and (given := gpus_given()):
            yield "gpus", given
        try:
            device = _gpu() if spec.resources.num_gpus else torch.device("cpu")
        except _NoGpu as error:
            # On the CPU it would take days, and its numbers would be others than its pairs'. Tried
            # again, it finds another node, or this one without the GPU (`RayExecutor.nodes`).
            log.end(f"it was given a GPU that torch cannot use: {error}")
            yield "ended", "lost", f"its node's GPU cannot be used by torch: {error}", None
            return
        memory = _Memory(device)
        where = {"node": socket.gethostname(), "pid": os.getpid()}
        environment = {**where, **fingerprint(spec, device)}
        log.write(f"attempt {attempt} starts: {environment}")
        with log.hearing("lrd_core"), log.printed():  # e.g. that no compiler is here
            state = TrainState.create(spec, device)
        if was_edited():  # all is imported now; another process has all of the new code
            log.end("lrd was edited as it began; it begins again")
            yield "ended", "lost", "lrd was edited as it began", None
            return
        made = {
            "data_sha256": getattr(state.task, "data_sha256", None),  # a plugin's may have none
            "optimizer_form": state.optimizer_form,
            "parameters": sum(each.numel() for each in state.model.parameters()),
        }
        yield "started", {**environment, **made}
        known = [checkpoint.Checkpoint(*each) for each in checkpoints]
        try:
            folder.exists(stop_name(attempt))  # is its storage there at all?
            if attempt > 1:
                checkpoint.drop_unrecorded(folder, [each.name for each in known], attempt)
            # On the CPU, where optimizers keep their counts of steps: to read one waits for no GPU.
            newest = checkpoint.load_newest(folder, known, tell=log.write)
        except OSError as error:
            log.end(f"its folder cannot be read now: {error}")
            yield "ended", "lost", f"its folder cannot be read: {error}", None
            return
        if newest is not None:
            state.load_state_dict(newest[1])
            log.write(f"goes on after epoch {state.epoch}, from {newest[0].name}")
            newest = None  # it holds the weights a second time
        elif known:
            log.write("no recorded checkpoint can be loaded: from the start again")
        saved_at = time.monotonic()
        names: list[str] = []
        for report in _heard(train(spec, state), log):
            saved, stop = None, False
            due = time.monotonic() - saved_at >= checkpoint_seconds
            try:
                stop = folder.exists(stop_name(attempt))
                # Of an epoch that diverged none is kept: whoever went on from it would not know.
                wanted = (stop or due) and math.isfinite(report.metrics["train_loss"])
                if wanted and (stop or checkpoint.is_recorded(folder, names)):
                    written = checkpoint.save(
                        folder, state.epoch, state.state_dict(), attempt, prove=not names
                    )
                    saved, saved_at = (written.name, written.sha256), time.monotonic()
                    names.append(written.name)
                elif wanted:
                    log.write(
                        f"no checkpoint after epoch {state.epoch}: the earlier ones are not "
                        "recorded yet, or cannot be deleted"
                    )
            except OSError as error:
                # A full disk, or a store that is away: the next epoch tries again.
                log.write(f"no checkpoint after epoch {state.epoch}: {error}")
            log.write(_line(report.to_json()))
            yield "epoch", report.to_json(), saved
            if not memory.told:
                yield from memory.grown()
            if stop and saved and state.epoch < spec.epochs:
                log.end("stops here: asked to")
                yield "ended", "user", "stopped", None
                return
        if spec.task_name == "descent":
            _leave_paths(spec, folder)
        weights = checkpoint.weights_sha256(state.model)
        if spec.execution.keep_weights:
            try:
                folder.write(weights_name(weights), checkpoint.weights(state.model))
            except OSError as error:  # they are wanted: the last epochs are run again for them
                log.end(f"its weights cannot be kept now: {error}")
                yield "ended", "lost", f"its weights cannot be kept now: {error}", None
                return
        yield from memory.grown()
    except DataNotFound as error:  # another node may have it
        log.end(f"ends: {error}")
        yield "ended", "no_data", f"{error} (node {socket.gethostname()})", None
    except TrialError as error:
        log.end(traceback.format_exc() if error.__cause__ else f"ends: {error}")
        yield "ended", error.reason, str(error), None
    except torch.OutOfMemoryError as error:
        log.end(traceback.format_exc())
        if memory is not None:
            yield from memory.grown()  # it needs at least so much
        yield "ended", "oom", str(error).splitlines()[0], None
    except Exception as error:
        log.end(traceback.format_exc())
        where_raised = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(where_raised.filename).name}:{where_raised.lineno}"
        yield "ended", "error", f"{type(error).__name__}: {error} ({place})", None
    else:
        log.end(f"done; the weights' SHA-256 is {weights}")
        yield "ended", None, None, weights
    finally:
        # The process is kept, and others use the GPU now. An optimizer with hooks refers to itself,
        # so that its memory is free only when garbage is collected: this takes 0.1 s.
        del state
        if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
            gc.collect()
            try:
                torch.cuda.synchronize()
                torch.cuda.empty_cache()
            except RuntimeError:  # a fault of a kernel's is for good: each later trial would fail
                end_soon()


def _heard(reports: Iterator[Any], log: Log) -> Iterator[Any]:
    """The reports; what is printed while each is made stands in the log."""
    while True:
        with log.printed():
            report = next(reports, None)
        if report is None:
            return
        yield report


class _NoGpu(Exception):
    """The GPU that Ray gave cannot be used; the message says why."""


def _gpu() -> Any:
    """The GPU that Ray gave to this trial; the CPU where GPUs are pretended.

    CUDA reads CUDA_VISIBLE_DEVICES once a process, and this one is kept for later trials, to which
    Ray may give another GPU: so CUDA sees all of them, and the trial uses its own by its number, or
    by its UUID where the node is told its GPUs so. A part of a GPU (MIG) is the process's for good.
    Of several, which a task of another package may have, it is the first; the variable tells the
    task of the others, and the processes that the task starts see these alone.
    """
    import torch

    from lrd_core.environment import pick_device, why_no_gpu

    given = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    first = given.split(",")[0]
    has_number = first.isdigit() or first.startswith("GPU-")
    if has_number:
        del os.environ["CUDA_VISIBLE_DEVICES"]
    device = pick_device()
    if device.type == "cpu":
        if why := why_no_gpu():
            raise _NoGpu(why)
    elif has_number:
        number, there = _number(first), torch.cuda.device_count()
        if number is None or number >= there:
            raise _NoGpu(f"it is called {first}, and torch finds {there}, none of which is that")
        device = torch.device("cuda", number)
        torch.cuda.set_device(device)
        if given != first:
            torch.cuda.init()  # type: ignore[no-untyped-call]
            torch.cuda.device_count()  # torch keeps it from now on: it would ask the variable
            os.environ["CUDA_VISIBLE_DEVICES"] = given
    return device


def _number(name: str) -> int | None:
    """Of the GPU that CUDA_VISIBLE_DEVICES calls so; a UUID may be cut short there."""
    import torch

    if name.isdigit():
        return int(name)
    if not name.startswith("GPU-"):
        return None
    uuids = [
        f"GPU-{torch.cuda.get_device_properties(at).uuid}"
        for at in range(torch.cuda.device_count())
    ]
    return next((at for at, uuid in enumerate(uuids) if uuid.startswith(name)), None)


def gpus_given() -> list[int]:
    """Which of its node's GPUs Ray gave to this task, by Ray's own count; none outside of Ray.

    Not `ray.get_gpu_ids()`, which says how CUDA names them on a node that does not show all it has.
    """
    from ray._private import worker

    process: Any = worker.global_worker
    if not process.connected:
        return []
    return sorted(at for at, _ in process.core_worker.resource_ids().get("GPU", []))


class _Memory:
    """The most of its GPU's memory that a trial has used, told when that has grown."""

    def __init__(self, device: Any) -> None:
        self._device, self.told = device, 0
        if device.type == "cuda":
            import torch

            torch.cuda.init()  # type: ignore[no-untyped-call]
            torch.cuda.reset_peak_memory_stats(device)  # the process may have had other trials

    def grown(self) -> Iterator[Message]:
        used = _used(self._device)
        if used is not None and used[0] > self.told:
            self.told = used[0]
            yield "memory", *used


def _used(device: Any) -> tuple[int, int] | None:
    """(peak, total) in bytes, of this process since its trial began; None without a GPU."""
    import torch

    if device.type != "cuda":
        return None
    total = torch.cuda.get_device_properties(device).total_memory
    return min(total, torch.cuda.max_memory_reserved(device) + CONTEXT_BYTES), total


def _leave_paths(spec: Any, folder: TrialFolder) -> None:
    """What a figure of descents shows; the service, without torch, cannot compute it."""
    from lrd_core.surfaces import SURFACES
    from lrd_core.tasks.descent import paths

    ways = paths(spec, SURFACES[spec.data.surface].drawn, points=PATH_POINTS)  # (points, n, 2)
    few = ways.transpose(1, 0, 2)
    with suppress(OSError):  # it costs a figure, never the trial
        folder.write(PATHS, json.dumps(few.round(4).tolist()).encode())


def gpu_fault() -> str | None:
    """Why torch cannot use the GPUs of this node; None where it can."""
    with watched({}):
        from lrd_core.environment import why_no_gpu

        if not os.environ.get("CUDA_VISIBLE_DEVICES", "all"):
            del os.environ["CUDA_VISIBLE_DEVICES"]  # Ray hides them from who has asked for none
        return why_no_gpu()


def warm_up() -> None:
    """Import what a trial needs, while nothing waits for it."""
    with watched({}):
        import torch

        import lrd_core.training  # noqa: F401
        from lrd_core.optim import kernels

        torch.optim.SGD([torch.zeros(1)])  # the first optimizer imports torch._dynamo
        kernels.cannot_run(torch.device("cpu"))  # builds them, once a machine


def _line(report: dict[str, Any]) -> str:
    return "  ".join(
        f"{name} {value:.6g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in report.items()
    )
