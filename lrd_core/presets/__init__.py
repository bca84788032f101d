"""The paper's tables and figures as sweep files, with the paper's own numbers. Free of torch.

A preset is a YAML file of this folder; the first line of it, a comment, says what it is.
"""

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lrd_core.configuration import Config
from lrd_core.documents import parse_yaml
from lrd_core.errors import Fault, InvalidSpec
from lrd_core.faults import pointer
from lrd_core.kinds import no_sweep
from lrd_core.spec import SweepSpec, expand_arms
from lrd_core.spelling import did_you_mean

FOLDER = Path(__file__).parent

_KEYED_BY_PATH = ("grid", "baseline")
"""Parts of a sweep whose keys are dotted paths themselves."""


def names() -> list[str]:
    """All presets, sorted."""
    return sorted(file.stem for file in FOLDER.glob("*.yaml"))


def description(name: str) -> str:
    """What the preset is, in one line.

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


def changed(document: Any, changes: Mapping[str, Any], seeds: Any = None) -> dict[str, Any]:
    """A sweep's document with some of it changed. Whether the result is a valid sweep, `SweepSpec`
    says.

    Args:
        document: plain data; it stays as it is.
        changes: dotted path in the sweep to its new value, e.g. `{"base.epochs": 2}`,
            `{"grid.optimizer.name": ["adam"]}` or `{"resources": {"num_gpus": 0.25}}`.
        seeds: a count or a list; None for the document's own.

    Raises:
        InvalidSpec: a path leads nowhere, at its place below `/set`; or the document is no sweep
            from the start: no mapping, or one trial.
    """
    if wrong := no_sweep(document):
        raise InvalidSpec([wrong])
    if not isinstance(document, dict):
        SweepSpec.parse(document)  # which says so
    made: dict[str, Any] = copy.deepcopy(document)
    faults = [
        Fault(pointer(["set", path]), detail)
        for path, value in changes.items()
        if (detail := _put(made, path, value))
    ]
    if faults:
        raise InvalidSpec(faults)
    return made if seeds is None else made | {"seeds": seeds}


def apply_preset(
    name: str, changes: Mapping[str, Any] | None = None, seeds: Any = None
) -> SweepSpec:
    """The preset with some of it changed, as `{"preset": …, "set": …, "seeds": …}` asks.

    Args:
        name: one of `names()`.
        changes: as of `changed`.
        seeds: a count or a list; None for the preset's own.

    Raises:
        InvalidSpec: every fault, at its place in the request: below `/set` what was changed, with
            the rest of the sweep's pointer in the sentence where the change broke another part.
    """
    changes = dict(changes or {})
    document = changed(load(name), changes, seeds)
    try:
        sweep = SweepSpec.parse(document)
        expand_arms(sweep)
    except InvalidSpec as error:
        raise InvalidSpec([_in_request(fault, changes) for fault in error.faults]) from None
    return sweep


# --- inside ---------------------------------------------------------------------------------------


def _parts(path: str) -> list[str]:
    """`base.optimizer.lr` in three, `grid.optimizer.lr` in two: a grid's keys hold dots."""
    top, _, rest = path.partition(".")
    return [top, rest] if rest and top in _KEYED_BY_PATH else path.split(".")


def _put(document: dict[str, Any], path: str, value: Any) -> str:
    """Set the value at a dotted path; what is wrong with the path, or nothing."""
    *parents, last = _parts(path)
    if path.partition(".")[0] in Config.model_fields:
        return f"there is no {path!r} in a sweep (did you mean 'base.{path}'?)"
    for name in parents:
        document = document.setdefault(name, {})
        if not isinstance(document, dict):
            return f"there is no {path!r} in a sweep: {name!r} has no fields"
    document[last] = value
    return ""


def _in_request(fault: Fault, changes: Mapping[str, Any]) -> Fault:
    """A fault of the resulting sweep, where the request caused it."""
    if fault.pointer == "/seeds" or fault.pointer.startswith("/seeds/"):
        return fault
    for path in sorted(changes, key=len, reverse=True):  # the most particular one first
        place, whole = pointer(_parts(path)), pointer(["set", path])
        if fault.pointer == place or fault.pointer.startswith(place + "/"):
            return Fault(whole + fault.pointer.removeprefix(place), fault.detail)
    within = [p for p in changes if pointer(_parts(p)).startswith(fault.pointer + "/")]
    if len(within) == 1:  # the whole that it is part of no longer holds together
        return Fault(pointer(["set", within[0]]), fault.detail)
    return Fault("/set", f"the sweep that results is wrong at {fault.pointer}: {fault.detail}")
