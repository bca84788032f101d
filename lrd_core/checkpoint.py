"""Checkpoints on disk: whole or absent, named by their content, safe to load.

A checkpoint is written whole (`trial_folder.py`). Its SHA-256 travels with the epoch report; only a
file with the expected sum is loaded, and only as tensors and plain data, never as code.

The writer does not know which checkpoints are recorded, and a trial resumes only from recorded
ones. So it deletes only what earlier attempts left unrecorded; the dispatcher deletes the rest.
"""

import hashlib
import io
import logging
import pickle
import re
from collections.abc import Callable, Collection, Iterable
from typing import Any

import torch

from lrd_core.errors import CheckpointError, PluginError
from lrd_core.trial_folder import KEPT, UNRECORDED, Checkpoint, TrialFolder

log = logging.getLogger(__name__)


def save(
    folder: TrialFolder,
    epoch: int,
    state: dict[str, Any],
    attempt: int = 1,
    *,
    prove: bool = True,
) -> Checkpoint:
    """Write `state` durably into `folder`, as a checkpoint of one attempt.

    Args:
        folder: the trial's.
        epoch: how many are done.
        state: tensors and plain data.
        attempt: which try at the trial this is.
        prove: load it back before it is written, because not all that pickles can be loaded again.

    Raises:
        PluginError: with `prove`, `state` holds something other than tensors and plain data.
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
            "only tensors, numbers, strings, lists and dicts: `float(…)` converts a NumPy number"
        ) from None


def _loaded(content: io.BytesIO, device: torch.device | str = "cpu") -> Any:
    """Load tensors and plain data only; no pickled code runs."""
    content.seek(0)
    return torch.load(content, map_location=device, weights_only=True)


def has_room_for_another(folder: TrialFolder, written: Collection[str]) -> bool:
    """Whether few enough of the `written` checkpoints are still in the folder for one more.

    The dispatcher deletes the older ones as it records newer ones: many left means that it lags.
    """
    return len(written) < KEPT + UNRECORDED or (
        len(set(written).intersection(folder.names())) < KEPT + UNRECORDED
    )


def drop_unrecorded(folder: TrialFolder, recorded: Collection[str], attempt: int) -> None:
    """Delete unrecorded checkpoints and half-written files of earlier attempts.

    Files of later attempts stay: this attempt may itself have been given up while it hung.
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
        CheckpointError: the file is absent, or not the one that was written.
        OSError: the storage does not answer, or refuses; the file may well exist.
    """
    place = f"{folder}/{checkpoint.name}"
    try:
        content = folder.read(checkpoint.name)
    except FileNotFoundError:
        raise CheckpointError(f"checkpoint {place} does not exist") from None
    if hashlib.sha256(content).hexdigest() != checkpoint.sha256:
        raise CheckpointError(f"checkpoint {place} is torn or was changed: its SHA-256 differs")
    try:
        state = _loaded(io.BytesIO(content), device)
    except pickle.UnpicklingError:
        raise CheckpointError(
            f"checkpoint {place} holds something other than tensors and plain data: not loaded"
        ) from None
    assert isinstance(state, dict)
    return state


def load_newest(
    folder: TrialFolder,
    checkpoints: Iterable[Checkpoint],
    device: torch.device | str = "cpu",
    warn: Callable[[str], None] = log.warning,
) -> tuple[Checkpoint, dict[str, Any]] | None:
    """The newest checkpoint that is whole, or None; `warn` gets a sentence about each newer one.

    Raises:
        OSError: one cannot be read now, and may be whole; none of the others is.
    """
    unread: OSError | None = None
    for checkpoint in sorted(checkpoints, key=lambda each: each.epoch, reverse=True):
        try:
            return checkpoint, load(folder, checkpoint, device)
        except CheckpointError as error:
            warn(str(error))
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
