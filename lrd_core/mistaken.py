"""Recognises a sweep given as a trial, and a trial given as a sweep: one fault instead of many."""

from typing import Any

from lrd_core.configuration import Config
from lrd_core.errors import Fault

_OF_A_SWEEP = ("name", "grid", "arms", "seeds", "baseline")
"""Fields of a sweep that no trial has."""


def fault_if_trial(document: Any) -> Fault | None:
    """The fault of a would-be sweep that has a configuration's fields at its top level and no
    `base`; None for any other document."""
    beside = _configured(document)
    if not beside or "base" in document:
        return None
    if any(name in document for name in _OF_A_SWEEP):
        return Fault("/base", f"missing; move {', '.join(beside)} below it")
    return Fault(
        "",
        "this is one trial, not a sweep: run it with `lrd run FILE`, or put its fields below "
        "`base:` and submit that",
    )


def fault_if_sweep(document: Any) -> Fault | None:
    """The fault of a would-be trial that is a sweep; None for any other document."""
    if not isinstance(document, dict) or (_configured(document) and "base" not in document):
        return None
    if not any(name in document for name in ("base", *_OF_A_SWEEP)):
        return None
    return Fault("", "this is a sweep, not a single trial: submit it with `lrd submit FILE`")


# --- inside ---------------------------------------------------------------------------------------


def _configured(document: Any) -> list[str]:
    """The configuration's fields at the document's top level."""
    if not isinstance(document, dict):
        return []
    return [name for name in Config.model_fields if name in document]
