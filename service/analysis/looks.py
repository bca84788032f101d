"""How arms look in figures and plots: colour, dashes and marker.

Colours are those of Okabe and Ito, told apart with every kind of colour vision; in grey the dashes
(without LRD) and the markers remain.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from lrd_core.titles import ABSENT, ARM, KEEP_PROB, speaking_titles
from service.analysis.arms import ArmSummary
from service.analysis.configurations import Flat, distinguishing, flatten, identity, varying
from service.analysis.data import ArmId, ArmInfo
from service.analysis.descents import Path

PALETTE = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999933",
)  # fmt: skip
"""Okabe and Ito (2008), darkest first; their yellow, invisible on paper, is olive here."""
SHAPES = 11
"""Markers in use. More than there are colours, and no multiple: 88 looks before one comes back."""
BAND = 0.18
"""Opacity of the band about a mean."""


@dataclass(frozen=True)
class Look:
    """How one line is drawn, whatever draws it."""

    color: str
    """`#rrggbb`"""
    shape: int
    """The number of its marker, 0 to SHAPES − 1."""
    dashed: bool = False

    @classmethod
    def number(cls, index: int, *, dashed: bool = False) -> "Look":
        """The look of the line with this number, from 0."""
        return cls(PALETTE[index % len(PALETTE)], index % SHAPES, dashed)


def looks_of(arms: Sequence[ArmInfo]) -> dict[ArmId, Look]:
    """Arm id -> its look: solid with LRD, dashed without.

    Arms that differ in keep_prob alone share colour and marker where that leaves each line its own.
    """
    flats = [flatten(arm.config) for arm in arms]
    plain = [flat.get(KEEP_PROB) == 1.0 for flat in flats]
    groups = by_all_but_keep_prob(flats)
    # Several values of p with LRD in a group need colours of their own.
    if any(sum(not plain[index] for index in group) > 1 for group in groups):
        groups = [[index] for index in range(len(arms))]
    return {
        arms[index].id: Look.number(number, dashed=plain[index])
        for number, group in enumerate(groups)
        for index in group
    }


def looks_of_paths(
    arms: Sequence[ArmInfo], paths: Mapping[ArmId, Sequence[Path]]
) -> list[tuple[ArmInfo, Look]]:
    """The arms that have paths, each in a colour of its own: paths cross, and dashes get lost."""
    drawn = [arm for arm in arms if paths.get(arm.id)]
    return [
        (arm, Look.number(number, dashed=flatten(arm.config).get(KEEP_PROB) == 1.0))
        for number, arm in enumerate(drawn)
    ]


def lines_over_keep_prob(
    summaries: Sequence[ArmSummary],
) -> dict[str, list[tuple[float, ArmSummary]]]:
    """The name of each configuration that is otherwise equal -> its points by rising p.

    Arms without a number or without a keep_prob are in none.
    """
    drawn = [each for each in summaries if each.mean is not None]
    flats = [flatten(each.arm.config) for each in drawn]
    groups = by_all_but_keep_prob(flats)
    names = _names(groups, [each.arm for each in drawn], flats)
    lines = {
        name: sorted(
            ((flats[i][KEEP_PROB], drawn[i]) for i in members if KEEP_PROB in flats[i]),
            key=lambda point: point[0],
        )
        for name, members in zip(names, groups, strict=True)
    }
    return {name: points for name, points in lines.items() if points}


def set_apart(lines: Mapping[str, Sequence[tuple[float, ArmSummary]]]) -> list[float]:
    """How far each line is moved along keep_prob, so that no bar hides another."""
    places = sorted({keep_prob for points in lines.values() for keep_prob, _ in points})
    gap = min((b - a for a, b in pairwise(places)), default=0.1)
    step = min(0.01, 0.4 * gap / max(1, len(lines) - 1))
    return [step * (number - (len(lines) - 1) / 2) for number in range(len(lines))]


def by_all_but_keep_prob(flats: Sequence[Flat]) -> list[list[int]]:
    """The places of configurations that are equal but for keep_prob, together."""
    paths = [path for path in varying(flats) if path != KEEP_PROB]
    groups: dict[Any, list[int]] = {}
    for index, flat in enumerate(flats):
        key = tuple(identity(flat.get(path, ABSENT)) for path in paths)
        groups.setdefault(key, []).append(index)
    return list(groups.values())


# --- inside ---------------------------------------------------------------------------------------


def _names(
    groups: Sequence[Sequence[int]], arms: Sequence[ArmInfo], flats: Sequence[Flat]
) -> list[str]:
    """What the arms' names have in common: the label that they share, and what else differs."""
    heads = [flats[members[0]] for members in groups]
    shared = [{arms[index].given for index in members} for members in groups]
    paths = [path for path in varying(heads) if path != KEEP_PROB]
    if all(len(labels) == 1 for labels in shared) and all(arm.given for arm in arms):
        heads = [head | {ARM: min(labels)} for head, labels in zip(heads, shared, strict=True)]
        paths = [ARM, *paths]
    parts: list[list[str]] = [[] for _ in groups]
    for path in distinguishing(heads, paths):
        titles = speaking_titles(path, [head.get(path, ABSENT) for head in heads])
        for part, title in zip(parts, titles, strict=True):
            part.append(title)
    return [", ".join(part) for part in parts]
