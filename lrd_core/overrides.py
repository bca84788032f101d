"""Overrides: dotted paths set in a configuration, and the place of the sweep that asks for each.

An arm is the base with the overrides of its label and of its point of the grid. A fault of the
result is reported where the value at fault came from.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lrd_core.faults import pointer


@dataclass(frozen=True)
class Choice:
    """One override and the place in the sweep that asks for it."""

    path: str
    value: Any
    key: str
    """Pointer to the path itself."""
    pointer: str
    """Pointer to the value."""


@dataclass(frozen=True)
class Combination:
    """The overrides of one arm, in the order in which they are applied."""

    label: str
    """As the sweep gives it; empty where it gives none."""
    choices: tuple[Choice, ...]

    def source_of(self, path: Sequence[str | int], *, key: bool = False) -> str:
        """Where in the sweep the value (or the key) at `path` of the configuration comes from."""
        names = [str(part) for part in path]
        for choice in reversed(self.choices):
            parts = choice.path.split(".")
            if names == parts and key:
                return choice.key
            if names[: len(parts)] == parts:
                return choice.pointer + pointer(path[len(parts) :])
            if parts[: len(names)] == names:
                return choice.pointer
        return "/base" + pointer(path)


class NoSuchPath(Exception):
    """A dotted path leads through something that has no fields."""

    def __init__(self, path: str) -> None:
        super().__init__(f"there is no {path!r} in a configuration")
        self.path: list[str | int] = list(path.split("."))


def combinations(
    arms: Sequence[tuple[str, Mapping[str, Any]]], grid: Mapping[str, Sequence[Any]]
) -> Iterator[Combination]:
    """Every combination of a sweep: its arms (outer) times the product of its grid (inner).

    Args:
        arms: label and overrides of each explicit arm; none for one without.
        grid: dotted path to its values.
    """
    explicit: list[tuple[str, tuple[Choice, ...]]] = [("", ())]
    if arms:
        explicit = [
            (
                label,
                tuple(
                    Choice(path, value, at := pointer(["arms", index, "set", path]), at)
                    for path, value in overrides.items()
                ),
            )
            for index, (label, overrides) in enumerate(arms)
        ]
    axes = [
        [
            Choice(path, value, pointer(["grid", path]), pointer(["grid", path, index]))
            for index, value in enumerate(values)
        ]
        for path, values in grid.items()
    ]
    for label, choices in explicit:
        for point in itertools.product(*axes):
            yield Combination(label, choices + point)


def overridden(base: dict[str, Any], overrides: list[tuple[str, Any]]) -> dict[str, Any]:
    """A copy of `base` with each dotted path set; what the paths do not touch is shared.

    Raises:
        NoSuchPath: a path leads through a value that is no mapping.
    """
    document = dict(base)
    for path, value in overrides:
        *parents, last = path.split(".")
        node = document
        for name in parents:
            child = node.get(name, {})
            if not isinstance(child, dict):
                raise NoSuchPath(path)
            node[name] = node = dict(child)
        node[last] = value
    return document
