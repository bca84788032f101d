"""Reading commands of `lrd`: tables, comparisons, figures, logs, files."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
import yaml

from service.choices import Axis, Figure, ProseFormat, Rows, TableFormat
from service.client import Client
from service.client.connection import LOCAL
from service.commands import output
from service.commands.arguments import (
    At,
    Baseline,
    Metric,
    Sweep,
    Token,
    Url,
    number_of,
)
from service.lifecycle import TrialState

Format = Annotated[TableFormat, typer.Option("--format")]
DataFormat = Annotated[Literal["text", "csv", "json"], typer.Option("--format")]
Trial = Annotated[
    int, typer.Argument(metavar="TRIAL", help="Id of the trial; `lrd trials SWEEP` lists them.")
]


def table(
    called: Sweep,
    form: Format = "markdown",
    metric: Metric = None,
    at: At = None,
    baseline: Baseline = None,
    url: Url = LOCAL,
    token: Token = None,
) -> None:
    """Print a sweep's table."""
    with Client(url, token) as client:
        sweep = client.sweep(called)
        typer.echo(sweep.table_text(form, metric=metric, at=at, baseline=baseline))


def compare(
    called: Sweep,
    form: Format = "markdown",
    metric: Metric = None,
    at: At = None,
    baseline: Baseline = None,
    url: Url = LOCAL,
    token: Token = None,
) -> None:
    """Compare each arm with its baseline, paired by seed."""
    with Client(url, token) as client:
        sweep = client.sweep(called)
        typer.echo(sweep.comparisons_text(form, metric=metric, at=at, baseline=baseline))


def effects(
    called: Sweep,
    form: Format = "markdown",
    metric: Metric = None,
    at: At = None,
    baseline: Baseline = None,
    url: Url = LOCAL,
    token: Token = None,
) -> None:
    """Show each factor's effect over the settings of the other factors, and interactions."""
    with Client(url, token) as client:
        sweep = client.sweep(called)
        typer.echo(sweep.effects_text(form, metric=metric, at=at, baseline=baseline))


def methods(
    called: Sweep,
    form: Annotated[ProseFormat, typer.Option("--format")] = "markdown",
    metric: Metric = None,
    at: At = None,
    baseline: Baseline = None,
    url: Url = LOCAL,
    token: Token = None,
) -> None:
    """Describe how a sweep's numbers were made, for a paper's methods section."""
    with Client(url, token) as client:
        sweep = client.sweep(called)
        typer.echo(sweep.methods_text(form, metric=metric, at=at, baseline=baseline), nl=False)


def speed(
    called: Sweep,
    value: Annotated[
        str, typer.Argument(help="Value to reach, in the metric's own unit: 0.9, or 90%.")
    ],
    form: DataFormat = "text",
    metric: Metric = None,
    baseline: Baseline = None,
    url: Url = LOCAL,
    token: Token = None,
) -> None:
    """Show how soon each arm reaches a value of a metric, and how much faster than its baseline."""
    with Client(url, token) as client:
        sweep = client.sweep(called)
        found = sweep.speed(number_of(value), metric, baseline)
    _show(found, form, text=output.speed, csv=output.speed_csv)


def power(
    called: Sweep,
    difference: Annotated[
        str | None,
        typer.Argument(
            help="A difference that would matter, in the metric's own unit: 0.002, or 0.2%."
        ),
    ] = None,
    form: DataFormat = "text",
    metric: Metric = None,
    at: At = None,
    baseline: Baseline = None,
    url: Url = LOCAL,
    token: Token = None,
) -> None:
    """Show which differences the seeds so far can find, and how many seeds a given one takes."""
    size = None if difference is None else number_of(difference)
    with Client(url, token) as client:
        found = client.sweep(called).power(size, metric=metric, at=at, baseline=baseline)
    _show(found, form, text=output.power, csv=output.power_csv)


def spec(called: Sweep, url: Url = LOCAL, token: Token = None) -> None:
    """Print a sweep's current spec as YAML, to be edited and submitted again."""
    with Client(url, token) as client:
        document = client.sweep(called).status()["spec"]
    typer.echo(yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=100), nl=False)


def verify(
    files: Annotated[
        list[Path],
        typer.Argument(
            help="LaTeX files with tables from `lrd table`, `lrd compare` and `lrd effects`."
        ),
    ],
    url: Url = LOCAL,
    token: Token = None,
) -> None:
    """Check a paper's tables against the service; exit 1 if one differs or cannot be verified."""
    differ = False
    with Client(url, token) as client:
        for file in files:
            for found in client.verify(file):
                typer.echo(f"{file}: {output.verified(found)}")
                differ |= not found.holds
    typer.echo(output.UNCHECKED, err=True)
    if differ:
        raise typer.Exit(1)


