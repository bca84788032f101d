"""Read a paper's tables back from LaTeX, and compare them with what the service has now.

In comments, `render.latex` names the sweep, metric and place of a table and the arm of each cell,
and `listings.latex` the comparison or effect of each row. Titles may be changed, rows and columns
moved or left out, and numbers set in another type: whatever the cells still say is read. Rows of
numbers without such a comment cannot be attributed, and are reported separately.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from itertools import pairwise
from typing import Any

from lrd_core.errors import LRDError
from service.formatting import count

OF_TABLE = "% lrd verify "
"""Begins the comment that says, in JSON, which table follows."""
OF_ROW = "% arm numbers "
"""Begins the comment after a row: the arm's number in each column, `-` for a hole."""
COMPARISONS, EFFECTS = "comparisons", "effects"
"""`of` in the JSON of a listing."""
OF_LINE = {COMPARISONS: "% lrd comparison ", EFFECTS: "% lrd effect "}
"""Begins the comment after a row of a listing: the arm's label, or the effect's name."""

P_COLUMNS = 2
"""The number of columns with p at the right of a listing."""

_NOISE = Decimal("1e-12")
"""Relative error that a product of floats may have."""
_COLOURS = re.compile(r"\\(?:cell|row|text)?color(?:\[[^]]*\])?\{[^}]*\}")
_SIGNS = {r"\pm": "±", r"\dagger": "†", r"\textendash": "–", r"\to": "→"}
_COMMANDS = re.compile(r"\\[A-Za-z]+")
_POWER = re.compile(r"\\times10\^\{?(-?\d+)\}?|e([+-]?\d+)")
_CELL = re.compile(r"([^±()†]*)(?:±([^±()†]*))?(†)?(?:\(([\d/]*)\))?(†)?")
_NUMBER = re.compile(r"([-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?)")
_ANY_COMMENT = r"(?:(?<!\\)|(?<=\\\\))%"  # \% begins none, except after \\
_ROW_END = re.compile(r"\\\\\*?(?:\s*\[[^]]*\])?|\\tabularnewline\b")
_SPAN = re.compile(r"\\multi(?:column|row)(?:\[[^]]*\])?\{[^}]*\}\{[^}]*\}")
_HOLDS_NUMBER = re.compile(r"[^A-Za-z]*\d|.*\(\d+(?:/\d+)?\)")
_HEAD_END = re.compile(r"\\\\(?s:.*?)\\(?:midrule|hline)\b")
_LONG_HEAD_END = re.compile(r"(?s:.*)\\end(?:first)?(?:head|foot|lastfoot)\b")
_BODY_END = re.compile(r"\\bottomrule\b|\\end\{")


@dataclass(frozen=True)
class PrintedCell:
    """The content of a cell; parts that were removed are empty."""

    line: int
    """Line in the file, from 1."""
    number: str
    """The arm's number."""
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
class UnsignedRow:
    """A row of numbers without the comment that identifies them."""

    line: int
    """Line in the file, from 1."""
    text: str
    """Its cells, without LaTeX markup."""

    def __str__(self) -> str:
        return f"line {self.line}: `{self.text}` is not verified: its comment is gone"


@dataclass(frozen=True)
class PrintedTable:
    """One table of a file: which table it is, and the content of its cells."""

    line: int
    question: dict[str, Any]
    """`sweep`, `metric` and `at`; also `baseline`, an arm's number, if one other than the sweep's
    was asked for."""
    cells: tuple[PrintedCell, ...]
    unsigned: tuple[UnsignedRow, ...] = ()

    @property
    def counted(self) -> str:
        """`6 cells`."""
        return count(len(self.cells), "cell")


@dataclass(frozen=True)
class PrintedLine:
    """The content of a row of a listing; cells that were blanked are empty."""

    line: int
    """Line in the file, from 1."""
    name: str
    """Name of the arm or the effect."""
    texts: tuple[str, ...]
    """The cells after the first, in the service's order; those at the right may be missing."""


@dataclass(frozen=True)
class PrintedListing:
    """A table of comparisons or of effects in a file."""

    line: int
    of: str
    """`COMPARISONS` or `EFFECTS`."""
    question: dict[str, Any]
    """As in `PrintedTable`."""
    lines: tuple[PrintedLine, ...]
    unsigned: tuple[UnsignedRow, ...] = ()

    @property
    def counted(self) -> str:
        """`3 effects`."""
        return count(len(self.lines), _one(self.of))


Printed = PrintedTable | PrintedListing


def announcement(
    sweep: str, metric: str, at: str, baseline: int | None, of: str | None = None
) -> str:
    """The comment above a table that identifies it; `of`: the kind of listing, None for arms."""
    question = {"sweep": sweep, "metric": metric, "at": at, "baseline": baseline, "of": of}
    return OF_TABLE + json.dumps(
        {name: each for name, each in question.items() if each is not None}
    )


