"""An attempt's checkpoints: the one it resumes from, and those that it writes."""

import math
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lrd_core.report import EpochReport
from lrd_core.trial_folder import Checkpoint, stop_name
from workers.log import Log

if TYPE_CHECKING:
    from lrd_core.training import TrainState


class Checkpoints:
    """The checkpoints of one attempt at a trial, whose storage may fail at any moment.

    Args:
        log: the attempt's; its folder is the trial's, and its number names the checkpoints and the
            file that asks it to stop.
        recorded: the checkpoints that the database knows.
        seconds: a checkpoint is written once the last is at least this old and all before it but
            two are recorded.
    """

    def __init__(self, log: Log, recorded: Sequence[Checkpoint], seconds: float) -> None:
        self._log, self._folder, self._attempt = log, log.folder, log.attempt
        self._recorded, self._seconds = recorded, seconds
        self._written: list[str] = []
        self._saved_at = time.monotonic()

    def restore(self, state: "TrainState") -> None:
        """Load the newest recorded checkpoint that is whole into `state`, if there is one.

        Raises:
            OSError: the folder cannot be read now; its checkpoints may be whole.
        """
        from lrd_core import checkpoint

        self._folder.exists(stop_name(self._attempt))  # raises if the storage is away
        if self._attempt > 1:
            names = [each.name for each in self._recorded]
            checkpoint.drop_unrecorded(self._folder, names, self._attempt)
        # On the CPU, where optimizers keep their step counts, so that reading one waits for no GPU.
        newest = checkpoint.load_newest(self._folder, self._recorded, warn=self._log.write)
        if newest is not None:
            state.load_state_dict(newest[1])
            self._log.write(f"goes on after epoch {state.epoch}, from {newest[0].name}")
        elif self._recorded:
            self._log.write("no recorded checkpoint can be loaded: from the start again")
        self._saved_at = time.monotonic()

    def after(self, report: EpochReport, state: "TrainState") -> tuple[Checkpoint | None, bool]:
        """The checkpoint saved after this epoch, if any, and whether the attempt should stop now:
        it was asked to, and its state is saved."""
        saved, stop = None, False
        due = time.monotonic() - self._saved_at >= self._seconds
        try:
            stop = self._folder.exists(stop_name(self._attempt))
            # None after an epoch that diverged: an attempt that resumed from it would not know.
            if (stop or due) and math.isfinite(report.metrics["train_loss"]):
                saved = self._save(state, ignore_backlog=stop)
        except OSError as error:
            # A full disk, or a store that is away: the next epoch tries again.
            self._log.write(f"no checkpoint after epoch {state.epoch}: {error}")
        return saved, stop and saved is not None

    def _save(self, state: "TrainState", *, ignore_backlog: bool) -> Checkpoint | None:
        """`ignore_backlog`: save even if too many earlier checkpoints are still unrecorded."""
        from lrd_core import checkpoint

        if not (ignore_backlog or checkpoint.has_room_for_another(self._folder, self._written)):
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
        return written
