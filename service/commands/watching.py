"""`lrd watch`: a progress bar, why a sweep stands still, and how it ended."""

import sys
from typing import Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from service.client import Client, SubmittedSweep
from service.commands import output
from service.formatting import NO_DISPATCHER
from service.lifecycle import ENDED

console = Console()
_bars = Console(stderr=True)  # stdout carries only the table, to be redirected


def watch(sweep: SubmittedSweep) -> None:
    """Follow a sweep until it ends and print its table; exit 1, with the reasons, if a trial has no
    result."""
    trials = follow(sweep)["trials"]
    typer.echo(sweep.table_text())
    if trials["failed"]:
        typer.echo(output.failures(sweep.failures(), trials["failed"], sweep.id), err=True)
    if trials["cancelled"]:
        typer.echo(output.cancelled(trials["cancelled"], sweep.id), err=True)
    if trials["failed"] or trials["cancelled"]:
        raise typer.Exit(1)


def follow(sweep: SubmittedSweep) -> dict[str, Any]:
    """Show a progress bar until the sweep has ended, and each reason why it stands still, both on
    stderr; return the sweep as it ended."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[words]}"))
    unseen = not sys.stderr.isatty()  # a bar in a log is a line of junk
    with Progress(*columns, TimeRemainingColumn(), console=_bars, disable=unseen) as progress:
        bar, told = progress.add_task("trials", total=None, words=""), None
        for view in sweep.watch():
            why = still(sweep.client, view)
            if why not in (None, told):
                sys.stderr.write(f"{why}\n")  # rich keeps it clear of the bar
            told, done = why, output.finished(view)
            said = f"{view['state']}: {done}/{view['trials_total']} done, "
            said += f"{view['trials']['running']} running"
            progress.update(bar, total=view["trials_total"], completed=done, words=said)
    return view


def still(client: Client, view: dict[str, Any]) -> str | None:
    """Why no trial of a sweep starts, if something prevents it."""
    if view["state"] in ENDED:
        return None
    if view["paused_at"] is not None:
        return output.paused(view["id"], view["paused_because"])
    if not view["trials"]["running"] and (nobody := undispatched(client)):
        return nobody  # the service notes it in the sweep itself only seconds later
    return output.waiting(view) if view["waiting_for"] else None


def undispatched(client: Client) -> str | None:
    """The sentence that no dispatcher leads, if none does."""
    return NO_DISPATCHER if client.cluster()["dispatcher"] is None else None
