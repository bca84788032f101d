"""`lrd watch`: a bar until the sweep has ended, why it stands still meanwhile, and how it ended."""

import sys
from typing import Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from service import words
from service.client import DONE, Client, SubmittedSweep
from service.lifecycle import TERMINAL
from service.wording import NO_DISPATCHER

console = Console()
_bars = Console(stderr=True)  # stdout has the table alone, for who keeps it in a file


def watch(sweep: SubmittedSweep) -> None:
    """Follow a sweep to its end and print its table; exit 1, with the reasons, where a trial has no
    result."""
    trials = follow(sweep)["trials"]
    typer.echo(sweep.table_text())
    if trials["failed"]:
        typer.echo(words.failures(sweep.failures(), sweep.id), err=True)
    if trials["cancelled"]:
        typer.echo(words.cancelled(trials["cancelled"], sweep.id), err=True)
    if trials["failed"] or trials["cancelled"]:
        raise typer.Exit(1)


def follow(sweep: SubmittedSweep) -> dict[str, Any]:
    """Show a progress bar until the sweep has ended, and once why it stands still, both on stderr;
    the sweep then."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[words]}"))
    unseen = not sys.stderr.isatty()  # a bar in a log is a line of junk
    with Progress(*columns, TimeRemainingColumn(), console=_bars, disable=unseen) as progress:
        bar, told = progress.add_task("trials", total=None, words=""), None
        for view in sweep.watch():
            why = still(sweep.client, view)
            if why not in (None, told):
                sys.stderr.write(f"{why}\n")  # rich keeps it clear of the bar
            told, done = why, finished(view)
            said = f"{view['state']}: {done}/{view['trials_total']} done, "
            said += f"{view['trials']['running']} running"
            progress.update(bar, total=view["trials_total"], completed=done, words=said)
    return view


def still(client: Client, view: dict[str, Any]) -> str | None:
    """Why no trial of a sweep starts, if anything keeps them."""
    if view["state"] in DONE:
        return None
    if view["paused_at"] is not None:
        return words.paused(view["id"])
    if not view["trials"]["running"] and (nobody := undispatched(client)):
        return nobody  # the service itself notes it in the sweep after some seconds only
    return words.waiting(view) if view["waiting_for"] else None


def undispatched(client: Client) -> str | None:
    """That nobody starts any trial, where that is so."""
    return NO_DISPATCHER if client.cluster()["dispatcher"] is None else None


def finished(sweep: dict[str, Any]) -> int:
    """How many of its trials have ended."""
    return sum(int(sweep["trials"][state]) for state in TERMINAL)
