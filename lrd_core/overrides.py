"""Overrides: values set at dotted paths of a configuration or a sweep, and where each came from.

An arm is the base with the overrides of its label and of its point of the grid. A fault of the
result is reported at the place of the sweep that the faulty value came from.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from lrd_core.configuration import Config, Spec
from lrd_core.errors import Fault, InvalidSpec
from lrd_core.faults import MAX_FAULTS, fault_of, parsed, pointer
from lrd_core.mistaken import fault_if_trial
from lrd_core.spelling import meant_path

_KEYED_BY_PATH = ("grid", "baseline")
"""Parts of a sweep whose keys are dotted paths themselves."""


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
    """As the sweep gives it; empty if it gives none."""
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
        """The path and value of each choice."""
        return [(choice.path, choice.value) for choice in self.choices]


class NoSuchPath(Exception):
    """A dotted path leads through something that has no fields."""

    def __init__(self, path: str) -> None:
        super().__init__(f"there is no {path!r} in a configuration")
        self.path = path


def faults_of(
    error: NoSuchPath | ValidationError, asked: Combination, base: Config
) -> Iterator[Fault]:
    """The faults of an arm, each at the place of the sweep that caused it.

    Args:
        error: why its configuration was refused.
        asked: the overrides that made it.
        base: the configuration in which they were set.
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
        arms: label and overrides of each explicit arm, if there are any.
        grid: dotted path -> its values.
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
    """A copy of a configuration with each dotted path set; whatever no path touches is shared.

    Raises:
        NoSuchPath: a path leads through a value that is not a mapping.
    """
    document = dict(base)
    for path, value in overrides:
        try:
            document = _with(document, path.split("."), value)
        except _NoFields:
            raise NoSuchPath(path) from None
    return document


def changed_sweep(document: Any, changes: Mapping[str, Any], seeds: Any = None) -> dict[str, Any]:
    """A copy of a sweep's document with some of it changed, not yet validated as a `SweepSpec`.

    Args:
        document: plain data; it stays as it is.
        changes: dotted path in the sweep -> its new value, e.g. `{"base.epochs": 2}`,
            `{"grid.optimizer.name": ["adam"]}` or `{"resources": {"num_gpus": 0.25}}`.
        seeds: a count or a list; None for the document's own.

    Raises:
        InvalidSpec: a path leads nowhere, at its place below `/set`; or the document was no sweep
            to begin with: not a mapping, or one trial.
    """
    if fault := fault_if_trial(document):
        raise InvalidSpec([fault])
    if not isinstance(document, dict):
        parsed(Spec, document)  # refuses it with the usual sentence
    made: dict[str, Any] = document
    faults = []
    for path, value in changes.items():
        try:
            if path.partition(".")[0] in Config.model_fields:
                raise _NoFields(f" (did you mean 'base.{path}'?)")
            made = _with(made, parts_in_sweep(path), value)
        except _NoFields as error:
            faults.append(Fault(pointer(["set", path]), f"there is no {path!r} in a sweep{error}"))
    if seeds is not None and "seeds" in changes:
        faults.append(Fault(pointer(["set", "seeds"]), "the seeds are given twice: leave one out"))
    if faults:
        raise InvalidSpec(faults)
    return made if seeds is None else made | {"seeds": seeds}


def parts_in_sweep(path: str) -> list[str]:
    """`base.optimizer.lr` in three parts, `grid.optimizer.lr` in two: a grid's keys hold dots."""
    top, _, rest = path.partition(".")
    return [top, rest] if rest and top in _KEYED_BY_PATH else path.split(".")


# --- inside ---------------------------------------------------------------------------------------


class _NoFields(Exception):
    """A path leads through a value that has no fields; the text goes on from naming the path."""


def _with(document: dict[str, Any], path: Sequence[str], value: Any) -> dict[str, Any]:
    """A copy of `document` with `value` at `path`; whatever is not on the way is shared.

    Raises:
        _NoFields: a value on the way is not a mapping.
    """
    made = node = dict(document)
    *parents, last = path
    for name in parents:
        child = node.get(name, {})
        if not isinstance(child, dict):
            raise _NoFields(f": {name!r} has no fields")
        node[name] = node = dict(child)
    node[last] = value
    return made
