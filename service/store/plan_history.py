"""What a dispatcher keeps from one plan to the next."""

import time
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field

AVOID_SECONDS = 600.0
"""How long a sweep avoids a node that lacks its data; somebody may bring the data meanwhile."""


@dataclass
class PlanHistory:
    """Earlier plans and what came of them; a new dispatcher starts without, and learns it again."""

    turn: int = 1
    """Which sweeps beyond the first page are looked at next."""
    overtaken: Counter[str] = field(default_factory=Counter)
    """Sweep -> trials of other sweeps of its priority that started while its own, larger one waited
    for room."""
    _avoided: dict[str, dict[str, float]] = field(default_factory=dict)
    """Sweep -> node that lacks its data -> until when the sweep starts nothing there."""

    def avoided(self, sweep_id: str) -> frozenset[str]:
        """The nodes on which the sweep starts nothing at present."""
        now = time.monotonic()
        until = self._avoided.get(sweep_id)
        return frozenset(node for node, end in until.items() if end > now) if until else frozenset()

    def avoid(self, sweep_id: str, node: str, usable: Collection[str]) -> bool:
        """Have the sweep avoid this node; whether any of the `usable` nodes is left.

        If not, no node has the data, and the sweep avoids none any more.
        """
        self._avoided.setdefault(sweep_id, {})[node] = time.monotonic() + AVOID_SECONDS
        if self.avoided(sweep_id).issuperset(usable):
            del self._avoided[sweep_id]
            return False
        return True
