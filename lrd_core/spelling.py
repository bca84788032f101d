"""Suggests the nearest known name for a mistyped one."""

import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel

Model = type[BaseModel]
_LONG = 100
"""No name is longer; comparing takes time quadratic in the length."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """` (did you mean 'epochs'?)`, to put after the name; empty if no known name is near."""
    return _nearest(name, {each.lower(): each for each in known})


def meant_path(path: str, config: BaseModel) -> str:
    """` (did you mean 'optimizer.keep_prob'?)`, to put after a dotted path that `config` lacks
    (`keep_prob`, `optimiser.keep_prob`, `base.optimizer.keep_prob`). Empty if no path is near,
    or if only the last part is mistyped: then the caller lists the neighbouring fields."""
    paths = [*_paths_of(config)]
    ends = {each.rpartition(".")[2]: each for each in reversed(paths)}
    head, _, end = path.rpartition(".")
    if end in ends:
        return "" if ends[end] == path else f" (did you mean {ends[end]!r}?)"
    return "" if head in paths else _nearest(path, ends | {each: each for each in paths})


def fields_at(model: Model, loc: Sequence[str | int]) -> list[str]:
    """The fields allowed where pydantic's `loc` found an unknown one."""
    models = [model]
    for part in loc[:-1]:
        inside = [
            found
            for each in models
            if part in each.model_fields
            for found in _models_in(each.model_fields[str(part)].annotation)
        ]
        # Otherwise it is an index of a list, or a union's tag, which says which member is meant.
        models = inside or [each for each in models if _is_tagged(each, part)] or models
    return list(dict.fromkeys(name for each in models for name in each.model_fields))


def _nearest(name: str, spelt: Mapping[str, str]) -> str:
    """The nearest name; `spelt` maps lower-case spellings to names."""
    near = get_close_matches(name.lower(), spelt, 1) if len(name) <= _LONG else []
    return f" (did you mean {spelt[near[0]]!r}?)" if near else ""


def _paths_of(config: BaseModel) -> Iterator[str]:
    """The dotted paths of all its fields, absent ones included; none leads into a list."""
    for name in type(config).model_fields:
        yield name
        value = getattr(config, name)
        if isinstance(value, BaseModel):
            yield from (f"{name}.{inner}" for inner in type(value).model_fields)


def _models_in(annotation: Any) -> Iterator[Model]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in typing.get_args(annotation):
        yield from _models_in(inner)


def _is_tagged(model: Model, tag: str | int) -> bool:
    return any(tag in typing.get_args(field.annotation) for field in model.model_fields.values())
