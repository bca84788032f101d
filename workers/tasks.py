"""The remote function: restore, train, checkpoint, yield.

A worker has no database, no URL and no password: what it has to say, it yields. Messages are
`("gpus", numbers)` first where it was given any, `("started", environment)`,
`("epoch", report, (checkpoint, sha256) or None)`,
`("memory", peak, total)` in bytes where it runs on a GPU, after its first epoch and at its end if
that has grown, and last `("ended", reason or None, message, sha256 of the final weights or None)`.
"""

import json
import os
import socket
import traceback
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lrd_core.report import EpochReport
from lrd_core.trial_folder import PATHS, TrialFolder, trial_folder, weights_name
from workers import gpus
from workers.kept import collect, was_edited, watched
from workers.log import Log
from workers.saving import Checkpoints

if TYPE_CHECKING:
    from lrd_core.spec import TrialSpec
    from lrd_core.training import TrainState

Message = tuple[Any, ...]

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
        saving = Checkpoints(log, checkpoints, checkpoint_seconds)
        yield from _ended(_attempt(document, log, saving), log)


def warm_up() -> None:
    """Import what a trial needs, while nothing waits for it."""
    with watched({}):
        import torch

        import lrd_core.training  # noqa: F401
        from lrd_core.optim import kernels

        torch.optim.SGD([torch.zeros(1)])  # the first optimizer imports torch._dynamo
        kernels.cannot_run(torch.device("cpu"))  # builds them, once a machine
        collect()


# --- inside ---------------------------------------------------------------------------------------


class _Ended(Exception):
    """The attempt ends before its last epoch, and not by what it computes; the text says why.

    `reason` as in its last message: `lost` is tried again.
    """

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


def _ended(messages: Generator[Message, None, str], log: Log) -> Iterator[Message]:
    """The messages of an attempt, and last how it ended."""
    import torch

    from lrd_core.errors import DataNotFound, TrialError

    try:
        weights = yield from messages
    except _Ended as end:
        log.end(f"ends: {end}")
        yield "ended", end.reason, str(end), None
    except DataNotFound as error:  # another node may have it
        log.end(f"ends: {error}")
        yield "ended", "no_data", f"{error} (node {socket.gethostname()})", None
    except TrialError as error:
        log.end(traceback.format_exc() if error.__cause__ else f"ends: {error}")
        yield "ended", error.reason, str(error), None
    except torch.OutOfMemoryError as error:
        log.end(traceback.format_exc())
        yield "ended", "oom", str(error).splitlines()[0], None
    except Exception as error:
        log.end(traceback.format_exc())
        raised = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(raised.filename).name}:{raised.lineno}"
        yield "ended", "error", f"{type(error).__name__}: {error} ({place})", None
    else:
        log.end(f"done; the weights' SHA-256 is {weights}")
        yield "ended", None, None, weights
    finally:
        collect()
        gpus.give_back()


def _attempt(
    document: dict[str, Any], log: Log, checkpoints: Checkpoints
) -> Generator[Message, None, str]:
    """All but the last message; returns the SHA-256 of the final weights."""
    import torch

    from lrd_core.environment import pin
    from lrd_core.spec import TrialSpec
    from lrd_core.training import train

    spec = TrialSpec.parse(document)
    pin(spec)
    device = yield from _device(spec)
    memory = gpus.PeakMemory(device)
    try:
        state = yield from _begun(spec, device, log)
        with _lost_without("its folder cannot be read"):
            checkpoints.restore(state)
        for report in _heard(train(spec, state), log):
            saved, stop = checkpoints.after(report, state)
            log.write(_line(report.to_json()))
            yield "epoch", report.to_json(), saved
            if not memory.told:
                yield from memory.grown()
            if stop and state.epoch < spec.epochs:
                raise _Ended("user", "asked to stop")
        weights = _leave(state, log.folder)
    except torch.OutOfMemoryError:
        yield from memory.grown()  # it needs at least so much
        raise
    yield from memory.grown()
    return weights


def _device(spec: "TrialSpec") -> Generator[Message, None, Any]:
    """Where it trains, and the message of which GPUs it has.

    Raises:
        _Ended: it was given a GPU that torch cannot use. On the CPU it would take days, and its
            numbers would be others than its pairs'; tried again, it finds another node, or this one
            without the GPU (`RayExecutor.nodes`).
    """
    import torch

    if not spec.resources.num_gpus:
        return torch.device("cpu")
    if given := gpus.given():
        yield "gpus", given
    try:
        return gpus.pick()
    except gpus.NoGpu as error:
        raise _Ended("lost", f"its node's GPU cannot be used by torch: {error}") from None


def _begun(spec: "TrialSpec", device: Any, log: Log) -> Generator[Message, None, "TrainState"]:
    """The state before the first epoch, and the message of what its numbers depend on."""
    from lrd_core.environment import fingerprint
    from lrd_core.training import TrainState

    here = {"node": socket.gethostname(), "pid": os.getpid(), **fingerprint(spec, device)}
    log.write(f"attempt {log.attempt} starts: {here}")
    with log.hearing("lrd_core"), log.printed():  # e.g. that no compiler is here
        state = TrainState.create(spec, device)
    if was_edited():  # all is imported now; another process has all of the new code
        raise _Ended("lost", "lrd was edited as it began")
    made = {
        "data_sha256": getattr(state.task, "data_sha256", None),  # a plugin's may have none
        "optimizer_form": state.optimizer_form,
        "parameters": sum(each.numel() for each in state.model.parameters()),
    }
    yield "started", here | made
    return state


def _heard(reports: Iterator[EpochReport], log: Log) -> Iterator[EpochReport]:
    """The reports; what is printed while each is made stands in the log."""
    while True:
        with log.printed():
            report = next(reports, None)
        if report is None:
            return
        yield report


def _leave(state: "TrainState", folder: TrialFolder) -> str:
    """Write what is kept of a trial that is done; the SHA-256 of its final weights."""
    from lrd_core import checkpoint

    _leave_paths(state, folder)
    weights = checkpoint.weights_sha256(state.model)
    if state.spec.execution.keep_weights:
        # They are wanted: the last epochs are run again for them.
        with _lost_without("its weights cannot be kept now"):
            folder.write(weights_name(weights), checkpoint.weights(state.model))
    return weights


def _leave_paths(state: "TrainState", folder: TrialFolder) -> None:
    """Of a descent, what a figure shows; the service, without torch, cannot compute it."""
    from lrd_core.tasks.descent import Descent, paths

    if not isinstance(state.task, Descent):
        return
    ways = paths(state.spec, state.task.surface.drawn, points=PATH_POINTS)  # (points, n, 2)
    few = ways.transpose(1, 0, 2)
    with suppress(OSError):  # it costs a figure, never the trial
        folder.write(PATHS, json.dumps(few.round(4).tolist()).encode())


@contextmanager
def _lost_without(what: str) -> Iterator[None]:
    """Within, storage that is away ends the attempt, as `what` says; it is tried again."""
    try:
        yield
    except OSError as error:
        raise _Ended("lost", f"{what}: {error}") from None


def _line(report: dict[str, Any]) -> str:
    return "  ".join(
        f"{name} {value:.6g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in report.items()
    )
