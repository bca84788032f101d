"""Which paths separate lines into panels, so that no panel holds more than can be read.

Data sets and models always do, because they have no common scale. The other paths are chosen to
give the fewest panels with few enough lines in each. The labels that a sweep gives its arms are
one of them, instead of all that follows from them. Without labels each regularizer counts as its
own path: the sixteen sets of four are one path with sixteen values, but two of the four give four
panels.
"""

from collections import Counter
from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

from lrd_core.titles import ABSENT, ARM, KEEP_PROB, speaking_titles
from service.analysis.configurations import Flat, distinguishing, identity, varying
from service.analysis.factors import NEVER_POOLED, are_kinds

MOST_LINES = 10
"""Lines per panel, if possible: the paper's five optimizers, with LRD and without."""
CROWDED = 2 * MOST_LINES
"""No panel has more lines than this, whatever they differ in."""
MOST_PANELS = 12
"""Panels per data set and model, at most."""

_LIST = "regularizers"
_CANDIDATES, _TOGETHER = 8, 4
"""Paths tried, and the most of them combined at once."""


def scale_groups(flats: Sequence[Flat]) -> list[int]:
    """The number of each configuration's data set and model, from 0."""
    numbers: dict[tuple[object, ...], int] = {}
    keys = [tuple(identity(flat.get(path, ABSENT)) for path in NEVER_POOLED) for flat in flats]
    return [numbers.setdefault(key, len(numbers)) for key in keys]


def parted(flats: Sequence[Flat], given: Sequence[str] = ()) -> tuple[list[Flat], list[str]]:
    """The configurations, and the paths whose values make the panels.

    Labels that are given to all lines, and are shared by several, make the panels if that leaves
    few enough lines in each; they are then at the path `ARM`. Labels that separate the arms with
    LRD from those without do not.

    A regularizer separates panels by itself only if everything else leaves too many lines or needs
    more panels; it then has its own path and is no longer in the list. Neither single lines nor
    keep_probs are given panels of their own, because they should be compared.
    """
    apart = distinguishing(flats, [path for path in varying(flats) if path in NEVER_POOLED])
    of_each = scale_groups(flats)
    others = [path for path in varying(flats) if path not in (KEEP_PROB, *NEVER_POOLED)]
    if _say_what_lines_share(given, flats):
        labelled = [flat | {ARM: label} for flat, label in zip(flats, given, strict=True)]
        free = distinguishing(labelled, [*apart, ARM, *others])[len(apart) :]
        best = _chosen(labelled, of_each, free)
        if best.most <= MOST_LINES:
            return labelled if ARM in best.paths else list(flats), [*apart, *best.paths]
    spread, kinds = _spread(flats)
    free = distinguishing(flats, [*apart, *others])[len(apart) :]
    best = _chosen(flats, of_each, free)
    if _LIST in free and (best.most > MOST_LINES or _LIST in best.paths):
        at = free.index(_LIST)
        single = _chosen(spread, of_each, [*free[:at], *kinds, *free[at + 1 :]])
        best = min(best, single, key=lambda each: each[:2])
    chosen = best.paths
    return [_without(flat, chosen) for flat in spread], [*apart, *chosen]


def titles_of(path: str, values: Sequence[object]) -> list[str]:
    """Titles for the values of a path that separates panels: `Adam`, `SD`, `no SD`."""
    kind = path.removeprefix(f"{_LIST}.")
    titles = speaking_titles(path, values)
    if kind == path:
        return titles
    return [
        f"no {kind}" if value is ABSENT else title
        for value, title in zip(values, titles, strict=True)
    ]


def dealt(members: Sequence[int], together: Sequence[Sequence[int]]) -> list[list[int]]:
    """Split a crowded panel into several of about equal size, in order; other panels stay as they
    are. Lines that share a group in `together` stay together."""
    if len(members) <= CROWDED:
        return [list(members)]
    inside = set(members)
    groups = [[at for at in group if at in inside] for group in together]
    groups = sorted(filter(None, groups))
    largest = max(map(len, groups))
    each = max(1, MOST_LINES // largest)
    parts = -(-len(groups) // each)
    ends = [len(groups) * part // parts for part in range(parts + 1)]
    return [
        sorted(at for group in groups[ends[part] : ends[part + 1]] for at in group)
        for part in range(parts)
    ]


# --- inside ---------------------------------------------------------------------------------------


def _say_what_lines_share(given: Sequence[str], flats: Sequence[Flat]) -> bool:
    """Whether every line has a label, most share it with others, and it does not say keep_prob."""
    labels = set(given)
    if not labels or "" in labels or 2 * len(labels) > len(given):
        return False
    keep_probs = [identity(flat.get(KEEP_PROB, ABSENT)) for flat in flats]
    pairs = set(zip(given, keep_probs, strict=True))
    return len(set(keep_probs)) < 2 or len(pairs) > len(labels)


class _Parting(NamedTuple):
    """Lines in the fullest panel (at least MOST_LINES), number of panels, and the paths."""

    most: int
    panels: int
    paths: tuple[str, ...]


def _chosen(flats: Sequence[Flat], of_each: Sequence[int], free: Sequence[str]) -> _Parting:
    """The fewest panels that are not too full, or the least full ones."""
    free = free[:_CANDIDATES]
    columns = {path: [identity(flat.get(path, ABSENT)) for flat in flats] for path in free}
    able: list[_Parting] = []
    for count in range(_TOGETHER + 1):
        for paths in combinations(free, count):
            lines = Counter(zip(of_each, *(columns[path] for path in paths), strict=True))
            panels = Counter(group for group, *_ in lines)
            most = max(lines.values(), default=0)
            if not paths or (max(panels.values()) <= MOST_PANELS and most > 1):
                able.append(_Parting(max(MOST_LINES, most), len(lines), paths))
    return min(able, key=lambda each: each[:2])


def _spread(flats: Sequence[Flat]) -> tuple[list[Flat], list[str]]:
    """Add a path for each regularizer next to the list of all, and return these paths too; lists of
    anything else stay as they are."""
    listed = [flat.get(_LIST, []) for flat in flats]
    if not all(isinstance(some, list) and are_kinds(some) for some in listed):
        return list(flats), []
    kinds = dict.fromkeys(item["kind"] for some in listed for item in some)
    spread = [
        flat | {f"{_LIST}.{item['kind']}": [item] for item in some}
        for flat, some in zip(flats, listed, strict=True)
    ]
    return spread, [f"{_LIST}.{kind}" for kind in kinds]


def _without(flat: Flat, chosen: Sequence[str]) -> Flat:
    """Drop what the list of regularizers and the paths of panels would say twice."""
    if _LIST not in flat:
        return flat
    said = {path.removeprefix(f"{_LIST}.") for path in chosen}
    kept = {
        path: value
        for path, value in flat.items()
        if path in chosen or not path.startswith(f"{_LIST}.")
    }
    if isinstance(flat[_LIST], list):
        kept[_LIST] = [
            item
            for item in flat[_LIST]
            if not (isinstance(item, dict) and item.get("kind") in said)
        ]
    return kept
