"""Where each arm goes in a table: which paths make its rows and columns."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lrd_core.spec import TableSpec
from lrd_core.titles import ABSENT, ARM, KEEP_PROB, speaking_titles, value_titles
from service.analysis.configurations import (
    Flat,
    distinguishing,
    flatten,
    identity,
    under,
    value_at,
    varying,
)
from service.analysis.data import ArmInfo

MAX_COLUMNS = 12
"""Columns of a table that is laid out by default, at most."""
MAX_PAIR = 3
"""With more values than this (p from 0.1 to 1) the pair factor makes the rows instead."""

_NAMES = ("dataset", "task", "model", "optimizer.name")
"""Paths whose values imply the defaults that come with them."""


@dataclass(frozen=True)
class Layout:
    """The paths of a table's rows and columns; an arm's values at them are its place."""

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    pair: str | None
    """The path whose values are compared: one of those paths, or implied by the labels."""


@dataclass(frozen=True)
class Axis:
    """The rows or the columns: their places in order, with titles."""

    places: list[tuple[Any, ...]]
    """For each row or column its (hashable) values at the paths."""
    titles: list[tuple[str, ...]]


def lay_out(
    flats: Sequence[Flat], asked: TableSpec, baseline: Iterable[str], *, labelled: bool = False
) -> Layout:
    """The layout that the spec asks for, completed so that every arm has a place of its own.

    Defaults: the pair factor is the baseline's path (else `keep_prob` if it varies). The labels
    that the sweep gives its arms (`labelled`), else the first other path that varies, make the
    rows; the rest make the columns, the pair innermost. Columns that are too many, or mostly holes
    (not every model is run on every data set), move to the rows. Arms that still make no grid are
    listed by their labels. Paths that the spec omits, but that are needed to tell the arms apart,
    go to the rows.
    """
    varied = [path for path in varying(flats) if path != ARM]
    first = [ARM] if labelled else []
    named = [path for path in (asked.rows, asked.columns, asked.pair) if path is not None]
    pair = asked.pair or _default_pair(varied, list(baseline))
    needed = distinguishing(flats, [*named, *first, *([pair] if pair else []), *varied])
    settled = pair not in (*needed, asked.pair)  # constant, or given by another path
    if settled and ARM not in needed:
        pair = None
    free = [path for path in needed if path not in named and path != pair]
    placed = None if settled else pair
    if named:
        return replace(_as_asked(asked, placed, free), pair=pair)
    if not needed:
        return Layout((ARM,), (), None)
    layout = replace(_by_default(flats, placed, free), pair=pair)
    if _sparse(flats, layout.rows, layout.columns):
        # Labels need not differ: whatever else tells the arms apart goes next to them.
        return Layout(tuple(distinguishing(flats, [ARM, *varied])), (), None)
    return layout


def axis(
    arms: Sequence[ArmInfo], flats: Sequence[Flat], paths: tuple[str, ...], *, headed: bool
) -> Axis:
    """The distinct values at `paths` in the order of the arms, baselines first at the last path.

    `headed`: whether a heading next to the titles says what the values are, as for the rows.
    """
    found: dict[tuple[Any, ...], tuple[Any, ...]] = {}
    baselines = [flat for arm, flat in zip(arms, flats, strict=True) if arm.is_baseline]
    first = {identity(flat.get(path, ABSENT)) for flat in baselines for path in paths[-1:]}
    for flat in flats:
        values = tuple(flat.get(path, ABSENT) for path in paths)
        found.setdefault(tuple(identity(value) for value in values), values)
    ranks = _ranks(found)

    def order(place: tuple[Any, ...]) -> tuple[int, ...]:
        ranked = [ranks[index][value] for index, value in enumerate(place)]
        if place:
            ranked[-1] += 0 if place[-1] in first else len(found)
        return tuple(ranked)

    places = sorted(found, key=order)
    titles_of = value_titles if headed else speaking_titles
    titles: list[tuple[str, ...]] = [() for _ in places]
    for index, path in enumerate(paths):
        texts = titles_of(path, [found[place][index] for place in places])
        titles = [(*before, text) for before, text in zip(titles, texts, strict=True)]
    return Axis(places, titles)


def flatten_arms(arms: Sequence[ArmInfo], asked: TableSpec) -> list[Flat]:
    """The arms' configurations by dotted path, and at `arm` the label that the sweep gives each.

    An arm without a label has its name there, less what the table's other paths already say:
    `Adam, without LRD` becomes `Adam` if keep_prob makes the columns.
    """
    named = (asked.rows, asked.columns, asked.pair)
    said = [path for path in named if path is not None and path != ARM]
    flats = []
    for arm in arms:
        flat = {ARM: arm.given or arm.label, **flatten(arm.config)}
        # A path may name a sub-tree, e.g. `schedule`.
        flats.append(flat | {path: value_at(flat, path) for path in said if path not in flat})
    for path in said:
        titles = speaking_titles(path, [flat[path] for flat in flats])
        for arm, flat, title in zip(arms, flats, titles, strict=True):
            if not arm.given:
                flat[ARM] = _without(flat[ARM], title, path)
    return flats


def unsaid(flats: Sequence[Flat], layout: Layout) -> list[str]:
    """The paths in which arms differ though no title says so.

    A path that follows from another (a learning rate that goes with keep_prob) is not needed to
    tell the arms apart, yet may be why they differ. A name (the optimizer's, the data set's) or a
    label speaks for whatever comes with it.
    """
    shown = (*layout.rows, *layout.columns)
    if ARM in shown:
        return []
    groups: dict[Any, list[Flat]] = {}
    for flat in flats:
        names = tuple(identity(flat.get(path, ABSENT)) for path in _NAMES)
        groups.setdefault(names, []).append(flat)
    differing = {path for group in groups.values() for path in varying(group)}
    return [
        path
        for path in varying(flats)
        if path != ARM and path in differing and not any(under(path, each) for each in shown)
    ]


# --- inside ---------------------------------------------------------------------------------------


def _without(name: str, title: str, path: str) -> str:
    """The name without the part that says this, unless nothing would remain."""
    start = f", {name}, ".find(f", {title}, ")  # a title may hold commas
    if start >= 0:
        rest = name[: max(0, start - 2)] + name[start + len(title) :]
        return rest.removeprefix(", ") or name
    # Arms that were stored before names were titles: `optimizer=adam, keep_prob=0.5`.
    *parents, last = path.split(".")
    head = f"{parents[-1] if parents and last == 'name' else last}="
    return ", ".join(part for part in name.split(", ") if not part.startswith(head)) or name


def _default_pair(varied: Sequence[str], baseline: Sequence[str]) -> str | None:
    candidates = baseline if len(baseline) == 1 else []
    return next((path for path in (*candidates, KEEP_PROB) if path in varied), None)


def _as_asked(asked: TableSpec, pair: str | None, free: list[str]) -> Layout:
    rows = [asked.rows] if asked.rows else []
    columns = [asked.columns] if asked.columns else []
    rows += [path for path in free if path not in rows]
    if pair and pair not in (*rows, *columns):
        if rows or columns:
            columns.append(pair)
        else:
            rows.append(pair)
    return Layout(tuple(rows), tuple(columns), pair)


def _by_default(flats: Sequence[Flat], pair: str | None, free: list[str]) -> Layout:
    if pair is None:
        rows, columns = free[:1], free[1:]
    elif not free:
        rows, columns = [pair], []
    elif _count(flats, [pair]) > MAX_PAIR:
        rows, columns = [*free[:-1], pair], free[-1:]
    else:
        rows, columns = free[:1], [*free[1:], pair]
    while len(columns) > 1 and (
        _width(flats, columns) > MAX_COLUMNS or _sparse(flats, rows, columns)
    ):
        rows.append(columns.pop(0))
    return Layout(tuple(rows), tuple(columns), pair)


def _count(flats: Sequence[Flat], paths: Sequence[str]) -> int:
    return len({tuple(identity(flat.get(path, ABSENT)) for path in paths) for flat in flats})


def _sparse(flats: Sequence[Flat], rows: Sequence[str], columns: Sequence[str]) -> bool:
    """Whether a third of the cells or more would be holes."""
    return 2 * _count(flats, rows) * _count(flats, columns) >= 3 * len(flats)


def _width(flats: Sequence[Flat], paths: Sequence[str]) -> int:
    return math.prod(_count(flats, [path]) for path in paths)


def _ranks(places: Iterable[tuple[Any, ...]]) -> list[dict[Any, int]]:
    """For each position of a place, the order in which its values first appear."""
    ranks: list[dict[Any, int]] = []
    for place in places:
        ranks = ranks or [{} for _ in place]
        for rank, value in zip(ranks, place, strict=True):
            rank.setdefault(value, len(rank))
    return ranks