def figure(
    called: Sweep,
    name: Figure,
    to: Annotated[Path, typer.Argument(help="A .svg, .pdf or .png file.")],
    metric: Metric = None,
    at: At = None,
    by: Annotated[
        Axis | None,
        typer.Option(help="Horizontal axis of learning curves (default epoch)."),
    ] = None,
    baseline: Baseline = None,
    caption: Annotated[
        bool,
        typer.Option(
            help="Put the caption below the figure; otherwise print it, for the paper to use."
        ),
    ] = True,
    url: Url = LOCAL,
    token: Token = None,
) -> None:
    """Write a figure to a file."""
    kind = _form_of(to, {".svg": "svg", ".pdf": "pdf", ".png": "png"})
    with Client(url, token) as client:
        sweep = client.sweep(called)
        asked = {"metric": metric, "at": at, "by": by, "baseline": baseline}
        below = {} if caption else {"caption": "false"}
        to.write_bytes(sweep.figure(name, kind, **asked, **below))
        typer.echo(f"written to {to}")
        if not caption:
            typer.echo(sweep.caption(name, **asked))


def trials(
    called: Sweep,
    arm: Annotated[
        str | None, typer.Option(help="Only those of this arm, by its label or its id.")
    ] = None,
    state: Annotated[TrialState | None, typer.Option(help="Only trials in this state.")] = None,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json", help="Everything the service knows of each trial, one JSON line per trial."
        ),
    ] = False,
    url: Url = LOCAL,
    token: Token = None,
) -> None:
    """List a sweep's trials: id, state and reason, epochs, the table's metric as last reported,
    seed, arm."""
    with Client(url, token) as client:
        sweep = client.sweep(called)
        asked, found = sweep.status()["spec"].get("table", {}).get("metric"), None
        for found in sweep.list_trials(state, arm=arm):
            typer.echo(json.dumps(found) if as_json else output.trial(found, asked))
    if found is None:
        typer.echo("none of its trials is like that", err=True)


def logs(
    trial_id: Trial,
    attempt: Annotated[
        int | None, typer.Option(min=1, help="By default the newest attempt.")
    ] = None,
    tail: Annotated[
        int | None,
        typer.Option(min=1, max=100_000, help="How many of the last lines (default 1000)."),
    ] = None,
    url: Url = LOCAL,
    token: Token = None,
) -> None:
    """Print what a trial wrote to its log; `lrd trials SWEEP` lists the ids."""
    with Client(url, token) as client:
        text = client.log(trial_id, attempt=attempt, tail=tail)
    if text:
        typer.echo(text, nl=not text.endswith("\n"))
    else:
        typer.echo(
            f"trial {trial_id} has no log here: it has not started yet, or its results came from "
            "elsewhere",
            err=True,
        )


def weights(
    trial_id: Trial,
    to: Annotated[Path, typer.Argument(help="A .pt file, for torch.load.")],
    url: Url = LOCAL,
    token: Token = None,
) -> None:
    """Write the final weights of a trial to a file; its sweep must keep them (`execution:
    {keep_weights: true}`)."""
    with Client(url, token) as client:
        to.write_bytes(client.weights(trial_id))
    typer.echo(f"written to {to}")


def export(
    called: Sweep,
    to: Annotated[Path, typer.Argument(help="A .csv, .parquet or .zip (everything) file.")],
    of: Annotated[
        Rows | None,
        typer.Option(help="Which rows to write (default reports)."),
    ] = None,
    url: Url = LOCAL,
    token: Token = None,
) -> None:
    """Write everything a sweep recorded to a file."""
    form = _form_of(to, {".csv": "csv", ".parquet": "parquet", ".zip": "bundle"})
    if of is not None and form == "bundle":
        raise typer.BadParameter(f"{to} gets everything; --of is for .csv and .parquet")
    with Client(url, token) as client:
        to.write_bytes(client.sweep(called).export(form, of or "reports"))
    typer.echo(f"written to {to}")


COMMANDS = (
    table,
    compare,
    effects,
    methods,
    speed,
    power,
    spec,
    verify,
    figure,
    trials,
    logs,
    weights,
    export,
)

# --- inside ---------------------------------------------------------------------------------------


def _show(
    found: dict[str, Any],
    form: str,
    *,
    text: Callable[[dict[str, Any]], str],
    csv: Callable[[dict[str, Any]], str],
) -> None:
    """Print an answer as `json`, or as `csv` or text by the function for it."""
    match form:
        case "json":
            typer.echo(json.dumps(found, ensure_ascii=False))
        case "csv":
            typer.echo(csv(found), nl=False)
        case _:
            typer.echo(text(found))


def _form_of(file: Path, forms: dict[str, str]) -> str:
    """The format that the file's extension asks for.

    Raises:
        typer.BadParameter: none of `forms`.
    """
    if file.suffix not in forms:
        raise typer.BadParameter(f"{file} ends in none of {', '.join(forms)}")
    return forms[file.suffix]
