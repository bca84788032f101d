"""Checkpoints on disk: whole or absent, named by their content, safe to load.

A checkpoint is written whole (`trial_folder.py`). Its SHA-256 travels with the epoch report; only a
file with the expected sum is loaded, and only as tensors and plain data, never as code.

Who writes checkpoints does not know which are recorded, and a trial goes on from recorded ones
alone: so it deletes none, but those of earlier attempts that never were. Who records them deletes.
"""

import hashlib
import io
import pickle
import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any

import torch

from lrd_core.errors import CheckpointError, PluginError
from lrd_core.trial_folder import KEPT, UNRECORDED, TrialFolder


@dataclass(frozen=True)
class Checkpoint:
    """A saved state: its epoch, its file's name in the trial's folder, and its sum."""

    epoch: int
    name: str
    sha256: str


def save(
    folder: TrialFolder,
    epoch: int,
    state: dict[str, Any],
    attempt: int = 1,
    *,
    prove: bool = True,
) -> Checkpoint:
    """Write `state` durably into `folder`, in the name of an attempt.

    Args:
        folder: the trial's.
        epoch: how many are done.
        state: tensors and plain data.
        attempt: which try at the trial this is.
        prove: load it back before it is written: what pickles need not be what is loaded again.

    Raises:
        PluginError: `state` holds something else, which it is told to prove.
        OSError: the disk is full or broken; older checkpoints are untouched.
    """
    buffer = io.BytesIO()
    torch.save(state, buffer)
    if prove:
        _prove(buffer)
    content = buffer.getbuffer()
    sha256 = hashlib.sha256(content).hexdigest()
    checkpoint = Checkpoint(epoch, f"epoch-{epoch:06d}-attempt-{attempt}-{sha256[:16]}.pt", sha256)
    folder.write(checkpoint.name, content)
    return checkpoint


def _prove(saved: io.BytesIO) -> None:
    try:
        _loaded(saved)
    except pickle.UnpicklingError as error:
        said = str(error).rpartition("WeightsUnpickler error: ")[2].partition(". ")[0]
        raise PluginError(
            "its state holds something other than tensors and plain data, so no checkpoint of it "
            f"could be loaded ({said}). Let `state_dict()` of the model and of the optimizer hold "
            "tensors, numbers, texts, lists and dicts alone: `float(…)` of a number of NumPy's"
        ) from None


def _loaded(content: io.BytesIO, device: torch.device | str = "cpu") -> Any:
    """Never as code."""
    content.seek(0)
    return torch.load(content, map_location=device, weights_only=True)


def is_recorded(folder: TrialFolder, written: Collection[str]) -> bool:
    """Whether the newest of the `written` are recorded, but for a few: else the older ones would
    not be gone."""
    return len(written) < KEPT + UNRECORDED or (
        len(set(written).intersection(folder.names())) < KEPT + UNRECORDED
    )


def drop_unrecorded(folder: TrialFolder, recorded: Collection[str], attempt: int) -> None:
    """Delete what attempts before this one wrote and nobody recorded in time; nobody ever will. So
    too what they were killed over.

    Not what later ones wrote: this one may have hung, and been given up, before it came to this.
    """
    for name in (*folder.names(), *folder.unfinished()):
        of = re.fullmatch(r"\.?epoch-\d+-(?:attempt-(\d+)-)?\w+\.pt(?:\.\w+)?", name)
        if of is not None and int(of[1] or 0) < attempt and name not in recorded:
            folder.delete(name)


def load(
    folder: TrialFolder, checkpoint: Checkpoint, device: torch.device | str = "cpu"
) -> dict[str, Any]:
    """The saved state.

    Raises:
        CheckpointError: the file is absent, or is not the one that was written.
        OSError: the storage does not answer, or refuses; the file may be there.
    """
    place = f"{folder}/{checkpoint.name}"
    try:
        content = folder.read(checkpoint.name)
    except FileNotFoundError:
        raise CheckpointError(f"checkpoint {place} is not there") from None
    if hashlib.sha256(content).hexdigest() != checkpoint.sha256:
        raise CheckpointError(f"checkpoint {place} is torn or was changed: its SHA-256 is wrong")
    try:
        state = _loaded(io.BytesIO(content), device)
    except pickle.UnpicklingError:
        raise CheckpointError(
            f"checkpoint {place} does not hold tensors and plain data alone; it is not loaded"
        ) from None
    assert isinstance(state, dict)
    return state


def load_newest(
    folder: TrialFolder,
    checkpoints: Iterable[Checkpoint],
    device: torch.device | str = "cpu",
    tell: Callable[[str], object] = str,
) -> tuple[Checkpoint, dict[str, Any]] | None:
    """The newest checkpoint that is whole, or None if there is none; `tell` is called with what is
    wrong with each that is newer.

    Raises:
        OSError: one cannot be read now, and none of the others is whole: it may be.
    """
    unread: OSError | None = None
    for checkpoint in sorted(checkpoints, key=lambda each: each.epoch, reverse=True):
        try:
            return checkpoint, load(folder, checkpoint, device)
        except CheckpointError as error:
            tell(str(error))
        except OSError as error:
            unread = unread or error
    if unread is not None:
        raise unread
    return None


def weights(model: torch.nn.Module) -> bytes:
    """The model's `state_dict` as a file, on the CPU: for `torch.load(..., weights_only=True)`."""
    buffer = io.BytesIO()
    torch.save({name: part.cpu() for name, part in model.state_dict().items()}, buffer)
    return buffer.getvalue()


def weights_sha256(model: torch.nn.Module) -> str:
    """SHA-256 over the model's parameters and buffers, in order: equal for equal bits."""
    digest = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)};".encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
