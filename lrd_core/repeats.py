"""Whether a trial repeats itself: from the start, from a checkpoint, and beside its plain twin.

What lrd brings along is tested for it. A model, a task or an optimizer of another package may draw
at random where no seed reaches, or remember what no checkpoint holds: then trials that are lost end
otherwise than they would have, pairs are none, and nobody is told. This tells.
"""

import contextlib
import math
import multiprocessing
import tempfile
import traceback
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from lrd_core import checkpoint
from lrd_core.checkpoint import Checkpoint
from lrd_core.environment import device_of, pin
from lrd_core.errors import Diverged, LRDError
from lrd_core.spec import TrialSpec
from lrd_core.training import TrainState, train
from lrd_core.trial_folder import folder_at

EPOCHS = 3
"""So many are enough to see what an epoch leaves behind for the next one and for the one after."""


@dataclass(frozen=True)
class Finding:
    """What was looked at, and whether it holds."""

    what: str
    holds: bool
    detail: str
    """Of what holds, the evidence; else the first difference."""


def findings(spec: TrialSpec, epochs: int = EPOCHS) -> Iterator[Finding]:
    """Run the first `epochs` of a trial three times, each in a process of its own.

    Raises:
        LRDError: it has, or is to run for, less than two epochs: nothing could go on; or it cannot
            be run at all.
    """
    epochs = min(epochs, spec.epochs)
    if epochs < 2:
        raise LRDError(
            "one epoch is too few: a trial goes on after its first. Give it two or more "
            "(`epochs` of the trial, or --epochs)"
        )
    saved_after = epochs // 2
    document = spec.model_dump(mode="json")
    with tempfile.TemporaryDirectory(prefix="lrd-check-") as folder:
        first = _first(_apart(_run, document, epochs, folder, saved_after, None))
        again = _apart(_run, document, epochs, folder, None, None)
        yield _same("again from the start", first, again)
        if first.saved is not None:  # else it diverged before
            resumed = _apart(_run, document, epochs, folder, None, first.saved)
            yield _same(f"on from its checkpoint after epoch {saved_after}", first, resumed)
    twin = _apart(_begin, document)
    plain = "without LRD" if spec.optimizer.keep_prob != 1.0 else "with LRD"
    what = f"begins with the weights that it has {plain}"
    if isinstance(twin, _Failed):
        yield Finding(what, holds=False, detail=twin.why)
    else:
        holds = twin == first.begun
        detail = twin[:12] if holds else f"{first.begun[:12]} and {twin[:12]}"
        yield Finding(what, holds, detail)


# --- inside ---------------------------------------------------------------------------------------


class _Run(NamedTuple):
    """What came out of a process."""

    begun: str
    """Sum of the initial weights."""
    reports: dict[int, dict[str, float]]
    """Epoch -> its numbers."""
    ended: str
    """Sum of the weights at the end."""
    saved: Checkpoint | None


class _Failed(NamedTuple):
    """What came out where nothing else did."""

    why: str


def _apart(function: Any, *arguments: Any) -> Any:
    """What the function returns in a fresh process: as after a kill, nothing is left of others."""
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=fresh) as pool:
        try:
            return pool.submit(_tried, function, *arguments).result()
        except BrokenExecutor:
            return _Failed("its process died; was it out of memory?")


def _tried(function: Any, *arguments: Any) -> Any:
    """An error of another package need not be one that crosses processes: its words do."""
    try:
        return function(*arguments)
    except LRDError as error:
        return _Failed(str(error))
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(place.filename).name}:{place.lineno}"
        return _Failed(f"{type(error).__name__}: {error} ({where})")


def _first(run: "_Run | _Failed") -> _Run:
    if isinstance(run, _Failed):
        raise LRDError(f"the trial cannot be run: {run.why}")
    return run


def _run(
    document: dict[str, Any],
    epochs: int,
    folder: str,
    save_after: int | None,
    saved: Checkpoint | None,
) -> _Run:
    spec = TrialSpec.parse(document)
    state = _created(spec)
    begun = checkpoint.weights_sha256(state.model)
    if saved is not None:
        state.load_state_dict(checkpoint.load(folder_at(folder), saved))
    reports = {}
    with contextlib.suppress(Diverged):  # a finding, which may repeat itself as any other
        for report in train(spec, state):
            reports[report.epoch] = {"lr": report.lr, **report.metrics}
            if report.epoch == save_after and math.isfinite(report.metrics["train_loss"]):
                saved = checkpoint.save(folder_at(folder), state.epoch, state.state_dict())
            if report.epoch == epochs:
                break
    return _Run(begun, reports, checkpoint.weights_sha256(state.model), saved)


def _begin(document: dict[str, Any]) -> str:
    """Sum of the initial weights with learning-rate dropout turned on, or off if it is on."""
    spec = TrialSpec.parse(document)
    other = 0.5 if spec.optimizer.keep_prob == 1.0 else 1.0
    optimizer = spec.optimizer.model_copy(update={"keep_prob": other})
    twin = _created(spec.model_copy(update={"optimizer": optimizer}))
    return checkpoint.weights_sha256(twin.model)


def _created(spec: TrialSpec) -> TrainState:
    pin(spec)
    return TrainState.create(spec, device_of(spec))


def _same(what: str, first: _Run, other: "_Run | _Failed") -> Finding:
    """Whether the other run has the numbers of the first one's last epochs, and its weights at the
    end, to the bit."""
    if isinstance(other, _Failed):
        return Finding(what, holds=False, detail=other.why)
    epochs = sorted(other.reports)
    if epochs[-1] != max(first.reports):
        text = f"it ended after epoch {max(first.reports)}, and now after {epochs[-1]}"
        return Finding(what, holds=False, detail=text)
    for epoch in epochs:
        then, now = first.reports[epoch], other.reports[epoch]
        for name in dict.fromkeys([*then, *now]):
            was, is_now = then.get(name), now.get(name)
            if repr(was) != repr(is_now):  # so that NaN is equal to itself
                text = f"{name} of epoch {epoch} was {was!r}, and is {is_now!r}"
                return Finding(what, holds=False, detail=text)
    if first.ended != other.ended:
        text = "the metrics are the same, and the weights are not"
        return Finding(what, holds=False, detail=text)
    text = f"{len(epochs)} epoch{'s' * (len(epochs) > 1)} to the bit, weights {other.ended[:12]}"
    return Finding(what, holds=True, detail=text)
