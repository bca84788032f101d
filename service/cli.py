"""`lrd`: serve, submit, watch, read; and run one trial here without any service."""

import logging
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from lrd_core.errors import InvalidSpec, LRDError
from service.client import Client

app = typer.Typer(help="Learning Rate Dropout experiments.", no_args_is_help=True)
db = typer.Typer(help="The database's schema.", no_args_is_help=True)
app.add_typer(db, name="db")
console = Console()

Url = Annotated[str, typer.Option("--url", envvar="LRD_URL", help="Address of the service.")]
LOCAL = "http://127.0.0.1:8000"


Host = Annotated[str | None, typer.Option(help="Address to listen on.")]
Port = Annotated[int | None, typer.Option(help="0 takes any free port.")]
StorageDir = Annotated[Path | None, typer.Option(help="Database, checkpoints, logs.")]


@app.command()
def serve(host: Host = None, port: Port = None, storage_dir: StorageDir = None) -> None:
    """Run API, dispatcher, SQLite and a local Ray on this machine, until Ctrl-C."""
    _serve(dispatch=True, host=host, port=port, storage_dir=storage_dir)


@app.command()
def api(host: Host = None, port: Port = None) -> None:
    """Run the API alone; `lrd dispatch` runs elsewhere on the same database."""
    _serve(dispatch=False, host=host, port=port)


@app.command()
def dispatch() -> None:
    """Run the dispatcher alone; a second one stands by until the first is gone."""
    os.execv(sys.executable, [sys.executable, "-m", "service.dispatch"])  # noqa: S606


@db.command("upgrade")
def db_upgrade() -> None:
    """Bring the database to the newest schema."""
    import migrations

    migrations.upgrade(_database().engine)


@db.command("check")
def db_check() -> None:
    """Exit 1 if the database is not at the newest schema."""
    from alembic.util import CommandError

    import migrations

    try:
        migrations.check(_database().engine)
    except CommandError as error:
        typer.echo(f"{error} Run `lrd db upgrade`.", err=True)
        raise typer.Exit(1) from None
    typer.echo("the database is at the newest schema")


def _database() -> Any:
    from service.settings import Settings
    from service.store.session import Database

    return Database(Settings().database)


def _serve(*, dispatch: bool, **chosen: Any) -> None:
    from service.serve import serve as run_service
    from service.settings import Settings

    _log_to_stderr()
    settings = Settings(**{name: value for name, value in chosen.items() if value is not None})
    run_service(settings, dispatch=dispatch)


@app.command()
def submit(file: Path, watch: bool = False, url: Url = LOCAL) -> None:
    """Submit the sweep in FILE (YAML or JSON); with --watch follow it to its table."""
    with Client(url) as client:
        sweep = client.submit(file.read_text())
        console.print(f"sweep {sweep['id']}: {sweep['trials_total']} trials")
        if watch:
            follow(client, sweep["id"])
            typer.echo(client.table(sweep["id"]))


@app.command("ls")
def list_sweeps(url: Url = LOCAL) -> None:
    """All sweeps, newest first."""
    with Client(url) as client:
        for sweep in client.sweeps():
            _line(sweep)


@app.command()
def status(sweep_id: str, url: Url = LOCAL) -> None:
    """One sweep, and what went wrong in it."""
    with Client(url) as client:
        _line(client.sweep(sweep_id))
        for trial in client.trials(sweep_id):
            if trial["state"] == "failed":
                typer.echo(f"  trial {trial['id']} {trial['reason']}: {trial['message']}")


@app.command()
def watch(sweep_id: str, url: Url = LOCAL) -> None:
    """Follow a sweep to its end, then print its table."""
    with Client(url) as client:
        follow(client, sweep_id)
        typer.echo(client.table(sweep_id))


@app.command()
def table(sweep_id: str, form: str = "markdown", url: Url = LOCAL) -> None:
    """A sweep's table: markdown, csv or latex."""
    with Client(url) as client:
        typer.echo(client.table(sweep_id, form))


@app.command()
def cancel(sweep_id: str, url: Url = LOCAL) -> None:
    """End a sweep."""
    with Client(url) as client:
        _line(client.cancel(sweep_id))


@app.command()
def run(file: Path, json: Annotated[bool, typer.Option("--json")] = False) -> None:
    """Run the one trial in FILE here, without a service."""
    from lrd_core.__main__ import run_file

    for report in run_file(file):
        typer.echo(_report_line(report, json))


def follow(client: Client, sweep_id: str) -> dict[str, Any]:
    """Show a progress bar until the sweep has ended; the sweep then."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[words]}"))
    with Progress(*columns, TimeRemainingColumn(), console=console) as progress:
        bar = progress.add_task("trials", total=None, words="")
        for sweep in client.watch(sweep_id):
            counts = sweep["trials"]
            done = counts["succeeded"] + counts["failed"] + counts["cancelled"]
            words = f"{done}/{sweep['trials_total']} done, {counts['running']} running"
            progress.update(bar, total=sweep["trials_total"], completed=done, words=words)
    return sweep


def _report_line(report: Any, as_json: bool) -> str:
    import json

    flat = report.to_json()
    if as_json:
        return json.dumps(flat)
    return "  ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in flat.items()
    )


def _line(sweep: dict[str, Any]) -> None:
    counts = sweep["trials"]
    done = counts["succeeded"] + counts["failed"] + counts["cancelled"]
    typer.echo(
        f"{sweep['id']}  {sweep['state']:<9}  {done}/{sweep['trials_total']}  {sweep['name']}"
    )


def _log_to_stderr() -> None:
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )


def main() -> None:
    """Entry point: errors are sentences, one line a fault."""
    try:
        app()
    except (InvalidSpec, LRDError, OSError) as error:
        typer.echo(str(error), err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
