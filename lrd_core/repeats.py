"""Checks that a trial repeats itself: from the start, from a checkpoint, next to its plain twin.

lrd's own parts are tested for it. A plugin's model, task or optimizer may draw random numbers that
no seed reaches, or remember what no checkpoint holds: then a resumed trial ends differently, its
pairing is void, and nothing says so. This check does.
"""

import contextlib
import math
import multiprocessing
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

from lrd_core import checkpoint, plugins
from lrd_core.environment import device_of, pin
from lrd_core.errors import Diverged, LRDError, in_words
from lrd_core.spec import TrialSpec
from lrd_core.training import TrainState, train
from lrd_core.trial_folder import Checkpoint, folder_at

EPOCHS = 3
"""Enough to see what an epoch leaves behind for the next one and for the one after."""


@dataclass(frozen=True)
class Finding:
    """A property of the trial, and whether it holds."""

    what: str
    holds: bool
    detail: str
    """The evidence if it holds; otherwise the first difference."""


def findings(spec: TrialSpec, epochs: int = EPOCHS) -> Iterator[Finding]:
    """Run the first `epochs` of a trial three times, each in a new process.

    Raises:
        LRDError: there are fewer than two epochs, so that nothing could be resumed; or the trial
            cannot be run at all.
    """
    epochs = min(epochs, spec.epochs)
    if epochs < 2:
        raise LRDError(
            "one epoch is too few: the check resumes after the first. Give it two or more "
            "(`epochs` of the trial, or --epochs)"
        )
    saved_after = epochs // 2
    document = spec.model_dump(mode="json")
    with tempfile.TemporaryDirectory(prefix="lrd-check-") as folder:
        first = _completed(_apart(_run, document, epochs, folder, saved_after, None))
        again = _apart(_run, document, epochs, folder, None, None)
        yield _same("again from the start", first, again)
        if first.saved is not None:  # it has not diverged by then
            resumed = _apart(_run, document, epochs, folder, None, first.saved)
            yield _same(f"on from its checkpoint after epoch {saved_after}", first, resumed)
    twin = _apart(_begin, document)
    plain = "without LRD" if spec.optimizer.keep_prob != 1.0 else "with LRD"
    what = f"begins with the same weights {plain}"
    if isinstance(twin, _Failed):
        yield Finding(what, holds=False, detail=twin.why)
    else:
        holds = twin == first.begun
        detail = twin[:12] if holds else f"{first.begun[:12]} and {twin[:12]}"
        yield Finding(what, holds, detail)


# --- inside ---------------------------------------------------------------------------------------


class _Run(NamedTuple):
    """The outcome of a run in its own process."""

    begun: str
    """SHA-256 of the initial weights."""
    reports: dict[int, dict[str, float]]
    """Epoch -> its numbers."""
    ended: str
    """SHA-256 of the final weights."""
    saved: Checkpoint | None
    """The checkpoint that it wrote, if any."""


class _Failed(NamedTuple):
    """The outcome of a process that failed."""

    why: str


def _apart(function: Any, *arguments: Any) -> Any:
    """The function's result in a fresh process, which has nothing of others, as after a kill."""
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=fresh) as pool:
        try:
            return pool.submit(_tried, function, *arguments).result()
        except BrokenExecutor:
            return _Failed("its process died; was it out of memory?")


def _tried(function: Any, *arguments: Any) -> Any:
    """The function's result, or its error in words: a plugin's error may not be picklable."""
    try:
        with contextlib.redirect_stdout(sys.stderr):  # what a plugin prints is no finding
            return function(*arguments)
    except LRDError as error:
        return _Failed(str(error))
    except (Exception, SystemExit) as error:
        return _Failed(in_words(error, plugins.packages()))


def _completed(run: "_Run | _Failed") -> _Run:
    if isinstance(run, _Failed):
        raise LRDError(f"the trial cannot be run: {run.why}")
    return run


def _run(
    document: dict[str, Any],
    epochs: int,
    folder: str,
    save_after: int | None,
    resume_from: Checkpoint | None,
) -> _Run:
    """Train to the end of epoch `epochs`, writing a checkpoint after epoch `save_after`."""
    spec = TrialSpec.parse(document)
    state = _created(spec)
    begun = checkpoint.weights_sha256(state.model)
    if resume_from is not None:
        state.load_state_dict(checkpoint.load(folder_at(folder), resume_from))
    reports, saved = {}, None
    with contextlib.suppress(Diverged):  # a result, which must repeat like any other
        for report in train(spec, state):
            reports[report.epoch] = {"lr": report.lr, **report.metrics}
            if report.epoch == save_after and math.isfinite(report.metrics["train_loss"]):
                saved = checkpoint.save(folder_at(folder), state.epoch, state.state_dict())
            if report.epoch == epochs:
                break
    return _Run(begun, reports, checkpoint.weights_sha256(state.model), saved)


def _begin(document: dict[str, Any]) -> str:
    """SHA-256 of the initial weights with learning-rate dropout switched: on if off, off if on."""
    spec = TrialSpec.parse(document)
    other = 0.5 if spec.optimizer.keep_prob == 1.0 else 1.0
    optimizer = spec.optimizer.model_copy(update={"keep_prob": other})
    twin = _created(spec.model_copy(update={"optimizer": optimizer}))
    return checkpoint.weights_sha256(twin.model)


def _created(spec: TrialSpec) -> TrainState:
    pin(spec)
    return TrainState.create(spec, device_of(spec))


def _same(what: str, first: _Run, other: "_Run | _Failed") -> Finding:
    """Whether the other run's reports and final weights equal the first run's, to the bit; after a
    resume it has only the last epochs."""
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
        text = "the metrics are the same, but the weights are not"
        return Finding(what, holds=False, detail=text)
    text = f"{len(epochs)} epoch{'s' * (len(epochs) > 1)} to the bit, weights {other.ended[:12]}"
    return Finding(what, holds=True, detail=text)
