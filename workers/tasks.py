"""The remote function: restore, train, checkpoint, yield what `lrd_core.messages` lists."""

import json
import os
import socket
import traceback
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from lrd_core import plugins
from lrd_core.errors import first_line, in_words, text_of
from lrd_core.messages import Ended, EpochDone, GpusGiven, Message, Outcome, Started
from lrd_core.report import EpochReport
from lrd_core.texts import clipped, readable
from lrd_core.trial_folder import PATHS, Checkpoint, TrialFolder, trial_folder, weights_name
from workers import gpus
from workers.kept import collect, restored, was_edited, watched
from workers.log import Log
from workers.saving import Checkpoints

if TYPE_CHECKING:
    from lrd_core.spec import TrialSpec
    from lrd_core.training import TrainState

MOST_SAID = 1_000, 500
"""The first and the last characters that are told of an error's text."""
PATH_POINTS = 500
"""Points of each path that a figure shows, about."""


def run_trial(
    document: dict[str, Any],
    trials: str,
    trial_id: int,
    attempt: int,
    checkpoints: list[Checkpoint],
    checkpoint_seconds: float,
) -> Iterator[Message]:
    """Run one trial from its newest whole checkpoint to its last epoch.

    Args:
        document: a TrialSpec as plain data.
        trials: path or fsspec URL that holds every trial's folder; shared by all nodes.
        trial_id: whose folder it is.
        attempt: which try this is; names its log and the file that asks it to stop.
        checkpoints: those that are recorded.
        checkpoint_seconds: a checkpoint is written once the last is at least this old and all
            before it but two are recorded.
    """
    log = Log(trial_folder(trials, trial_id), attempt)
    with watched(document):
        saving = Checkpoints(log, checkpoints, checkpoint_seconds)
        yield from _with_final_message(_attempt(document, log, saving), log)


def warm_up() -> None:
    """Import what a trial needs while nothing waits for it."""
    with watched({}):
        import torch

        import lrd_core.training  # noqa: F401
        from lrd_core.optim import kernels

        torch.optim.SGD([torch.zeros(1)])  # the first optimizer imports torch._dynamo
        kernels.cannot_run(torch.device("cpu"))  # builds the kernels, once per machine
        collect()


# --- inside ---------------------------------------------------------------------------------------


class _EarlyEnd(Exception):
    """The attempt ends before its last epoch, for no fault of the trial's; the text says why.

    After `lost`, the trial is tried again.
    """

    def __init__(self, outcome: Outcome, text: str) -> None:
        super().__init__(text)
        self.outcome = outcome


def _with_final_message(messages: Generator[Message, None, str], log: Log) -> Iterator[Message]:
    """The messages of an attempt, then one that says how it ended."""
    import torch

    from lrd_core.errors import DataNotFound, TrialError

    try:
        weights = yield from messages
    except _EarlyEnd as end:
        log.end(f"ends: {end}")
        yield Ended(end.outcome, str(end))
    except DataNotFound as error:  # another node may have it
        log.end(f"ends: {_said(error)}")
        yield Ended(Outcome.no_data, f"{_said(error)} (node {socket.gethostname()})")
    except TrialError as error:
        log.end(traceback.format_exc() if error.__cause__ else f"ends: {_said(error)}")
        yield Ended(Outcome(error.reason), _said(error))
    except torch.OutOfMemoryError as error:
        log.end(traceback.format_exc())
        yield Ended(Outcome.oom, first_line(error))
    except GeneratorExit:  # nobody listens any more
        raise
    except BaseException as error:  # a plugin may call sys.exit
        if _is_asked(error):
            raise
        log.end(traceback.format_exc())
        yield Ended(Outcome.error, _clean(in_words(error, plugins.packages())))
    else:
        log.end(f"done; the weights' SHA-256 is {weights}")
        yield Ended(Outcome.done, weights_sha256=weights)
    finally:
        collect()
        gpus.give_back()


def _said(error: BaseException) -> str:
    return _clean(text_of(error))


def _clean(text: str) -> str:
    return readable(clipped(text, *MOST_SAID))


def _is_asked(error: BaseException) -> bool:
    """Whether Ray raised it, to cancel the trial or to end this process, and not the trial itself.

    Outside of Ray, whoever sits at the keyboard raised it.
    """
    if isinstance(error, KeyboardInterrupt):
        import ray

        return not ray.is_initialized() or ray.get_runtime_context().is_canceled()
    return hasattr(error, "ray_terminate_msg")  # a SystemExit, after SIGTERM


