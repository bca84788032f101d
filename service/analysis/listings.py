"""One difference a line, of arms or of factors: as Markdown, CSV and LaTeX.

What the lines are, and what a reader has to know of them, say `comparison_table` and
`effect_table`.
"""

import csv as csv_module
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from service.analysis.escaping import escape_latex, escape_markdown, latex_comment, latex_label
from service.analysis.metrics import Metric, NumberFormat
from service.analysis.printed import OF_LINE, announcement
from service.analysis.render import csv_value, grid, latex_line


@dataclass(frozen=True)
class Line:
    """One difference."""

    name: str
    """By which it is found again in a paper."""
    kind: str
    """Lines of another kind stand below a rule."""
    cells: tuple[str, ...]
    """As shown, below the heads."""
    values: tuple[Any, ...]
    """In full precision and in the metric's own unit, below the columns of the CSV."""


class Listing(Protocol):
    """The differences of one metric, read at one place; the columns are the same without any."""

    @property
    def of(self) -> str:
        """`printed.COMPARISONS` or `printed.EFFECTS`."""

    @property
    def metric(self) -> Metric:
        """Whose differences they are."""

    @property
    def at(self) -> str:
        """`last`, `best` or `epoch:N`."""

    @property
    def caption(self) -> str:
        """What they are, in a sentence without its full stop."""

    @property
    def heads(self) -> tuple[str, ...]:
        """Of the columns as shown."""

    @property
    def alignment(self) -> str:
        """Of the same, as LaTeX has it: `lrr`."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Of the CSV."""

    @property
    def lines(self) -> list[Line]:
        """In reading order."""

    @property
    def items(self) -> list[dict[str, Any]]:
        """The same as plain data."""

    @property
    def notes(self) -> list[str]:
        """What the differences are, what is tested and what is left out; of none, why there are
        none."""

    @property
    def advice(self) -> tuple[str, ...]:
        """For the researcher, not for the paper."""


def markdown(listing: Listing) -> str:
    """A GitHub-flavoured table with its caption and notes."""
    notes = "\n".join(f"- {escape_markdown(note)}" for note in (*listing.notes, *listing.advice))
    rows = [[escape_markdown(text) for text in line.cells] for line in listing.lines]
    if not rows:
        return f"{notes}\n"
    return f"{escape_markdown(listing.caption)}\n\n{grid(listing.heads, rows, 1)}\n\n{notes}\n"


def csv(listing: Listing) -> str:
    """A line a difference, numbers in full precision and in the metric's own unit."""
    out = io.StringIO()
    writer = csv_module.writer(out, lineterminator="\n")
    writer.writerow(listing.columns)
    for line in listing.lines:
        writer.writerow([csv_value(value) for value in line.values])
    return out.getvalue()


def latex(
    listing: Listing,
    provenance: Mapping[str, Any] | None = None,
    *,
    name: str = "table",
    baseline: int | None = None,
) -> str:
    """A table for booktabs; the advice and `provenance` (by name) stand in comments above it,
    others say to `printed.read` what it is. It is cited as `tab:` with the `name`, what it is of,
    the metric and the place read.

    Args:
        listing: any.
        provenance: by name.
        name: the sweep's id.
        baseline: the number of the arm that was asked for instead of the sweep's own.
    """
    announced = announcement(name, listing.metric.name, listing.at, baseline, of=listing.of)
    lines = listing.lines
    text = [latex_comment(f"{key}: {value}") for key, value in (provenance or {}).items()]
    text += [latex_comment(said) for said in listing.advice]
    text += [
        r"% needs \usepackage{booktabs}",
        *([announced] if lines else []),
        r"\begin{table}[t]",
        r"\centering",
        rf"\caption{{{escape_latex(listing.caption)}.}}",
        rf"\label{{{latex_label(name, listing.of, listing.metric.name, listing.at)}}}",
        rf"\begin{{tabular}}{{{listing.alignment}}}",
        r"\toprule",
        latex_line([escape_latex(head) for head in listing.heads]),
    ]
    kind = None
    for line in lines:
        if line.kind != kind:
            text.append(r"\midrule")
        kind = line.kind
        row = latex_line([escape_latex(cell) for cell in line.cells])
        text.append(f"{row} {OF_LINE[listing.of]}{latex_comment(line.name).removeprefix('% ')}")
    notes = " ".join(map(escape_latex, listing.notes))
    text += [
        r"\bottomrule",
        r"\end{tabular}",
        rf"\par\smallskip{{\footnotesize {notes}\par}}",
        r"\end{table}",
    ]
    return "\n".join(text) + "\n"


def to_json(listing: Listing) -> dict[str, Any]:
    """Numbers in the metric's own unit, and the notes."""
    return {
        "caption": listing.caption,
        "metric": listing.metric.name,
        "at": listing.at,
        "unit": listing.metric.difference_unit,
        "scale": listing.metric.scale,
        "notes": [*listing.notes, *listing.advice],
        "items": listing.items,
    }


# --- cells ----------------------------------------------------------------------------------------


class _Interval(Protocol):
    @property
    def difference(self) -> float | None: ...
    @property
    def t_low(self) -> float | None: ...
    @property
    def t_high(self) -> float | None: ...


def number_of(metric: Metric, differences: Sequence[_Interval]) -> NumberFormat:
    """How the numbers of a listing are written."""
    widths = [
        each.t_high - each.t_low
        for each in differences
        if each.t_high is not None and each.t_low is not None
    ]
    return NumberFormat.of_differences(metric, [each.difference for each in differences], widths)


def signed(
    number: NumberFormat, one: float | None, other: float | None = None, between: str = ""
) -> str:
    """`+0.75`, and with a second one `+0.50 to +1.00`; a dash where one is not known."""
    if one is None or (between and other is None):
        return "–"
    ends = [one] if other is None else [one, other]
    return between.join(number.show(end, sign=True) for end in ends)


def shown_p(p: float | None) -> str:
    """`0.0039`; a dash where nothing is tested."""
    return "–" if p is None else f"{p:.2g}"
