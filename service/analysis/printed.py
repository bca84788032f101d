"""A table in a paper: read back from LaTeX, and held against what the service has now.

`render.latex` says in comments of which sweep, metric and place a table is, and of which arm each
cell. Titles may be changed, rows and columns moved or left out, numbers set in other type: what the
cells still say is read.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from itertools import pairwise
from typing import Any

from lrd_core.errors import LRDError

OF_TABLE = "% lrd verify "
"""Begins the comment that says, in JSON, which table follows."""
OF_ROW = "% arm numbers "
"""Begins the comment behind a row: the arm's number in each column, `-` for a hole."""

_COLOURS = re.compile(r"\\(?:cell|row|text)?color(?:\[[^]]*\])?\{[^}]*\}")
_COMMANDS = re.compile(r"\\[A-Za-z]+")
_POWER = re.compile(r"\\times10\^\{?(-?\d+)\}?|e([+-]?\d+)")
_CELL = re.compile(r"([^±()†]*)(?:±([^±()†]*))?(†)?(?:\(([\d/]*)\))?(†)?")


@dataclass(frozen=True)
class PrintedCell:
    """What a cell says; parts that were taken out are empty."""

    line: int
    """Of the file, from 1."""
    number: str
    """Of its arm."""
    mean: str
    spread: str
    count: str
    dagger: bool

    @property
    def text(self) -> str:
        """`94.61 ± 0.12 † (5)`."""
        parts = [self.mean, f"± {self.spread}" * bool(self.spread), "†" * self.dagger]
        return " ".join(filter(None, [*parts, f"({self.count})" * bool(self.count)]))


@dataclass(frozen=True)
class PrintedTable:
    """One table of a file: of what it is, and what its cells say."""

    line: int
    question: dict[str, Any]
    """`sweep`, `metric`, `at`, and `baseline`, an arm's number, where another than the sweep's was
    asked for."""
    cells: tuple[PrintedCell, ...]


def read(source: str) -> list[PrintedTable]:
    """Every table of this service in a LaTeX file.

    Raises:
        LRDError: what a comment announces is not there, with the line.
    """
    lines = source.splitlines()
    starts = [number for number, line in enumerate(lines) if line.lstrip().startswith(OF_TABLE)]
    tables = []
    for start, end in pairwise([*starts, len(lines)]):
        question = _question(lines[start], start + 1)
        cells = [cell for row in _rows(lines, start + 1, end) for cell in row]
        if not cells:
            raise LRDError(
                f"line {start + 1}: no row of this table says any more of which arms it is; take "
                "it anew from `lrd table`"
            )
        tables.append(PrintedTable(start + 1, question, tuple(cells)))
    return tables


def arm_ids(table: Mapping[str, Any]) -> dict[int, int]:
    """Number -> id of the arms in a table, given as JSON."""
    cells = (cell for row in table["rows"] for cell in row["cells"] if cell is not None)
    return {cell["number"]: cell["arm_id"] for cell in cells}


def differences(printed: PrintedTable, table: Mapping[str, Any]) -> list[str]:
    """A sentence for each cell that says what the service does not; `table` is its JSON.

    What the file leaves out, such as n, a dagger or decimal places, is no difference.
    """
    cells = (cell for row in table["rows"] for cell in row["cells"] if cell is not None)
    known = {str(cell["number"]): cell for cell in cells}
    found = []
    for cell in printed.cells:
        arm = known.get(cell.number)
        if arm is None:
            found.append(f"line {cell.line}: arm {cell.number} is not in this sweep")
            continue
        ours = _cell(arm["text"] + "†" * arm["significant"], cell.line, cell.number)
        if not _agrees(cell, ours):
            found.append(
                f"line {cell.line}: {arm['label']}: {cell.text or 'nothing'} in the file, "
                f"{ours.text} in the service"
            )
    return found


# --- inside ---------------------------------------------------------------------------------------


def _agrees(theirs: PrintedCell, ours: PrintedCell) -> bool:
    return (
        _rounds_to(ours.mean, theirs.mean)
        and (not theirs.spread or _rounds_to(ours.spread, theirs.spread))
        and theirs.count in ("", ours.count)
        and theirs.dagger <= ours.dagger
    )


def _rounds_to(number: str, shorter: str) -> bool:
    if number == shorter:
        return True
    try:
        exact, rounded = Decimal(number), Decimal(shorter)
        return exact.is_finite() and exact.quantize(rounded, ROUND_HALF_UP) == rounded
    except InvalidOperation:  # a word
        return False


def _question(line: str, number: int) -> dict[str, Any]:
    try:
        question = json.loads(line.strip().removeprefix(OF_TABLE))
        return {name: question[name] for name in ("sweep", "metric", "at")} | dict(question)
    except (ValueError, KeyError, TypeError):
        raise LRDError(f"line {number}: which table this is can no longer be read") from None


def _rows(lines: list[str], start: int, end: int) -> Iterator[list[PrintedCell]]:
    """A row may run over several lines; the comment stands behind its end."""
    row = ""
    for number in range(start, end):
        text, sign, arms = lines[number].partition(OF_ROW)
        row += " " + text
        if sign:
            yield _row(row, arms.split(), number + 1)
        if sign or r"\\" in text or text.lstrip().startswith(("%", r"\begin", r"\midrule")):
            row = ""


def _row(text: str, arms: list[str], line: int) -> list[PrintedCell]:
    texts = re.split(r"(?<!\\)&", text.rstrip().removesuffix(r"\\"))
    if len(texts) < len(arms):
        raise LRDError(
            f"line {line}: the comment names {len(arms)} arms and the row has {len(texts)} cells; "
            "take out of the comment what was taken out of the row"
        )
    last = texts[len(texts) - len(arms) :]
    pairs = zip(last, arms, strict=True)
    return [_cell(text, line, arm) for text, arm in pairs if arm != "-"]


def _cell(text: str, line: int, number: str) -> PrintedCell:
    """Of LaTeX, or of the service's own text."""
    plain = _POWER.sub(lambda found: f"e{int(found[1] or found[2])}", _COLOURS.sub("", text))
    plain = plain.replace(r"\pm", "±").replace(r"\dagger", "†").replace(r"\textendash", "–")
    plain = re.sub(r"[\s{}$^~\\]", "", _COMMANDS.sub("", plain))
    found = _CELL.fullmatch(plain)
    if found is None:
        raise LRDError(f"line {line}: no mean ± deviation (n) can be read in `{text.strip()}`")
    mean, spread, before, count, after = found.groups(default="")
    return PrintedCell(line, number, mean, spread, count, bool(before or after))
