"""An attempt's checkpoints: the one it goes on from, and those that it leaves."""

import math
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lrd_core.report import EpochReport
from lrd_core.trial_folder import stop_name
from workers.log import Log

if TYPE_CHECKING:
    from lrd_core.training import TrainState

Saved = tuple[str, str]
"""A checkpoint's name and SHA-256."""


class Checkpoints:
    """Those of one attempt at a trial, whose storage may be away at any moment.

    Args:
        log: the attempt's; its folder is the trial's, and its number names the checkpoints and the
            file that asks it to stop.
        recorded: (epoch, name, sha256) of those that the database knows.
        seconds: one is written when the last is at least this old, and those before it are
            recorded, but for two.
    """

    def __init__(self, log: Log, recorded: Sequence[tuple[int, str, str]], seconds: float) -> None:
        self._log, self._folder, self._attempt = log, log.folder, log.attempt
        self._recorded, self._seconds = recorded, seconds
        self._written: list[str] = []
        self._saved_at = time.monotonic()

    def restore(self, state: "TrainState") -> None:
        """Bring `state` to the newest recorded checkpoint that is whole; without one it stays.

        Raises:
            OSError: the folder cannot be read now; what is in it may be whole.
        """
        from lrd_core import checkpoint

        recorded = [checkpoint.Checkpoint(*each) for each in self._recorded]
        self._folder.exists(stop_name(self._attempt))  # is its storage there at all?
        if self._attempt > 1:
            names = [each.name for each in recorded]
            checkpoint.drop_unrecorded(self._folder, names, self._attempt)
        # On the CPU, where optimizers keep their counts of steps: to read one waits for no GPU.
        newest = checkpoint.load_newest(self._folder, recorded, tell=self._log.write)
        if newest is not None:
            state.load_state_dict(newest[1])
            self._log.write(f"goes on after epoch {state.epoch}, from {newest[0].name}")
        elif recorded:
            self._log.write("no recorded checkpoint can be loaded: from the start again")
        self._saved_at = time.monotonic()

    def after(self, report: EpochReport, state: "TrainState") -> tuple[Saved | None, bool]:
        """What was saved after this epoch, and whether the attempt is to stop here: it was asked
        to, and its state is kept."""
        saved, stop = None, False
        due = time.monotonic() - self._saved_at >= self._seconds
        try:
            stop = self._folder.exists(stop_name(self._attempt))
            # Of an epoch that diverged none is kept: whoever went on from it would not know.
            if (stop or due) and math.isfinite(report.metrics["train_loss"]):
                saved = self._save(state, even_so=stop)
        except OSError as error:
            # A full disk, or a store that is away: the next epoch tries again.
            self._log.write(f"no checkpoint after epoch {state.epoch}: {error}")
        return saved, stop and saved is not None

    def _save(self, state: "TrainState", *, even_so: bool) -> Saved | None:
        """`even_so`: also where the earlier ones are not recorded."""
        from lrd_core import checkpoint

        if not (even_so or checkpoint.is_recorded(self._folder, self._written)):
            self._log.write(
                f"no checkpoint after epoch {state.epoch}: the earlier ones are not recorded yet, "
                "or cannot be deleted"
            )
            return None
        written = checkpoint.save(
            self._folder, state.epoch, state.state_dict(), self._attempt, prove=not self._written
        )
        self._written.append(written.name)
        self._saved_at = time.monotonic()
        return written.name, written.sha256
