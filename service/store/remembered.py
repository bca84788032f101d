"""What a dispatcher remembers from one plan to the next."""

import time
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field

AVOID_SECONDS = 600.0
"""How long a sweep starts nothing on a node that lacks its data: somebody may bring it there."""


@dataclass
class Memory:
    """Of plans and of what came of them; who starts anew learns it again."""

    turn: int = 1
    """Which sweeps beyond the first are looked at next."""
    passed: Counter[str] = field(default_factory=Counter)
    """Sweep -> how many trials of others of its priority were started while its own, larger, waited
    for room."""
    _avoided: dict[str, dict[str, float]] = field(default_factory=dict)
    """Sweep -> the nodes that lack its data, and until when it starts nothing there."""

    def avoided(self, sweep_id: str) -> frozenset[str]:
        """The nodes on which the sweep is to start nothing."""
        now = time.monotonic()
        until = self._avoided.get(sweep_id)
        return frozenset(node for node, end in until.items() if end > now) if until else frozenset()

    def avoid(self, sweep_id: str, node: str, usable: Collection[str]) -> bool:
        """Have the sweep start nothing on this node; whether any of the `usable` ones is left.

        If not, none has the data, and none is avoided any more.
        """
        self._avoided.setdefault(sweep_id, {})[node] = time.monotonic() + AVOID_SECONDS
        if self.avoided(sweep_id).issuperset(usable):
            del self._avoided[sweep_id]
            return False
        return True
