"""The rows of a forest plot in blocks, one per data set and model, each with its own axis.

On a common axis the widest interval sets the scale: next to a loss that differs by 3, one that
differs by 0.001 is a point that hides its own interval.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lrd_core.titles import value_titles
from service.analysis.comparisons import Comparison
from service.analysis.configurations import identity
from service.analysis.data import ArmInfo
from service.analysis.effects import Effect
from service.analysis.factors import NEVER_POOLED

Row = Comparison | Effect


@dataclass(frozen=True)
class Block:
    """Rows that share an axis."""

    title: str
    """Their data set and model; empty if there is no other block."""
    rows: list[Row]


def blocks(rows: Sequence[Row], arms: Sequence[ArmInfo] = ()) -> list[Block]:
    """The blocks in the order of the rows; at least one.

    Args:
        arms: those compared; not needed for effects.
    """
    configs = {arm.id: arm.config for arm in arms}
    apart = [
        path for path in NEVER_POOLED if len({identity(arm.config.get(path)) for arm in arms}) > 1
    ]
    found: dict[Any, Block] = {}
    for row in rows:
        if isinstance(row, Effect):
            where = row.where
        else:
            config = configs.get(row.arm_id, {})
            where = {path: config.get(path) for path in apart}
        key = tuple(map(identity, where.values()))
        title = ", ".join(value_titles(path, [value])[0] for path, value in where.items() if value)
        found.setdefault(key, Block(title, [])).rows.append(row)
    if len(found) < 2:
        return [Block("", list(rows))]
    return list(found.values())
