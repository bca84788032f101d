"""What an attempt tells its dispatcher. Free of torch.

A worker has no database, no URL and no password: it yields all that it reports. Its messages are,
in order: `GpusGiven`, if Ray gave it any; `Started`; an `EpochDone` for each epoch; `Ended`. On a
GPU, a `MemoryPeak` follows the first epoch, and precedes the end if the peak has grown.

They are named tuples, because one dispatcher unpickles all of them: an epoch with its checkpoint is
pickled and unpickled in 11 µs, and in 14 if both are slotted dataclasses.
"""

from enum import StrEnum
from typing import Any, NamedTuple

from lrd_core.trial_folder import Checkpoint


class Outcome(StrEnum):
    """How an attempt ended."""

    done = "done"
    """Its trial has all epochs."""
    user = "user"
    """Somebody asked for it."""
    lost = "lost"
    """Its worker or node vanished, or what it needs there does not work now: to be tried again."""
    no_data = "no_data"
    """Its node lacks the data and cannot get it; another node may have it."""
    oom = "oom"
    """The trial's own GPU ran out of memory."""
    node_oom = "node_oom"
    """Its node ran out of memory."""
    diverged = "diverged"
    """The loss is not finite: a finding."""
    error = "error"
    """The trial raised; the same code would raise again."""


class GpusGiven(NamedTuple):
    """The GPUs that Ray gave to the attempt."""

    numbers: tuple[int, ...]
    """Ray's own, on the attempt's node."""


class Started(NamedTuple):
    """The attempt is about to train."""

    environment: dict[str, Any]
    """Where it runs, and what its numbers depend on."""


class EpochDone(NamedTuple):
    """The attempt has computed an epoch."""

    report: dict[str, Any]
    """An `EpochReport` as plain data."""
    checkpoint: Checkpoint | None
    """The state after this epoch, if it was saved."""


class MemoryPeak(NamedTuple):
    """The most GPU memory that the attempt has used so far, in bytes."""

    used: int
    total: int
    """What its GPU has."""


class Ended(NamedTuple):
    """The attempt's last message."""

    outcome: Outcome
    text: str = ""
    """What there is to say of it; empty if the trial is done."""
    weights_sha256: str | None = None
    """Of the final weights, if the trial is done."""


Message = GpusGiven | Started | EpochDone | MemoryPeak | Ended
Key = tuple[int, int]
"""(trial, attempt)"""
Envelope = tuple[int, int, Message]
"""(trial, attempt, message)"""
