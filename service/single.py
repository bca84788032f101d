"""`lrd run`, `lrd check`: one trial here, without any service."""

import json
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lrd_core.documents import parse_yaml, read

if TYPE_CHECKING:
    from lrd_core.report import EpochReport

_UNREPEATED = (
    "What draws at random has to take its seed from `lrd_core.seeds`, or to draw from torch's "
    "global generators; what is remembered from one epoch to the next has to lie in the model or "
    "the optimizer, for a checkpoint holds these alone. On a GPU only classification repeats "
    "itself to the bit."
)


def run(
    file: Path,
    as_json: Annotated[bool, typer.Option("--json", help="Each report as a JSON line.")] = False,
) -> None:
    """Run the one trial in FILE here, without a service."""
    from lrd_core.__main__ import run_file

    stdout = sys.stdout
    with redirect_stdout(sys.stderr):  # what a plugin prints is no report
        for report in run_file(file):
            typer.echo(json.dumps(report.to_json()) if as_json else _line(report), file=stdout)


def check(
    file: Path,
    epochs: Annotated[int, typer.Option(min=2, help="The first so many of the trial.")] = 3,
) -> None:
    """Whether the trial in FILE repeats itself to the bit: again from the start, on from a
    checkpoint, and in the weights with which it begins with and without LRD; exit 1 if not."""
    from lrd_core.repeats import findings
    from lrd_core.spec import TrialSpec

    repeats = True
    for each in findings(TrialSpec.parse(parse_yaml(read(file))), epochs):
        typer.echo(f"{'yes' if each.holds else 'NO':<3}  {each.what}: {each.detail}")
        repeats &= each.holds
    if not repeats:
        typer.echo(_UNREPEATED, err=True)
        raise typer.Exit(1)


COMMANDS = (run, check)

# --- inside ---------------------------------------------------------------------------------------


def _line(report: "EpochReport") -> str:
    return "  ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in report.to_json().items()
    )
