"""`lrd run`, `lrd check`: one trial on this machine, without a service."""

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
    "Whatever draws at random must take its seed from `lrd_core.seeds`, or draw from the global "
    "generators of torch, Python or NumPy; whatever is remembered from one epoch to the next must "
    "be in the model or the optimizer, because a checkpoint holds nothing else. On a GPU only "
    "classification repeats itself to the bit."
)


def run(
    file: Path,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print each report as a JSON line.")
    ] = False,
) -> None:
    """Run the one trial in FILE on this machine, without a service."""
    from lrd_core.__main__ import run_file

    stdout = sys.stdout
    with redirect_stdout(sys.stderr):  # what a plugin prints is no report
        for report in run_file(file):
            typer.echo(json.dumps(report.to_json()) if as_json else _line(report), file=stdout)


def check(
    file: Path,
    epochs: Annotated[int, typer.Option(min=2, help="How many epochs of the trial to run.")] = 3,
) -> None:
    """Check that the trial in FILE repeats itself to the bit: run again, resumed from a checkpoint,
    and in its initial weights with and without LRD; exit 1 if not."""
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
