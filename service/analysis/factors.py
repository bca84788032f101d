"""The factors of a sweep: what varies between its arms, and which level of each an arm has."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lrd_core.titles import ABSENT, KEEP_PROB, path_title, speaking_titles, value_titles
from service.analysis.configurations import (
    FIRST,
    Flat,
    distinguishing,
    flatten,
    identity,
    scope,
    under,
    varying,
)
from service.analysis.data import ArmInfo

NEVER_POOLED = ("dataset", "model")
"""Paths never averaged over: losses on MNIST and on CIFAR-100 have no common size."""
_LIST = "regularizers"


@dataclass(frozen=True)
class Factor:
    """A path in which arms differ; each regularizer is a factor of its own."""

    path: str
    """`optimizer.keep_prob`, `regularizers.SD`; `regularizers.SD+NG` if no arm has just one."""
    levels: tuple[str, ...]
    """How its values read, the reference first: `("without LRD", "LRD (keep_prob = 0.5)")`."""
    names: tuple[str, ...]
    """The name of each level's effect: `SD`, `SGDM − Adam`; empty for the reference."""
    along: tuple[str, ...]
    """The paths that change with it between some arms, e.g. a learning rate tuned for LRD."""
    is_asked: bool
    """Whether the sweep's baseline names it: it is what the sweep is about."""


@dataclass(frozen=True)
class Design:
    """The arms of one data set and model, as points of a grid that may have holes."""

    where: dict[str, Any]
    """Which data set and model, if the sweep has several."""
    arms: tuple[ArmInfo, ...]
    factors: tuple[Factor, ...]
    points: tuple[tuple[int, ...], ...]
    """For each arm, the number of its level in each factor; 0 is the reference."""


def designs(arms: Sequence[ArmInfo], baseline: Iterable[str]) -> list[Design]:
    """One design per data set and model, in the order of the arms.

    The reference of a factor is the value of all baselines. If they differ, or there are none, it
    is the absence of a regularizer, no LRD, or otherwise the first arm's value.

    Args:
        baseline: the dotted paths of the sweep's baseline. Together with keep_prob they come
            before all other factors.
    """
    flats = _spread([flatten(arm.config) for arm in arms])
    apart = [path for path in varying(flats) if path in NEVER_POOLED]
    parts: dict[Any, list[int]] = {}
    for index, flat in enumerate(flats):
        key = tuple(identity(flat.get(path, ABSENT)) for path in apart)
        parts.setdefault(key, []).append(index)
    first = tuple(baseline)
    return [
        _design([arms[index] for index in part], [flats[index] for index in part], apart, first)
        for part in parts.values()
    ]


def are_kinds(listed: Sequence[Any]) -> bool:
    """Whether these are regularizers, each of a different kind."""
    if not all(isinstance(item, dict) and "kind" in item for item in listed):
        return False
    return len({item["kind"] for item in listed}) == len(listed)


# --- inside ---------------------------------------------------------------------------------------


def _spread(flats: Sequence[Flat]) -> list[Flat]:
    """Replace the list of regularizers by a path for each, if every list has distinct kinds. Those
    that always occur together, with the same strength, share a path."""
    listed = [flat.get(_LIST, []) for flat in flats]
    if not all(isinstance(some, list) and are_kinds(some) for some in listed):
        return list(flats)
    every = dict.fromkeys(item["kind"] for some in listed for item in some)
    of_kind = {
        kind: [[item for item in some if item["kind"] == kind] for some in listed] for kind in every
    }
    together: dict[Any, list[str]] = {}
    for kind, found in of_kind.items():
        strengths = {identity(some) for some in found if some}
        present = tuple(map(bool, found))
        together.setdefault(present if len(strengths) == 1 else kind, []).append(kind)
    spread = [{path: value for path, value in flat.items() if path != _LIST} for flat in flats]
    for kinds in together.values():
        path = f"{_LIST}.{'+'.join(kinds)}"
        for flat, *parts in zip(spread, *(of_kind[kind] for kind in kinds), strict=True):
            if items := [item for part in parts for item in part]:
                flat[path] = items
    return spread


def _design(
    arms: Sequence[ArmInfo], flats: Sequence[Flat], apart: Sequence[str], baseline: Sequence[str]
) -> Design:
    def rank(path: str) -> tuple[bool, int]:
        listed = FIRST.index(_LIST) if under(path, _LIST) else len(FIRST)
        at = FIRST.index(path) if path in FIRST else listed
        return not any(under(path, top) for top in (*baseline, KEEP_PROB)), at

    paths = sorted(varying(flats), key=rank)
    told = distinguishing(flats, paths)
    values = {path: [flat.get(path, ABSENT) for flat in flats] for path in paths}
    levels = {path: _levels(path, values[path], arms) for path in told}
    numbers = {
        path: {identity(value): number for number, value in enumerate(levels[path])}
        for path in told
    }
    points = [
        tuple(numbers[path][identity(values[path][index])] for path in told)
        for index in range(len(arms))
    ]
    silent = [path for path in paths if path not in told]
    factors = []
    for at, path in enumerate(told):
        reads, names = _read(path, levels[path])
        along = _changing_with(at, points, {path: values[path] for path in silent})
        said = tuple(other for other in along if not under(other, scope(path)))
        asked = any(under(path, top) for top in baseline)
        factors.append(Factor(path, reads, names, said, asked))
    where = {path: flats[0].get(path) for path in apart}
    return Design(where, tuple(arms), tuple(factors), tuple(points))


def _levels(path: str, values: Sequence[Any], arms: Sequence[ArmInfo]) -> list[Any]:
    """The values of a path, each once: the reference, and the others in the order of the arms."""
    distinct = {identity(value): value for value in values}
    of_baselines = {
        identity(value): value for value, arm in zip(values, arms, strict=True) if arm.is_baseline
    }
    if len(of_baselines) == 1:
        (reference,) = of_baselines
    elif under(path, _LIST) and identity(ABSENT) in distinct:
        reference = identity(ABSENT)
    elif path == KEEP_PROB and 1.0 in distinct:
        reference = 1.0
    else:
        reference = next(iter(distinct))
    return [distinct.pop(reference), *distinct.values()]


def _read(path: str, levels: Sequence[Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Titles of a path's levels, and the names of their effects against the first."""
    if path != _LIST and under(path, _LIST):
        kind = path.removeprefix(f"{_LIST}.")
        present = iter(value_titles(_LIST, [level for level in levels if level is not ABSENT]))
        reads = [f"no {kind}" if level is ABSENT else next(present) for level in levels]
        none = levels[0] is ABSENT
    else:
        reads = speaking_titles(path, levels)
        none = path == KEEP_PROB and levels[0] == 1.0
    if none:
        return tuple(reads), ("", *reads[1:])
    brief = value_titles(path, levels)
    if reads == brief or under(path, _LIST):
        return tuple(reads), ("", *(f"{read} − {reads[0]}" for read in reads[1:]))
    head = path_title(path)
    return tuple(reads), ("", *(f"{head} {value} − {brief[0]}" for value in brief[1:]))


def _changing_with(
    at: int, points: Sequence[tuple[int, ...]], values: Mapping[str, Sequence[Any]]
) -> list[str]:
    """The paths that differ between two arms that differ only in the factor `at`."""
    groups: dict[Any, list[int]] = {}
    for index, point in enumerate(points):
        groups.setdefault(point[:at] + point[at + 1 :], []).append(index)
    return [
        path
        for path, of_arm in values.items()
        if any(len({identity(of_arm[index]) for index in group}) > 1 for group in groups.values())
    ]
