"""What a mistyped name was meant to be: the nearest of those that there are."""

import typing
from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel

Model = type[BaseModel]
_LONG = 100
"""No name has more characters, and comparing takes the square of them."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """` (did you mean 'epochs'?)`, to follow the name; nothing where none is near."""
    spelt = {each.lower(): each for each in known}
    near = get_close_matches(name.lower(), spelt, 1) if len(name) <= _LONG else []
    return f" (did you mean {spelt[near[0]]!r}?)" if near else ""


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


def _models_in(annotation: Any) -> Iterator[Model]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in typing.get_args(annotation):
        yield from _models_in(inner)


def _is_tagged(model: Model, tag: str | int) -> bool:
    return any(tag in typing.get_args(field.annotation) for field in model.model_fields.values())
