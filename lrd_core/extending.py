"""Where in an extension a fault was made that was found in the sweep which it extends."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from lrd_core.errors import Fault
from lrd_core.spec import Extension, SweepSpec, explicit_arms


def in_extension(fault: Fault, sweep: SweepSpec, more: Extension) -> Fault:
    """`fault`, of the extended sweep, with its place in `more`: there the values of an axis and the
    arms are counted anew. What the sweep has had before keeps its place in the sweep."""
    parts = fault.pointer.split("/")
    had: Sequence[Any] = ()
    given: Sequence[Any] = ()
    at = 0
    match parts:
        case ["", "grid", axis, *_]:
            path = axis.replace("~1", "/").replace("~0", "~")
            had, given, at = sweep.grid.get(path, ()), more.grid.get(path, ()), 3
        case ["", "arms", *_]:
            had = [arm.model_dump(mode="json") for arm in explicit_arms(sweep, more)]
            given, at = [arm.model_dump(mode="json") for arm in more.arms], 2
    new = [place for place, value in enumerate(given) if value not in had]
    with suppress(IndexError, ValueError):  # it is about all of them, or none of these
        number = int(parts[at]) - len(had)
        if at and number >= 0:
            parts[at] = str(new[number])
    return Fault("/".join(parts), fault.detail)
