"""Differences between arms or factors, one per line, as Markdown, CSV and LaTeX.

`comparison_table` and `effect_table` provide the lines and their notes.
"""

import csv as csv_module
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from service.analysis.escaping import escape_latex, escape_markdown, latex_comment, latex_label
from service.analysis.metrics import Metric
from service.analysis.printed import OF_LINE, announcement
from service.analysis.render import csv_value, grid, latex_line


@dataclass(frozen=True)
class Line:
    """One difference."""

    name: str
    """Identifies the line in a paper's LaTeX file."""
    kind: str
    """A rule separates lines of different kinds."""
    cells: tuple[str, ...]
    """Texts for the columns of `heads`."""
    values: tuple[Any, ...]
    """Values for the CSV's columns, in full precision and in the metric's own unit."""


class Listing(Protocol):
    """The differences of one metric, read at one place; its columns do not depend on its lines."""

    @property
    def of(self) -> str:
        """`printed.COMPARISONS` or `printed.EFFECTS`."""

    @property
    def metric(self) -> Metric:
        """The metric whose differences are listed."""

    @property
    def at(self) -> str:
        """`last`, `best` or `epoch:N`."""

    @property
    def caption(self) -> str:
        """What the differences are, in a sentence without its full stop."""

    @property
    def heads(self) -> tuple[str, ...]:
        """Column headings."""

    @property
    def alignment(self) -> str:
        """Column alignment in LaTeX's notation: `lrr`."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Column names of the CSV."""

    @property
    def lines(self) -> list[Line]:
        """The lines in reading order."""

    @property
    def items(self) -> list[dict[str, Any]]:
        """The lines as plain data."""

    @property
    def notes(self) -> list[str]:
        """What the differences are, what is tested and what is left out; or why there are none."""

    @property
    def advice(self) -> tuple[str, ...]:
        """Advice for the researcher, not for the paper."""


def markdown(listing: Listing) -> str:
    """A GitHub-flavoured table with its caption and notes."""
    notes = "\n".join(f"- {escape_markdown(note)}" for note in (*listing.notes, *listing.advice))
    rows = [[escape_markdown(text) for text in line.cells] for line in listing.lines]
    if not rows:
        return f"{notes}\n"
    return f"{escape_markdown(listing.caption)}\n\n{grid(listing.heads, rows, 1)}\n\n{notes}\n"


def csv(listing: Listing) -> str:
    """One line per difference, numbers in full precision and in the metric's own unit."""
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
    """A booktabs table, with the advice and the `provenance` in comments above it.

    Further comments let `printed.read` identify the table and its rows. Its label is `tab:` with
    `name`, the kind of listing, the metric and the place read.

    Args:
        listing: the differences.
        provenance: name -> value, e.g. of the sweep, the code's version, the environment.
        name: the sweep's id.
        baseline: the number of the arm that was asked for in place of the sweep's baseline.
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
    """The listing as plain data, numbers in the metric's own unit, with its notes."""
    return {
        "caption": listing.caption,
        "metric": listing.metric.name,
        "at": listing.at,
        "unit": listing.metric.difference_unit,
        "scale": listing.metric.scale,
        "notes": [*listing.notes, *listing.advice],
        "items": listing.items,
    }