def read(source: str) -> list[Printed]:
    """Every table of this service in a LaTeX file.

    Raises:
        LRDError: something that a comment announces is missing; the message names the line.
    """
    lines = source.splitlines()
    starts = [number for number, line in enumerate(lines) if line.lstrip().startswith(OF_TABLE)]
    tables: list[Printed] = []
    for start, end in pairwise([*starts, len(lines)]):
        question = _question(lines[start], start + 1)
        if (of := question.pop("of", None)) is None:
            tables.append(_table(lines, start, end, question))
        else:
            tables.append(_listing(lines, start, end, of, question))
    return tables


def arm_ids(table: Mapping[str, Any]) -> dict[int, int]:
    """Number -> id of the arms in a table, which is the service's JSON."""
    cells = (cell for row in table["rows"] for cell in row["cells"] if cell is not None)
    return {cell["number"]: cell["arm_id"] for cell in cells}


def differences(printed: PrintedTable, table: Mapping[str, Any]) -> list[str]:
    """A sentence for each cell that disagrees with the service, and for each row without its
    comment; `table` is the service's JSON.

    Whatever the file leaves out, such as n, a dagger or decimal places, is not a difference.
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
        scaled = {name: _scaled(arm[name], table["scale"]) for name in ("mean", "std")}
        if not _agrees(cell, ours, scaled):
            found.append(
                f"line {cell.line}: {arm['label']}: {cell.text or 'nothing'} in the file, "
                f"{ours.text} in the service"
            )
    return found + list(map(str, printed.unsigned))


def line_differences(printed: PrintedListing, now: Iterable[PrintedListing]) -> list[str]:
    """A sentence for each line that differs from the one in the listings of `now`, or has lost its
    comment."""
    known = {each.name: each.texts for listing in now for each in listing.lines}
    found = []
    for theirs in printed.lines:
        where, ours = f"line {theirs.line}: {theirs.name}", known.get(theirs.name)
        if ours is None:
            found.append(f"{where} is no {_one(printed.of)} of this sweep")
        elif len(theirs.texts) > len(ours):
            found.append(f"{where}: {len(theirs.texts)} cells, the service has {len(ours)}")
        else:
            pairs = enumerate(zip(theirs.texts, ours, strict=False), P_COLUMNS - len(ours))
            wrong = [pair for at, pair in pairs if not _reads_as(*pair, p=at >= 0)]
            if wrong:
                said = (f"{one} in the file, {other} in the service" for one, other in wrong)
                found.append(f"{where}: {'; '.join(said)}")
    return found + list(map(str, printed.unsigned))


# --- inside ---------------------------------------------------------------------------------------


def _one(of: str) -> str:
    return of.removesuffix("s")


def _reads_as(theirs: str, ours: str, *, p: bool) -> bool:
    """Whether a text agrees with another in whatever it says; `p`: both are p-values."""
    if not theirs:
        return True
    if "†" in theirs and "†" not in ours:
        return False
    one, other = (_NUMBER.split(text.replace("†", "")) for text in (theirs, ours))
    pairs = zip(other, one, strict=False)
    return len(one) == len(other) and all(_rounds_to(*pair, p=p) for pair in pairs)


def _scaled(value: Any, scale: float) -> float | None:
    return value * scale if isinstance(value, int | float) else None


def _agrees(theirs: PrintedCell, ours: PrintedCell, exact: Mapping[str, float | None]) -> bool:
    return (
        _rounds_to(ours.mean, theirs.mean, exact["mean"])
        and (not theirs.spread or _rounds_to(ours.spread, theirs.spread, exact["std"]))
        and theirs.count in ("", ours.count)
        and theirs.dagger <= ours.dagger
    )


def _rounds_to(number: str, shorter: str, exact: float | None = None, *, p: bool = False) -> bool:
    """Whether `shorter` is `number` or its value rounded to other decimals, ties either way.

    Without the `exact` value behind `number`, no more decimals than it shows are known, and the
    last one may be rounded up or down. A p of 0 does not count as one."""
    if number == shorter:
        return True
    try:
        shown, rounded = Decimal(number), Decimal(shorter)
    except InvalidOperation:  # a word
        return False
    if not (shown.is_finite() and rounded.is_finite()) or (p and not rounded):
        return False
    step = Decimal(1).scaleb(_exponent(rounded))
    if exact is None and not p and step < Decimal(1).scaleb(_exponent(shown)):
        return False
    value = shown if exact is None else Decimal(exact)
    return abs(value - rounded) <= step / 2 + abs(value) * _NOISE


def _exponent(number: Decimal) -> int:
    return int(number.as_tuple().exponent)


def _question(line: str, number: int) -> dict[str, Any]:
    try:
        question = json.loads(line.strip().removeprefix(OF_TABLE))
        return {name: question[name] for name in ("sweep", "metric", "at")} | dict(question)
    except (ValueError, KeyError, TypeError):
        raise LRDError(f"line {number}: which table this is can no longer be read") from None


def _table(lines: list[str], start: int, end: int, question: dict[str, Any]) -> PrintedTable:
    rows = list(_rows(lines, start + 1, end, OF_ROW))
    cells = tuple(
        cell for row, about, line in rows if about is not None for cell in _row(row, about, line)
    )
    if not cells:
        raise _mute(start + 1, "which arms it shows", "lrd table")
    return PrintedTable(start + 1, question, cells, _unsigned(rows))


def _listing(
    lines: list[str], start: int, end: int, of: str, question: dict[str, Any]
) -> PrintedListing:
    if str(of) not in OF_LINE:
        raise LRDError(f"line {start + 1}: a table of {of!r} is unknown: it comes from a newer lrd")
    rows = list(_rows(lines, start + 1, end, OF_LINE[of]))
    found = tuple(
        PrintedLine(line, name, tuple(map(_plain, _split(row)[1:])))
        for row, name, line in rows
        if name is not None
    )
    if not found:
        command = "lrd compare" if of == COMPARISONS else "lrd effects"
        raise _mute(start + 1, f"which {_one(of)} it is", command)
    return PrintedListing(start + 1, of, question, found, _unsigned(rows))


def _mute(line: int, what: str, command: str) -> LRDError:
    return LRDError(
        f"line {line}: no row of this table still says {what}; get it again from `{command}`"
    )


_Row = tuple[str, str | None, int]
"""The content of a row, the rest of its comment, and its line."""


def _rows(lines: list[str], start: int, end: int, sign: str) -> Iterator[_Row]:
    """Each row that has its comment, and other rows between the head and the foot. A row may extend
    over several lines; the comment follows its end."""
    comment, any_comment = re.compile(_ANY_COMMENT + sign[1:]), re.compile(_ANY_COMMENT)
    body = _body(lines, start, end, comment)
    row = ""
    for number in range(start, end):
        text, *about = comment.split(lines[number], 1)
        if not about:
            text = any_comment.split(text, 1)[0]
        *ended, row = _ROW_END.split(f"{row} {text}")
        if about and ended and not row.strip():
            row = ended.pop()
        if not about and number == body.stop - 1:
            ended.append(_BODY_END.split(row)[0])  # the last row needs no end
        if number in body:
            yield from ((each, None, number + 1) for each in ended)
        if about:
            yield row, about[0].strip(), number + 1
        if about or text.lstrip().startswith((r"\begin", r"\midrule")):
            row = ""


def _body(lines: list[str], start: int, end: int, comment: re.Pattern[str]) -> range:
    """The lines from the end of a table's head, or without a head from the first row that has its
    comment, to its foot."""
    first = next((number for number in range(start, end) if comment.search(lines[number])), end)
    # A longtable has the heads and feet of its pages before its first row.
    above = "\n".join(lines[start:first])
    head = _LONG_HEAD_END.match(above) or _HEAD_END.search(above)
    feet = (number for number in range(first, end) if _BODY_END.search(lines[number]))
    begin = first if head is None else start + above[: head.end()].count("\n")
    return range(begin, next(feet, end - 1) + 1)


def _unsigned(rows: Iterable[_Row]) -> tuple[UnsignedRow, ...]:
    """The rows with numbers; a heading over a group of rows has none."""
    found = []
    for row, about, line in rows:
        titles, *cells = map(_plain, _split(_SPAN.sub("", row)))
        if about is None and any(map(_HOLDS_NUMBER.match, cells)):
            found.append(UnsignedRow(line, " & ".join([titles, *cells])))
    return tuple(found)


def _row(text: str, about: str, line: int) -> list[PrintedCell]:
    texts, arms = _split(text), about.split()
    if len(texts) < len(arms):
        raise LRDError(
            f"line {line}: the comment names {len(arms)} arms and the row has {len(texts)} cells; "
            "take out of the comment what was taken out of the row"
        )
    last = texts[len(texts) - len(arms) :]
    pairs = zip(last, arms, strict=True)
    return [_cell(text, line, arm) for text, arm in pairs if arm != "-"]


def _split(row: str) -> list[str]:
    return re.split(r"(?<!\\)&", row.rstrip().removesuffix(r"\\"))


def _plain(text: str) -> str:
    """The plain content of LaTeX, or of the service's own text: no fonts, colours or blanks."""
    plain = _POWER.sub(lambda found: f"e{int(found[1] or found[2])}", _COLOURS.sub("", text))
    plain = _COMMANDS.sub(lambda found: _SIGNS.get(found[0], ""), plain)
    return re.sub(r"[\s{}$^~\\]", "", plain)


def _cell(text: str, line: int, number: str) -> PrintedCell:
    """A cell, from LaTeX or from the service's own text."""
    found = _CELL.fullmatch(_plain(text))
    if found is None:
        raise LRDError(f"line {line}: no mean ± deviation (n) can be read in `{text.strip()}`")
    mean, spread, before, count, after = found.groups(default="")
    return PrintedCell(line, number, mean, spread, count, bool(before or after))
