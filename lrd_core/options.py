"""Further arguments of a plugin's optimizer. Free of torch."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any

from pydantic import Field, ValidationError, WrapValidator

from lrd_core.faults import short_repr


def _in_one_sentence(value: Any, validated: Callable[[Any], Any]) -> Any:
    """Otherwise each kind that a value may be would say by itself that this is none of it."""
    try:
        return validated(value)
    except ValidationError:
        raise ValueError(
            "should be a finite number, a text, true, false, null or a list of at most 50 finite "
            f"numbers, got {short_repr(value)}"
        ) from None


Option = Annotated[
    bool | int | float | str | Annotated[list[int | float], Field(max_length=50)] | None,
    WrapValidator(_in_one_sentence),
]


def as_arguments(options: Mapping[str, Any]) -> dict[str, Any]:
    """`options` as an optimizer's constructor takes them: lists as tuples, as torch's `betas`."""
    return {
        name: tuple(value) if isinstance(value, list) else value for name, value in options.items()
    }