def _attempt(
    document: dict[str, Any], log: Log, checkpoints: Checkpoints
) -> Generator[Message, None, str]:
    """Yield all messages but the final one; return the SHA-256 of the final weights."""
    import torch

    from lrd_core.environment import pin
    from lrd_core.spec import TrialSpec
    from lrd_core.training import train

    spec = TrialSpec.parse(document)
    with _own_code(log):  # it imports plugins
        pin(spec)
    device = yield from _device(spec)
    memory = gpus.PeakMemory(device)
    try:
        with restored():
            state = yield from _start(spec, device, log)
            with _retry_if_storage_fails("its folder cannot be read"):
                checkpoints.restore(state)
            for report in _heard(train(spec, state), log):
                saved, stop = checkpoints.after(report, state)
                log.write(_line(report.to_json()))
                yield EpochDone(report.to_json(), saved)
                if not memory.reported:
                    yield from memory.grown()
                if stop and state.epoch < spec.epochs:
                    raise _EarlyEnd(Outcome.user, "asked to stop")
            weights = _keep_results(state, log.folder)
    except torch.OutOfMemoryError:
        yield from memory.grown()  # it needs at least this much
        raise
    yield from memory.grown()
    return weights


def _device(spec: "TrialSpec") -> Generator[Message, None, Any]:
    """Yield a message with the attempt's GPUs, if any; return the device it trains on.

    Raises:
        _EarlyEnd: torch cannot use the GPU that it was given. On the CPU it would take days, and
            its numbers would differ from those of its pairs. The next attempt finds another node,
            or this one without the GPU (`RayExecutor.nodes`).
    """
    import torch

    if not spec.resources.num_gpus:
        return torch.device("cpu")
    if given := gpus.given():
        yield GpusGiven(tuple(given))
    try:
        return gpus.pick()
    except gpus.NoGpu as error:
        raise _EarlyEnd(Outcome.lost, f"torch cannot use its node's GPU: {error}") from None


def _start(spec: "TrialSpec", device: Any, log: Log) -> Generator[Message, None, "TrainState"]:
    """Yield the message of what the numbers depend on; return the state before the first epoch."""
    from lrd_core.environment import fingerprint
    from lrd_core.training import TrainState

    here = {"node": socket.gethostname(), "pid": os.getpid(), **fingerprint(spec, device)}
    log.write(f"attempt {log.attempt} starts: {here}")
    with log.hearing("lrd_core"), _own_code(log):  # e.g. that there is no compiler
        state = TrainState.create(spec, device)
    if was_edited():  # by now all is imported; a fresh process imports only the new code
        raise _EarlyEnd(Outcome.lost, "lrd was edited as it began")
    made = {
        "data_sha256": getattr(state.task, "data_sha256", None),  # a plugin's may have none
        "optimizer_form": state.optimizer_form,
        "parameters": sum(each.numel() for each in state.model.parameters()),
    }
    yield Started(here | made)
    return state


@contextmanager
def _own_code(log: Log) -> Iterator[None]:
    """Within, the trial's own code runs: whatever it prints goes to the log, and a GeneratorExit is
    an error like any other. Elsewhere that means that nobody listens to the attempt any more."""
    with log.printed():
        try:
            yield
        except GeneratorExit as error:
            said = RuntimeError("the trial raised GeneratorExit")
            raise said.with_traceback(error.__traceback__) from None


def _heard(reports: Iterator[EpochReport], log: Log) -> Iterator[EpochReport]:
    """The reports; whatever is printed while one is computed goes to the log."""
    while True:
        with _own_code(log):
            report = next(reports, None)
        if report is None:
            return
        yield report


def _keep_results(state: "TrainState", folder: TrialFolder) -> str:
    """Write what is kept of a finished trial; return the SHA-256 of its final weights."""
    from lrd_core import checkpoint

    _keep_paths(state, folder)
    weights = checkpoint.weights_sha256(state.model)
    if state.spec.execution.keep_weights:
        # The user wants them, so the attempt is retried: it repeats the epochs since a checkpoint.
        with _retry_if_storage_fails("its weights cannot be kept now"):
            folder.write(weights_name(weights), checkpoint.weights(state.model))
    return weights


def _keep_paths(state: "TrainState", folder: TrialFolder) -> None:
    """Write a descent's paths for a figure; the service has no torch to compute them."""
    from lrd_core.tasks.descent import Descent, paths

    if not isinstance(state.task, Descent):
        return
    ways = paths(state.spec, state.task.surface.drawn, points=PATH_POINTS)  # (points, n, 2)
    few = ways.transpose(1, 0, 2)
    with suppress(OSError):  # it costs a figure, never the trial
        folder.write(PATHS, json.dumps(few.round(4).tolist()).encode())


@contextmanager
def _retry_if_storage_fails(what: str) -> Iterator[None]:
    """Within, an error of the storage ends the attempt as `lost`, so that the trial is retried.

    `what`: the beginning of the message, e.g. "its folder cannot be read".
    """
    try:
        yield
    except OSError as error:
        raise _EarlyEnd(Outcome.lost, f"{what}: {error}") from None


def _line(report: dict[str, Any]) -> str:
    return "  ".join(
        f"{name} {value:.6g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in report.items()
    )
