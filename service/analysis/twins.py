"""Arms that made the same networks: settings that differ and change nothing, such as a milestone
after the last epoch, or more examples than a data set has.

They cost compute, and Holm's correction counts each. Only what the trials made tells them: no rule
could know all settings without effect, least of all those of plugins.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from service.analysis.data import ArmId, ArmInfo
from service.formatting import count, listed

Weights = Mapping[int, str | None]
"""Seed -> the SHA-256 of its final weights, of an arm's trials that succeeded; None if unknown."""
_LEAST = 2
"""Seeds that two arms must share: of one, equal weights may be chance, as of a small descent."""
_NAMED = 5
"""Arms of a group, and groups, that are named; the rest are counted."""


def same_networks(
    arms: Sequence[ArmInfo], made: Mapping[ArmId, Weights], compared: Collection[ArmId]
) -> Iterator[str]:
    """A sentence for each group of arms with equal final weights on every seed that they share.

    Args:
        made: the weights of each arm.
        compared: the arms that are compared with a baseline.
    """
    groups = [group.arms for group in _grouped(arms, made) if len(group.arms) > 1]
    for group in groups[:_NAMED]:
        separate = sum(arm.id in compared for arm in group) > 1
        also = ", and they count as separate comparisons" if separate else ""
        yield (
            f"{_spoken([arm.label for arm in group])} made the same networks, bit for bit, on "
            f"every seed: what differs between them has no effect on training{also}."
        )
    if len(groups) > _NAMED:
        others = sum(map(len, groups[_NAMED:]))
        yield (
            f"So did the arms of {count(len(groups) - _NAMED, 'other group')}, "
            f"{count(others, 'arm')} in all."
        )


# --- inside ---------------------------------------------------------------------------------------


@dataclass
class _Group:
    arms: list[ArmInfo]
    weights: dict[int, str | None]
    """Those of all of them."""

    def takes(self, weights: Weights) -> bool:
        """Whether an arm's weights are known and equal on every seed that it shares with the group,
        and there are enough such seeds."""
        shared = [seed for seed in weights if seed in self.weights]
        return len(shared) >= _LEAST and all(
            weights[seed] is not None and weights[seed] == self.weights[seed] for seed in shared
        )


def _grouped(arms: Sequence[ArmInfo], made: Mapping[ArmId, Weights]) -> list[_Group]:
    groups: list[_Group] = []
    having: dict[tuple[int, str], list[_Group]] = {}
    for arm in arms:
        weights = made.get(arm.id, {})
        keys = [(seed, known) for seed, known in weights.items() if known is not None]
        near = (group for key in keys for group in having.get(key, ()))
        group = next((each for each in near if each.takes(weights)), None)
        if group is None:
            group = _Group([], {})
            groups.append(group)
        group.arms.append(arm)
        for key in keys:
            if group.weights.get(key[0]) is None:
                having.setdefault(key, []).append(group)
        group.weights |= weights
    return groups


def _spoken(names: Sequence[str]) -> str:
    """`a and b`, `a, b and c`; of many, `a, b, c, d, e and 3 more`."""
    if len(names) > _NAMED:
        return listed(names, most=_NAMED)
    return f"{', '.join(names[:-1])} and {names[-1]}"
