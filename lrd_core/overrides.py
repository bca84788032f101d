"""Overrides: dotted paths set in a configuration, and the place of the sweep that asks for each.

An arm is the base with the overrides of its label and of its point of the grid. A fault of the
result is reported where the value at fault came from.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from lrd_core.configuration import Config
from lrd_core.errors import Fault
from lrd_core.faults import MAX_FAULTS, fault_of, pointer
from lrd_core.spelling import meant_path


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

    def through(self, path: Sequence[str | int]) -> Choice | None:
        """The last choice whose own path leads to, or through, this place."""
        names = [str(part) for part in path]
        found = (each for each in self.choices[::-1] if each.path.split(".")[: len(names)] == names)
        return next(found, None)

    @property
    def overrides(self) -> list[tuple[str, Any]]:
        """Path and value of each."""
        return [(choice.path, choice.value) for choice in self.choices]


class NoSuchPath(Exception):
    """A dotted path leads through something that has no fields."""

    def __init__(self, path: str) -> None:
        super().__init__(f"there is no {path!r} in a configuration")
        self.path = path


def faults_of(
    error: NoSuchPath | ValidationError, asked: Combination, base: Config
) -> Iterator[Fault]:
    """What is wrong with an arm, each fault at the place of the sweep that asks for it.

    Args:
        error: what its configuration was refused with.
        asked: the overrides that were to make it.
        base: what they were set in.
    """
    if isinstance(error, NoSuchPath):
        place = asked.source_of(error.path.split("."), key=True)
        yield Fault(place, f"{error}{meant_path(error.path, base)}")
        return
    document = overridden(base.model_dump(mode="json", exclude_unset=True), asked.overrides)
    for detail in error.errors(include_url=False)[:MAX_FAULTS]:
        fault = fault_of(detail, document, Config)
        unknown = detail["type"] == "extra_forbidden"
        choice = asked.through(fault.path) if unknown else None
        if choice is not None and (meant := meant_path(choice.path, base)):
            yield Fault(choice.key, f"unknown field{meant}")
        else:
            yield Fault(asked.source_of(fault.path, key=unknown), fault.detail)


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
