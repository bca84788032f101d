"""A paper's tables, checked against what the service has now."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from lrd_core.documents import read
from lrd_core.errors import LRDError
from service.analysis import printed
from service.analysis.printed import COMPARISONS, Printed, PrintedListing, PrintedTable
from service.client.connection import NoAnswer, ServiceAnswered

if TYPE_CHECKING:
    from service.client import Client, SubmittedSweep

_OF_THE_TABLE = {404, 422}
"""Statuses that concern only one table, e.g. because its sweep was deleted. Every other refusal
would concern all tables."""


class Verified(NamedTuple):
    """A table of a paper, checked against the service."""

    table: Printed
    differences: list[str]
    """A sentence for each cell or line that does not say what the service says now, or has lost the
    comment that identifies it."""
    unverified: str | None = None
    """Why nothing in the table could be verified: the service has no such sweep, metric or
    baseline."""

    @property
    def holds(self) -> bool:
        """Whether the whole table says what the service says now."""
        return not self.differences and self.unverified is None


def verified(client: "Client", file: Path) -> list[Verified]:
    """Each table in a LaTeX file, checked against the service.

    Raises:
        LRDError: there is no such table in it, or it can no longer be read.
    """
    source = read(file)
    try:
        tables = printed.read(source)
    except LRDError as error:
        raise LRDError(f"{file}: {error}") from None
    if not tables:
        raise LRDError(
            f"{file} has no table of `lrd table`, `lrd compare` or `lrd effects` as LaTeX: those "
            "say in comments which sweep they show, and each row which arms or effect (others "
            "are not verified)"
        )
    return [_verified(client, table) for table in tables]


# --- inside ---------------------------------------------------------------------------------------


def _verified(client: "Client", table: Printed) -> Verified:
    try:
        return Verified(table, _differences(client, table))
    except ServiceAnswered as error:
        if error.status not in _OF_THE_TABLE:
            raise
        return Verified(table, [], str(error))
    except NoAnswer:
        raise
    except LRDError as error:
        return Verified(table, [], str(error))


def _differences(client: "Client", table: Printed) -> list[str]:
    sweep = _sweep(client, table.question["sweep"])
    question = _question(sweep, table)
    if isinstance(table, PrintedTable):
        return printed.differences(table, json.loads(sweep.table_text("json", **question)))
    text = sweep.comparisons_text if table.of == COMPARISONS else sweep.effects_text
    now = printed.read(text("latex", **question))
    return printed.line_differences(
        table, [each for each in now if isinstance(each, PrintedListing)]
    )


def _sweep(client: "Client", sweep_id: str) -> "SubmittedSweep":
    try:
        return client.sweep(sweep_id, exactly=True)
    except ServiceAnswered as error:
        if error.type != "not-found":
            raise
        raise LRDError(
            f"there is no sweep {sweep_id!r} in this service; was it deleted, or is it in another "
            "one (`--url`)? `lrd import` takes in a bundle of it"
        ) from None


def _question(sweep: "SubmittedSweep", table: Printed) -> dict[str, Any]:
    question = {name: value for name, value in table.question.items() if name != "sweep"}
    if "baseline" in question:
        ids = printed.arm_ids(json.loads(sweep.table_text("json")))
        if question["baseline"] not in ids:
            raise LRDError(f"sweep {sweep.id} has no arm {question['baseline']} to be the baseline")
        question["baseline"] = ids[question["baseline"]]
    return question
