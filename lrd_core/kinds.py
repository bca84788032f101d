"""Whether a document is a sweep or one trial: who takes one for the other is told so, once."""

from typing import Any

from lrd_core.configuration import Config
from lrd_core.errors import Fault

_OF_A_SWEEP = ("name", "grid", "arms", "seeds", "baseline")
"""Fields of a sweep that no trial has."""


def no_sweep(document: Any) -> Fault | None:
    """What is wrong with a sweep that has the fields of a configuration, and no `base` with them;
    None of any other."""
    beside = _configured(document)
    if not beside or "base" in document:
        return None
    if any(name in document for name in _OF_A_SWEEP):
        return Fault("/base", f"missing; {', '.join(beside)} beside it should stand below it")
    return Fault(
        "",
        "this is one trial, no sweep: run it with `lrd run FILE`, or put its fields below `base:` "
        "and submit that",
    )


def no_trial(document: Any) -> Fault | None:
    """What is wrong with a trial that is a sweep; None of any other."""
    if not isinstance(document, dict) or (_configured(document) and "base" not in document):
        return None
    if not any(name in document for name in ("base", *_OF_A_SWEEP)):
        return None
    return Fault("", "this is a sweep, no single trial: submit it with `lrd submit FILE`")


# --- inside ---------------------------------------------------------------------------------------


def _configured(document: Any) -> list[str]:
    """The fields of a configuration that stand at the document's top level."""
    if not isinstance(document, dict):
        return []
    return [name for name in Config.model_fields if name in document]
