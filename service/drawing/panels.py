"""Which lines share a panel, and what they are called: one panel, or small multiples where it would
hold too many lines to be told apart.

Nobody can follow one of 40 lines over keep_prob (five optimizers by eight sets of regularizers). In
that case each optimizer has a panel, and equal regularizers look alike in all of them, so that one
legend is enough. `parting.py` chooses what separates the panels.
"""

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Generic, TypeVar

from lrd_core.titles import ABSENT, ARM, KEEP_PROB, speaking_titles
from service.analysis.arms import ArmSummary
from service.analysis.configurations import (
    FIRST,
    Flat,
    distinguishing,
    flatten,
    identity,
    under,
    varying,
)
from service.analysis.data import ArmId, ArmInfo
from service.drawing.descents import Polyline
from service.drawing.looks import Look
from service.drawing.parting import dealt, parted, scale_groups, titles_of

SURFACE = "data.surface"

_OF_GAP, _OF_SPAN, _ASIDE = 0.4, 0.12, 0.01
"""Limits on the sideways offset of a panel's lines: all of them together as a share of the smallest
gap between two keep_probs and of their range, and one line from the next in keep_prob itself."""
_OF_NAME = 0.1
"""Share of the range that the label of a keep_prob needs."""

Points = list[tuple[float, ArmSummary]]
"""(keep_prob, arm) by rising keep_prob."""
Shown = TypeVar("Shown")


@dataclass(frozen=True)
class Line(Generic[Shown]):
    """One line; neither its name nor its look repeats what the whole panel has in common."""

    name: str
    look: Look
    of: Shown


@dataclass(frozen=True)
class Panel(Generic[Shown]):
    """What is drawn in one pair of axes."""

    title: str
    """What its lines have in common; empty if there is no other panel."""
    lines: list[Line[Shown]]
    scale_group: int = 0
    """The number of its data set and model; panels with the same number share a scale."""


def of_arms(arms: Sequence[ArmInfo]) -> list[Panel[ArmInfo]]:
    """A line for each arm: solid with LRD, dashed without.

    Lines that differ only in keep_prob share colour and marker, as long as no two look the same.
    """
    flats = [flatten(arm.config) for arm in arms]
    split = _Split(flats, [arm.given for arm in arms])
    plain = [flat.get(KEEP_PROB) == 1.0 for flat in flats]
    alike = by_all_but_keep_prob(split.inside)
    numbers = _numbers(alike)
    if any(len({split.numbers[at] for at in group if not plain[at]}) > 1 for group in alike):
        numbers = split.numbers  # several values of p with LRD need colours of their own
    names = [arm.label for arm in arms] if split.is_whole else split.names()
    return split.panels(
        lambda at: Line(names[at], Look.number(numbers[at], dashed=plain[at]), arms[at])
    )


def over_keep_prob(summaries: Sequence[ArmSummary]) -> list[Panel[Points]]:
    """A line for each configuration that is equal but for keep_prob, in the order of the arms.

    Arms without a number keep their place, so that the line breaks there and neither the order nor
    the looks change as numbers arrive; `with_numbers` selects what is drawn. Arms without a
    keep_prob are in no line. Without two different keep_probs there are no panels.
    """
    found = [each for each in summaries if KEEP_PROB in flatten(each.arm.config)]
    flats = [flatten(each.arm.config) for each in found]
    if len({flat[KEEP_PROB] for flat in flats}) < 2:
        return []
    lines = [
        sorted(((flats[at][KEEP_PROB], found[at]) for at in group), key=lambda point: point[0])
        for group in by_all_but_keep_prob(flats)
    ]
    heads = [flatten(points[0][1].arm.config) for points in lines]
    labels = [{each.arm.given for _, each in points} for points in lines]
    split = _Split(
        [{path: value for path, value in head.items() if path != KEEP_PROB} for head in heads],
        [min(shared) if len(shared) == 1 else "" for shared in labels],
    )
    names = split.names()
    return split.panels(lambda at: Line(names[at], Look.number(split.numbers[at]), lines[at]))


