"""What a mistyped name was meant to be: the nearest of those that there are."""

import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel

Model = type[BaseModel]
_LONG = 100
"""No name has more characters, and comparing takes the square of them."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """` (did you mean 'epochs'?)`, to follow the name; nothing where none is near."""
    return _nearest(name, {each.lower(): each for each in known})


def meant_path(path: str, config: BaseModel) -> str:
    """` (did you mean 'optimizer.keep_prob'?)`, to follow a dotted path that `config` does not have
    (`keep_prob`, `optimiser.keep_prob`, `base.optimizer.keep_prob`); nothing where none is near, or
    where the last part alone is mistyped: for that there are the fields beside it."""
    paths = [*_paths_of(config)]
    ends = {each.rpartition(".")[2]: each for each in reversed(paths)}
    head, _, end = path.rpartition(".")
    if end in ends:
        return "" if ends[end] == path else f" (did you mean {ends[end]!r}?)"
    return "" if head in paths else _nearest(path, ends | {each: each for each in paths})


def fields_at(model: Model, loc: Sequence[str | int]) -> list[str]:
    """The fields that may stand where pydantic's `loc` found an unknown one: those beside it."""
    models = [model]
    for part in loc[:-1]:
        inside = [
            found
            for each in models
            if part in each.model_fields
            for found in _models_in(each.model_fields[str(part)].annotation)
        ]
        # Else it is a place in a list, or the tag of a union, which says which member is meant.
        models = inside or [each for each in models if _is_tagged(each, part)] or models
    return list(dict.fromkeys(name for each in models for name in each.model_fields))


def _nearest(name: str, spelt: Mapping[str, str]) -> str:
    """The name that is meant, by one of its spellings in small letters."""
    near = get_close_matches(name.lower(), spelt, 1) if len(name) <= _LONG else []
    return f" (did you mean {spelt[near[0]]!r}?)" if near else ""


def _paths_of(config: BaseModel) -> Iterator[str]:
    """The dotted paths of its fields, those that are left out included; none leads into a list."""
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
