"""Which checkpoints of a trial are still needed: the newest two that are recorded, and none once it
has succeeded.

A trial goes on from recorded checkpoints alone, and its worker does not know which are. So only who
records them may say which can go; and that they go tells the worker that the others are recorded.
"""

from collections.abc import Iterable

from lrd_core.trial_folder import KEPT


class Retention:
    """Of one attempt."""

    def __init__(self, recorded: Iterable[str]) -> None:
        """`recorded`: by name, those that it may go on from, the newest last."""
        self._recorded = list(recorded)

    def replaced(self, saved: str, *, refused: bool = False) -> list[str]:
        """What can be deleted, now that this newer one is recorded; it itself where its report was
        refused."""
        if refused:
            return [saved]
        if saved not in self._recorded:  # else it is told once more
            self._recorded.append(saved)
        old, self._recorded = self._recorded[:-KEPT], self._recorded[-KEPT:]
        return old

    def done(self) -> list[str]:
        """What can be deleted, now that the trial has succeeded: nothing goes on from it."""
        old, self._recorded = self._recorded, []
        return old