def of_descents(
    arms: Sequence[ArmInfo], paths: Mapping[ArmId, Sequence[Polyline]]
) -> dict[str, Panel[ArmInfo]]:
    """Surface -> its panel: the arms that have paths, each in its own colour, because paths cross
    and dashes get lost."""
    drawn = [arm for arm in arms if paths.get(arm.id)]
    flats = [flatten(arm.config) for arm in drawn]
    split = _Split(flats, [arm.given for arm in drawn], by=[SURFACE])
    plain = [flat.get(KEEP_PROB) == 1.0 for flat in flats]
    names = [arm.label for arm in drawn] if split.is_whole else split.names()
    panels = split.panels(
        lambda at: Line(names[at], Look.number(split.numbers[at], dashed=plain[at]), drawn[at])
    )
    surfaces = dict.fromkeys(flat.get(SURFACE, "") for flat in flats)
    return dict(zip(surfaces, panels, strict=True))


def with_any(
    panels: Sequence[Panel[ArmInfo]], reported: Iterable[Collection[ArmId]]
) -> list[Panel[ArmInfo]]:
    """The panels that have something to draw, or one empty panel."""
    known = set().union(*reported)
    some = [panel for panel in panels if any(line.of.id in known for line in panel.lines)]
    return some or [Panel("", [])]


def with_numbers(panels: Sequence[Panel[Points]]) -> list[Panel[Points]]:
    """The panels that have something to draw, with the lines that have a number."""
    some = [
        Panel(
            panel.title,
            [line for line in panel.lines if any(each.mean is not None for _, each in line.of)],
            panel.scale_group,
        )
        for panel in panels
    ]
    return [panel for panel in some if panel.lines]


def columns(count: int) -> int:
    """The number of columns for `count` panels."""
    return 2 if count == 4 else min(3, max(1, count))


def set_apart(lines: Sequence[Line[Points]]) -> list[float]:
    """How far each line of a panel is moved along keep_prob, so that no bar hides another.

    The total is small, however many lines there are: a point well beyond 1 is no probability.
    """
    places = sorted({keep_prob for line in lines for keep_prob, _ in line.of})
    gap = min((b - a for a, b in pairwise(places)), default=0.1)
    room = min(_OF_GAP * gap, _OF_SPAN * (places[-1] - places[0])) if places[1:] else 0.0
    step = min(_ASIDE, room / max(1, len(lines) - 1))
    return [step * (number - (len(lines) - 1) / 2) for number in range(len(lines))]


def keep_prob_axis(
    panels: Sequence[Panel[Points]],
) -> tuple[list[float], list[str], tuple[float, float]]:
    """Ticks, their labels and the ends of the axis. There is a tick at each keep_prob that an arm
    has; of those too close together to be read, only the highest is labelled."""
    places = sorted({at for panel in panels for line in panel.lines for at, _ in line.of})
    low, high = (places[0], places[-1]) if places else (0.0, 1.0)
    span = (high - low) or 0.1
    names: list[str] = []
    last = math.inf
    for place in reversed(places):
        is_free = last - place > _OF_NAME * span
        names.append(f"{place:g}" if is_free else "")
        last = place if is_free else last
    return places, names[::-1], (low - _OF_SPAN * span, high + _OF_SPAN * span)


def by_all_but_keep_prob(flats: Sequence[Flat]) -> list[list[int]]:
    """The indices of configurations that are equal but for keep_prob, grouped."""
    return _together(flats, [path for path in varying(flats) if path != KEEP_PROB])


# --- inside ---------------------------------------------------------------------------------------


_OTHERS = {"no regularizers": "no other regularizers"}


