"""Faults of a document: pydantic's errors as sentences at JSON pointers (RFC 6901)."""

import json
from collections.abc import Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from lrd_core.errors import Fault, InvalidSpec
from lrd_core.spelling import Model, did_you_mean, fields_at

MISSING = "missing; this field is required"
MAX_FAULTS = 100
"""Faults listed at most; the first few say enough."""

M = TypeVar("M", bound=BaseModel)


def parsed(model: type[M], document: Any) -> M:
    """The spec that `document` holds.

    Raises:
        InvalidSpec: with each fault and its JSON pointer.
    """
    if document is None:
        raise InvalidSpec([Fault("", "this is empty, or has only comments")])
    try:
        return model.model_validate(document)
    except ValidationError as error:
        details = error.errors(include_url=False)[:MAX_FAULTS]
        raise InvalidSpec([fault_of(detail, document, model) for detail in details]) from None


def fault_of(error: ErrorDetails, document: Any, model: Model) -> Fault:
    """The fault that `error` reports about `document`, which should be a `model`."""
    path = path_in(error["loc"], document)
    if error["type"].startswith("union_tag") and isinstance(error["input"], dict):
        path.append(_discriminator(error))
    return Fault(pointer(path), _sentence(error, model))


def path_in(loc: Sequence[str | int], document: Any) -> list[str | int]:
    """The part of pydantic's `loc` that exists in the document.

    pydantic adds a union's tag (`optimizer`, `adam`, `lr`), which is not in the document.
    """
    path: list[str | int] = []
    for depth, part in enumerate(loc):
        try:
            document = document[part]
        except (KeyError, IndexError, TypeError):
            last = isinstance(document, dict) and depth == len(loc) - 1
            if not last or part in document.values():
                continue  # the tag of a union, or a place inside a value of the wrong type
        path.append(part)
    return path


def pointer(path: Sequence[str | int]) -> str:
    """RFC 6901 pointer of a path: `["grid", "a/b", 0]` is `/grid/a~1b/0`."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)


def short_repr(value: object) -> str:
    """`repr(value)`, cut to 60 characters."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


_KINDS = {
    "model_type": "a mapping of fields to their values",
    "model_attributes_type": "a mapping of fields to their values",
    "dict_type": "a mapping of names to values",
    "list_type": "a list",
    "int_type": "an integer",
    "int_parsing": "an integer",
    "int_from_float": "an integer",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "a string",
}
"""What a value of another type should be, in words that are not Python's, by type of error."""


def sentence_of(error: ErrorDetails) -> str:
    """What is wrong with a value, as far as no model needs to be known for it."""
    match error["type"]:
        case "too_short" | "too_long" | "string_too_short" | "string_too_long":
            return _about_length(error)
        case "finite_number":
            return "must be a finite number"
        case "value_error":
            return str(error["ctx"]["error"])
        case "missing":
            return MISSING
        case kind if kind in _KINDS:
            said = f"should be {_KINDS[kind]}"
        case _:
            said = error["msg"].replace("Input should", "should", 1)
    return f"{said}, got {_written(error['input'])}"


# --- inside ---------------------------------------------------------------------------------------


def _sentence(error: ErrorDetails, model: Model) -> str:
    match error["type"]:
        case "extra_forbidden":
            fields = fields_at(model, error["loc"])
            meant = did_you_mean(str(error["loc"][-1]), fields)
            return f"unknown field{meant or '; one of ' + ', '.join(fields)}"
        case "union_tag_not_found" if isinstance(error["input"], dict):
            return MISSING
        case "union_tag_not_found":
            written = _written(error["input"])
            return f"should be a mapping, {{{_discriminator(error)}: …}}, got {written}"
        case "union_tag_invalid":
            known = error["ctx"]["expected_tags"].replace("'", "")
            tag = error["ctx"]["tag"]
            meant = did_you_mean(tag, known.split(", "))
            return f"unknown {_discriminator(error)} {tag!r}{meant}; one of {known}"
    return sentence_of(error)


def _written(value: object) -> str:
    """A value of a document: what Python spells otherwise (None, True), as YAML and JSON do."""
    return json.dumps(value) if value is None or isinstance(value, bool) else short_repr(value)


def _about_length(error: ErrorDetails) -> str:
    """Pydantic's own sentences speak of items "after validation", even for the length of a text."""
    bound = error["ctx"].get("min_length", error["ctx"].get("max_length"))
    side = "least" if error["type"].endswith("short") else "most"
    noun = "character" if isinstance(error["input"], str) else "entry"
    many = {"character": "characters", "entry": "entries"}[noun]
    length = len(error["input"])
    if not length:
        return "is empty"
    return f"should have at {side} {bound} {noun if bound == 1 else many}, got {length}"


def _discriminator(error: ErrorDetails) -> str:
    """The field that tells a union's members apart, from `'kind'` or a function's `_name()`."""
    return str(error["ctx"]["discriminator"]).strip("'_()")
