"""The paper's tables and figures as sweep files, with the paper's own numbers. Free of torch.

A preset is a YAML file in this folder; its first line, a comment, describes it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lrd_core.documents import parse_yaml
from lrd_core.errors import Fault, InvalidSpec
from lrd_core.faults import pointer
from lrd_core.overrides import changed_sweep, parts_in_sweep
from lrd_core.spec import SweepSpec, expand_arms
from lrd_core.spelling import did_you_mean

FOLDER = Path(__file__).parent


def names() -> list[str]:
    """All presets, sorted."""
    return sorted(file.stem for file in FOLDER.glob("*.yaml"))


def description(name: str) -> str:
    """The preset in one line.

    Raises:
        InvalidSpec: there is no such preset.
    """
    return text(name).partition("\n")[0].removeprefix("# ")


def text(name: str) -> str:
    """The sweep file as it was written, comments and all.

    Raises:
        InvalidSpec: there is no such preset; the fault is at `/preset`.
    """
    if name not in names():
        meant, known = did_you_mean(name, names()), ", ".join(names())
        raise InvalidSpec([Fault("/preset", f"unknown preset {name!r}{meant}; one of {known}")])
    return (FOLDER / f"{name}.yaml").read_text(encoding="utf-8")


def load(name: str) -> dict[str, Any]:
    """The sweep as plain data.

    Raises:
        InvalidSpec: there is no such preset.
    """
    document: dict[str, Any] = parse_yaml(text(name))
    return document


def apply_preset(
    name: str, changes: Mapping[str, Any] | None = None, seeds: Any = None
) -> SweepSpec:
    """The preset with some of it changed, as `{"preset": …, "set": …, "seeds": …}` asks.

    Args:
        name: one of `names()`.
        changes: dotted path in the sweep -> its new value, as for `changed_sweep`.
        seeds: a count or a list; None for the preset's own.

    Raises:
        InvalidSpec: with every fault at its place in the request: below `/set` for a change, whose
            sentence has the sweep's own pointer if the change broke another part.
    """
    changes = dict(changes or {})
    document = changed_sweep(load(name), changes, seeds)
    try:
        sweep = SweepSpec.parse(document)
        expand_arms(sweep)
    except InvalidSpec as error:
        raise InvalidSpec([_in_request(fault, changes) for fault in error.faults]) from None
    return sweep


# --- inside ---------------------------------------------------------------------------------------


def _in_request(fault: Fault, changes: Mapping[str, Any]) -> Fault:
    """A fault of the resulting sweep, moved to the part of the request that caused it."""
    if fault.pointer == "/seeds" or fault.pointer.startswith("/seeds/"):
        return fault
    for path in sorted(changes, key=len, reverse=True):  # the most specific one first
        place, whole = pointer(parts_in_sweep(path)), pointer(["set", path])
        if fault.pointer == place or fault.pointer.startswith(place + "/"):
            return Fault(whole + fault.pointer.removeprefix(place), fault.detail)
    within = [p for p in changes if pointer(parts_in_sweep(p)).startswith(f"{fault.pointer}/")]
    if len(within) == 1:  # the change is part of a whole that no longer holds together
        return Fault(pointer(["set", within[0]]), fault.detail)
    return Fault("/set", f"the sweep that results is wrong at {fault.pointer}: {fault.detail}")
