"""The remote function: restore, train, checkpoint, yield.

A worker has no database, no URL and no password: what it has to say, it yields. Messages are
`("started", environment)`, `("epoch", report, (checkpoint, sha256) or None)`, and last
`("ended", reason or None, message)`.
"""

import os
import socket
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Message = tuple[Any, ...]


def run_trial(
    document: dict[str, Any],
    directory: str,
    checkpoints: list[tuple[int, str, str]],
    checkpoint_seconds: float,
) -> Iterator[Message]:
    """Run one trial from its newest whole checkpoint to its last epoch.

    Args:
        document: a TrialSpec as plain data.
        directory: of the trial's checkpoints; shared by all nodes.
        checkpoints: (epoch, name, sha256) of those that are recorded.
        checkpoint_seconds: a checkpoint is written when the last is at least this old.
    """
    import torch

    from lrd_core import checkpoint
    from lrd_core.environment import fingerprint, pick_device, pin
    from lrd_core.errors import TrialError
    from lrd_core.spec import TrialSpec
    from lrd_core.training import TrainState, train

    try:
        spec = TrialSpec.parse(document)
        pin(spec)
        device = torch.device("cpu") if not spec.resources.num_gpus else pick_device()
        where = {"node": socket.gethostname(), "pid": os.getpid()}
        yield "started", {**where, **fingerprint(device)}
        state = TrainState.create(spec, device)
        known = [checkpoint.Checkpoint(*each) for each in checkpoints]
        newest = checkpoint.load_newest(Path(directory), known, device)
        if newest is not None:
            state.load_state_dict(newest[1])
        saved_at = time.monotonic()
        for report in train(spec, state):
            saved = None
            if time.monotonic() - saved_at >= checkpoint_seconds:
                written = checkpoint.save(Path(directory), state.epoch, state.state_dict())
                saved, saved_at = (written.name, written.sha256), time.monotonic()
            yield "epoch", report.to_json(), saved
    except TrialError as error:
        yield "ended", error.reason, str(error)
    except torch.OutOfMemoryError as error:
        yield "ended", "oom", str(error).splitlines()[0]
    except Exception as error:
        where_raised = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(where_raised.filename).name}:{where_raised.lineno}"
        yield "ended", "error", f"{type(error).__name__}: {error} ({place})"
    else:
        yield "ended", None, None


def warm_up() -> None:
    """Import what a trial needs, while nothing waits for it."""
    import torch

    import lrd_core.training  # noqa: F401

    torch.optim.SGD([torch.zeros(1)])  # the first optimizer imports torch._dynamo
