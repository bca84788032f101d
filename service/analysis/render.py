"""A table as Markdown, CSV, LaTeX and plain data.

Labels come from users: each format escapes every string in its own way (`escaping.py`).
"""

import csv as csv_module
import io
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from lrd_core.titles import spell
from service.analysis.arms import ArmSummary
from service.analysis.comparisons import Comparison
from service.analysis.configurations import flatten, varying
from service.analysis.escaping import (
    escape_csv,
    escape_latex,
    escape_markdown,
    latex_comment,
    latex_label,
)
from service.analysis.expected import ExpectedRow
from service.analysis.metrics import NumberFormat
from service.analysis.printed import OF_ROW, announcement
from service.analysis.shown import number_of, shown_p, signed
from service.analysis.tables import Cell, Table

_EXPECTED_HEADS = ("arm", "paper", "ours", "difference", "95 % prediction interval", "verdict")

# --- Markdown -------------------------------------------------------------------------------------


def markdown(table: Table) -> str:
    """A GitHub-flavoured table with caption and notes; `expected` follows as a second table."""
    heads = [*table.heads, *(column_title(table, titles) for titles in table.columns)]
    rows = [
        [*map(escape_markdown, row.titles), *(_markdown_cell(cell) for cell in row.cells)]
        for row in table.rows
    ]
    blocks = [escape_markdown(table.caption), grid(heads, rows, len(table.heads))]
    if table.expected:
        expected = [[escape_markdown(text) for text in _expected(row)] for row in table.expected]
        blocks.append(f"Published: {escape_markdown(table.source)}")
        blocks.append(grid(_EXPECTED_HEADS, expected, 1))
    notes = (*table.notes, *table.advice)
    blocks.append("\n".join(f"- {escape_markdown(note)}" for note in notes))
    return "\n\n".join(blocks) + "\n"


def column_title(table: Table, titles: Sequence[str]) -> str:
    """A column's titles in one line: `SGDM, without LRD`; the metric, if it has none."""
    return ", ".join(titles) or table.metric.title


def _markdown_cell(cell: Cell) -> str:
    text = escape_markdown(cell.text)
    return (f"**{text}**" if cell.best else text) + ("†" if cell.significant else "")