class _Split:
    """Lines, given by their configurations, in panels."""

    def __init__(
        self, flats: Sequence[Flat], given: Sequence[str], by: Sequence[str] | None = None
    ) -> None:
        """`given`: the label of each line, if its sweep gives it one. `by`: paths that separate the
        panels, by default chosen by `parted`."""
        self._scale_groups = scale_groups(flats) if by is None else [0] * len(flats)
        flats, by = parted(flats, given) if by is None else (flats, by)
        # A panel's title says the label already.
        self._given = [""] * len(flats) if ARM in by else given
        self._parted = any(under(path, "regularizers") for path in by)
        # Those of one data set and model stand together.
        panels = sorted(_together(flats, by), key=lambda panel: self._scale_groups[panel[0]])
        paths = varying(flats)
        first = sorted(paths, key=lambda path: (path not in FIRST, path != KEEP_PROB))
        needed = [distinguishing([flats[at] for at in each], first) for each in panels]
        self._paths = [path for path in paths if any(path in each for each in needed)]
        self.inside = [{path: flat[path] for path in self._paths if path in flat} for flat in flats]
        """The part of each configuration that tells the lines of a panel apart; what follows from
        it, such as an optimizer's own learning rate, is left out."""
        self.numbers = _numbers(_together(self.inside, self._paths))
        """The number of each line's look; lines with equal numbers differ only in their panels."""
        self._panels: list[list[int]] = []
        self._titles: list[str] = []
        alike = by_all_but_keep_prob(flats)
        for members, title in zip(panels, _titles(flats, panels, by), strict=True):
            parts = dealt(members, alike)
            count = [f"{part} of {len(parts)}" for part in range(1, len(parts) + 1)]
            some = [""] if len(parts) < 2 else count
            self._panels += parts
            self._titles += [", ".join(filter(None, (title, which))) for which in some]

    @property
    def is_whole(self) -> bool:
        return len(self._panels) < 2

    def names(self) -> list[str]:
        """The names of the lines in their panels: their labels, if all have one and they are the
        same in each panel, and whatever else differs."""
        flats, paths = self.inside, self._paths
        pairs = set(zip(self.numbers, self._given, strict=True))
        if all(self._given) and len(pairs) == len(set(self.numbers)):
            flats = [flat | {ARM: label} for flat, label in zip(flats, self._given, strict=True)]
            paths = [ARM, *paths]
        columns = [
            speaking_titles(path, [flat.get(path, ABSENT) for flat in flats])
            for path in distinguishing(flats, paths)
        ]
        if self._parted:  # the panel's title names the others
            columns = [[_OTHERS.get(title, title) for title in column] for column in columns]
        return [", ".join(parts) for parts in zip(*columns, strict=True)] or [""] * len(flats)

    def panels(self, line: Callable[[int], Line[Shown]]) -> list[Panel[Shown]]:
        """The panels, filled with `line(index)` for each of their lines."""
        return [
            Panel(title, [line(at) for at in members], self._scale_groups[members[0]])
            for title, members in zip(self._titles, self._panels, strict=True)
        ]


def _titles(flats: Sequence[Flat], panels: Sequence[Sequence[int]], by: Sequence[str]) -> list[str]:
    """What the lines of each panel have in common; empty if there is only one panel."""
    if len(panels) < 2:
        return [""] * len(panels)
    heads = [flats[panel[0]] for panel in panels]
    columns = [titles_of(path, [head.get(path, ABSENT) for head in heads]) for path in by]
    return [", ".join(parts) for parts in zip(*columns, strict=True)]


def _together(flats: Sequence[Flat], paths: Sequence[str]) -> list[list[int]]:
    """The indices of configurations that are equal at these paths, grouped."""
    groups: dict[Any, list[int]] = {}
    for at, flat in enumerate(flats):
        key = tuple(identity(flat.get(path, ABSENT)) for path in paths)
        groups.setdefault(key, []).append(at)
    return list(groups.values())


def _numbers(groups: Sequence[Sequence[int]]) -> list[int]:
    """The number of each index's group."""
    of_place = {at: number for number, group in enumerate(groups) for at in group}
    return [of_place[at] for at in range(len(of_place))]
