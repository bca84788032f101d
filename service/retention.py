"""Which checkpoints of a trial are still needed: the newest two that are recorded, and none once it
has succeeded.

A trial resumes from recorded checkpoints alone. Only the dispatcher knows which are recorded, so
only it deletes; their disappearance tells the worker that newer ones are recorded.
"""

from collections.abc import Iterable

from lrd_core.trial_folder import KEPT


class Retention:
    """The recorded checkpoints of one attempt."""

    def __init__(self, recorded: Iterable[str]) -> None:
        """`recorded`: the names of those that it may resume from, the newest last."""
        self._recorded = list(recorded)

    def replaced(self, saved: str, *, refused: bool = False) -> list[str]:
        """The checkpoints to delete now that `saved` is recorded; `saved` itself if its report was
        refused."""
        if refused:
            return [saved]
        if saved not in self._recorded:  # otherwise it was reported again
            self._recorded.append(saved)
        old, self._recorded = self._recorded[:-KEPT], self._recorded[-KEPT:]
        return old

    def done(self) -> list[str]:
        """The checkpoints to delete now that the trial has succeeded: all of them."""
        old, self._recorded = self._recorded, []
        return old