def grid(heads: Sequence[str], rows: Sequence[Sequence[str]], labels: int) -> str:
    ruler = [":--"] * labels + ["--:"] * (len(heads) - labels)
    lines = [[escape_markdown(head) for head in heads], ruler, *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _expected(row: ExpectedRow) -> tuple[str, ...]:
    return (row.label, *row.shown, row.interval, row.verdict)


# --- CSV ------------------------------------------------------------------------------------------

_SUMMARY = (
    "planned", "n", "failed", "diverged", "mean", "std", "standard_error", "ci_low", "ci_high",
    "median", "iqm", "min", "max", "epoch", "seconds", "gpu_seconds", "cpu_seconds", "status",
)  # fmt: skip
_COMPARISON = {
    "baseline": "baseline", "pairs": "n", "wins": "wins", "ties": "ties", "losses": "losses",
    "difference": "difference", "difference_ci_low": "ci_low", "difference_ci_high": "ci_high",
    "difference_t_low": "t_low", "difference_t_high": "t_high", "difference_std": "std",
    "p_sign_flip": "p_sign_flip", "p_holm": "p_holm", "p_wins": "p_wins", "p_t": "p_t",
    "p_welch": "p_welch", "d_z": "d_z", "g_z": "g_z", "correlation": "correlation",
    "survivors_only": "survivors_only", "significant": "significant", "left_out": "left_out",
}  # fmt: skip


def csv(table: Table) -> str:
    """One line per arm, for machines: numbers in full precision and in the metric's own unit.

    Columns: the arm, the dotted paths that vary, the summary, the comparison with its baseline.
    Undefined values are empty.
    """
    flats = [flatten(summary.arm.config) for summary in table.summaries]
    paths = varying(flats)
    of_arm = {comparison.arm_id: comparison for comparison in table.comparisons}
    out = io.StringIO()
    writer = csv_module.writer(out, lineterminator="\n")
    heads = ["arm_id", "arm", "is_baseline", "metric", "at", *paths, *_SUMMARY, *_COMPARISON]
    writer.writerow([escape_csv(head) for head in heads])
    for summary, flat in zip(table.summaries, flats, strict=True):
        arm = summary.arm
        values: list[Any] = [arm.id, arm.label, arm.is_baseline, table.metric.name, table.at]
        values += [flat.get(path) for path in paths]
        values += [getattr(summary, name) for name in _SUMMARY]
        comparison = of_arm.get(arm.id)
        values += [getattr(comparison, name, None) for name in _COMPARISON.values()]
        writer.writerow([csv_value(value) for value in values])
    return out.getvalue()


def csv_value(value: Any) -> str:
    """`value` as text; undefined is empty, and seeds follow the reason that they share."""
    if value is None:
        return ""
    if isinstance(value, dict):
        return "; ".join(f"{why}: {' '.join(map(str, seeds))}" for why, seeds in value.items())
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    return escape_csv(spell(value))


# --- LaTeX ----------------------------------------------------------------------------------------


def latex(
    table: Table,
    provenance: Mapping[str, Any] | None = None,
    *,
    name: str = "table",
    baseline: int | None = None,
) -> str:
    """A booktabs table: bold for the better of a pair, a dagger where p_holm < 0.05.

    The comments above it hold the `provenance` and what more seeds could show. Further comments let
    `printed.read` identify the table and its cells. Its label is `tab:` with `name`, the metric and
    the place read.

    Args:
        table: the table.
        provenance: name -> value, e.g. of the sweep, the code's version, the environment.
        name: the sweep's id.
        baseline: the number of the arm that was asked for in place of the sweep's baseline.
    """
    labels, width = len(table.heads), len(table.columns)
    lines = [latex_comment(f"{key}: {value}") for key, value in (provenance or {}).items()]
    lines += [latex_comment(text) for text in table.advice]
    lines += [
        r"% needs \usepackage{booktabs}",
        announcement(name, table.metric.name, table.at, baseline),
        r"\begin{table}[t]",
        r"\centering",
        rf"\caption{{{escape_latex(table.caption)}.}}",
        rf"\label{{{latex_label(name, table.metric.name, table.at)}}}",
        rf"\begin{{tabular}}{{{'l' * labels}{'c' * width}}}",
        r"\toprule",
        *_latex_head(table),
        r"\midrule",
        *_latex_body(table),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    if table.expected:
        lines += _latex_expected(table)
    notes = " ".join(escape_latex(note) for note in table.notes)
    lines += [rf"\par\smallskip{{\footnotesize {notes}\par}}", r"\end{table}"]
    return "\n".join(lines) + "\n"


def _latex_head(table: Table) -> Iterator[str]:
    """One line per column path; equal neighbours share a cell, with a rule below it."""
    labels = len(table.heads)
    depth = len(table.layout.columns)
    for level in range(depth - 1):
        cells, rules, at = [""] * labels, [], labels + 1
        for prefix, group in groupby(table.columns, key=lambda titles: titles[: level + 1]):
            width = len(list(group))
            cells.append(rf"\multicolumn{{{width}}}{{c}}{{{escape_latex(prefix[-1])}}}")
            rules.append(rf"\cmidrule(lr){{{at}-{at + width - 1}}}")
            at += width
        yield latex_line(cells)
        yield " ".join(rules)
    last = [titles[-1] if titles else table.metric.title for titles in table.columns]
    yield latex_line([escape_latex(text) for text in (*table.heads, *last)])


def _latex_body(table: Table) -> Iterator[str]:
    above: tuple[str, ...] = ()
    for row in table.rows:
        # As in printed tables, a title that repeats the one above it is left blank.
        same = 0
        while same < len(row.titles) - 1 and row.titles[: same + 1] == above[: same + 1]:
            same += 1
        titles = [""] * same + [escape_latex(title) for title in row.titles[same:]]
        arms = [str(cell.summary.arm.number) if cell.summary else "-" for cell in row.cells]
        line = latex_line([*titles, *(_latex_cell(cell) for cell in row.cells)])
        yield f"{line} {OF_ROW}{' '.join(arms)}"
        above = row.titles


def _latex_cell(cell: Cell) -> str:
    if cell.summary is None:
        return ""
    if cell.summary.mean is None:
        text = rf"\emph{{{escape_latex(cell.mean)}}}"
    else:
        mean = _latex_number(cell.mean)
        text = rf"\mathbf{{{mean}}}" if cell.best else mean
        text += rf" \pm {_latex_number(cell.spread)}" if cell.spread else ""
        dagger = r"^{\dagger}" if cell.significant else ""
        text = f"${text}{dagger}$"
    return text + rf" {{\footnotesize ({cell.count})}}"


def _latex_number(text: str) -> str:
    mantissa, e, exponent = text.partition("e")
    return rf"{mantissa}\times10^{{{int(exponent)}}}" if e else text


def _latex_expected(table: Table) -> Iterator[str]:
    yield rf"\par\medskip Published: {escape_latex(table.source)}\par\smallskip"
    yield r"\begin{tabular}{lrrrrl}"
    yield r"\toprule"
    yield latex_line([escape_latex(head) for head in _EXPECTED_HEADS])
    yield r"\midrule"
    for row in table.expected:
        yield latex_line([escape_latex(text) for text in _expected(row)])
    yield r"\bottomrule"
    yield r"\end{tabular}"


def latex_line(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"


# --- plain data -----------------------------------------------------------------------------------


def to_json(table: Table) -> dict[str, Any]:
    """All that a page needs to draw the table; numbers in the metric's own unit, texts as shown.

    A hole in the grid is None.
    """
    number = number_of(table.metric, table.comparisons)
    return {
        "caption": table.caption,
        "metric": table.metric.name,
        "at": table.at,
        "unit": table.metric.unit,
        "scale": table.metric.scale,
        "higher_is_better": table.metric.higher_is_better,
        "layout": {
            "rows": list(table.layout.rows),
            "columns": list(table.layout.columns),
            "pair": table.layout.pair,
        },
        "heads": list(table.heads),
        "columns": [list(titles) for titles in table.columns],
        "rows": [
            {"titles": list(row.titles), "cells": [_cell_json(cell, number) for cell in row.cells]}
            for row in table.rows
        ],
        "notes": [*table.notes, *table.advice],
        "expected": [row.to_json() for row in table.expected],
        "source": table.source,
    }


def _cell_json(cell: Cell, number: NumberFormat) -> dict[str, Any] | None:
    if cell.summary is None:
        return None
    shown = {"text": cell.text, "best": cell.best, "significant": cell.significant}
    return {**shown, **_numbers(cell.summary), "comparison": _difference(cell.comparison, number)}


def _numbers(summary: ArmSummary) -> dict[str, Any]:
    names = ("planned", "n", "failed", "diverged", "mean", "std", "ci_low", "ci_high", "status")
    arm = summary.arm
    head = {"arm_id": arm.id, "number": arm.number, "label": arm.label}
    return head | {name: getattr(summary, name) for name in names}


def _difference(comparison: Comparison | None, number: NumberFormat) -> dict[str, Any] | None:
    if comparison is None:
        return None
    names = (
        "baseline_id", "n", "difference", "ci_low", "ci_high", "t_low", "t_high",
        "p_sign_flip", "p_holm",
    )  # fmt: skip
    shown = {
        "difference": signed(number, comparison.difference),
        "interval": signed(number, comparison.t_low, comparison.t_high, " to "),
        "p_sign_flip": shown_p(comparison.p_sign_flip),
        "p_holm": shown_p(comparison.p_holm),
    }
    return {name: getattr(comparison, name) for name in names} | {"shown": shown}
