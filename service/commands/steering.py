"""Commands of `lrd` that change what was submitted: pause, cancel, retry, extend, set, delete."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from lrd_core.documents import parse_yaml, read
from lrd_core.errors import LRDError
from lrd_core.extending import Extension
from service.client import Client
from service.client.connection import LOCAL
from service.commands import output
from service.commands.arguments import (
    OneSweep,
    Plan,
    Sweep,
    Token,
    Url,
    assignments,
    one_of,
    seeds_of,
)

Trials = Annotated[
    list[int] | None,
    typer.Option(
        "--trial", min=1, help="Only this trial; `lrd trials SWEEP` lists the ids; repeatable."
    ),
]


def pause(called: Sweep, url: Url = LOCAL, token: Token = None) -> None:
    """Start no more trials; running ones save their state and wait."""
    with Client(url, token) as client:
        _show(client.sweep(called).pause())


def resume(called: Sweep, url: Url = LOCAL, token: Token = None) -> None:
    """Continue a paused sweep."""
    with Client(url, token) as client:
        _show(client.sweep(called).resume())


def cancel(
    called: OneSweep = None, trials: Trials = None, url: Url = LOCAL, token: Token = None
) -> None:
    """Cancel a sweep, or single trials: `lrd cancel --trial 7 --trial 9`."""
    with Client(url, token) as client:
        if (sweep := one_of(called, trials)) is not None:
            _show(client.sweep(sweep).cancel())
        for trial in trials or []:
            typer.echo(output.trial(client.cancel_trial(trial), None))


def delete(
    sweep_ids: Annotated[list[str], typer.Argument(metavar="SWEEP...", help="Complete ids.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
    url: Url = LOCAL,
    token: Token = None,
) -> None:
    """Delete sweeps that have ended, with their results, checkpoints and logs, for good."""
    with Client(url, token) as client:
        found = [client.sweep(each, exactly=True) for each in dict.fromkeys(sweep_ids)]
        for sweep in found:
            _show(sweep.status())
        if not yes:
            _ask(output.deletion(len(found), sum(sweep.trials_total for sweep in found)))
        for sweep in found:
            sweep.delete()
            typer.echo(f"{sweep.id}  deleted")


def retry(
    called: OneSweep = None,
    cancelled: Annotated[
        bool, typer.Option("--cancelled", help="Also retry cancelled trials.")
    ] = False,
    trials: Trials = None,
    url: Url = LOCAL,
    token: Token = None,
) -> None:
    """Retry what failed, or single trials (`--trial 7`); diverged trials are findings and stay."""
    with Client(url, token) as client:
        if (sweep := one_of(called, trials)) is not None:
            _show(view := client.sweep(sweep).retry(cancelled=cancelled))
            if view["paused_at"] is not None:  # then nothing runs yet
                typer.echo(f"  {output.paused(view['id'], view['paused_because'])}")
        for trial in trials or []:
            typer.echo(output.trial(client.retry_trial(trial), None))


def extend(
    called: Sweep,
    file: Annotated[
        Path | None,
        typer.Argument(help="`seeds`, `grid` and `arms` to add, as YAML or JSON; - reads stdin."),
    ] = None,
    seeds: Annotated[
        str | None,
        typer.Option(
            help="N adds the seeds 0 … N − 1, a list such as 5,6,7 adds those; trials that the "
            "sweep already has stay, and do not run again."
        ),
    ] = None,
    grid: Annotated[
        list[str] | None, typer.Option(help="PATH=[VALUES] to add to an axis; repeatable.")
    ] = None,
    plan: Plan = False,
    url: Url = LOCAL,
    token: Token = None,
) -> None:
    """Add seeds, values of an axis or, with a FILE, explicit arms; only the missing trials run."""
    more: dict[str, Any] = {"grid": assignments(grid)}
    if seeds is not None:
        more["seeds"] = seeds_of(seeds)
    if (more == {"grid": {}}) == (file is None):
        raise typer.BadParameter(
            "say what to add to the sweep: either a FILE, or --seeds N (0 … N − 1) or a list such "
            "as 5,6,7, --grid PATH=[VALUES], or both"
        )
    if file is not None:
        more = parse_yaml(read(file))
        Extension.parse(more)  # so that it is an object of these fields
    with Client(url, token) as client:
        sweep = client.sweep(called)
        if plan:
            typer.echo(output.extension(sweep.plan_extension(**more)))
            return
        view = sweep.extend(**more)
        typer.echo(output.extended(view["trials_total"] - sweep.trials_total))
        _show(view)


def set_values(
    called: Sweep,
    changes: Annotated[
        list[str],
        typer.Argument(help="PATH=VALUE, e.g. priority=5, 'tags=[ablation]', table.rows=arm."),
    ],
    url: Url = LOCAL,
    token: Token = None,
) -> None:
    """Change what no result depends on, even while the sweep runs: name, tags, notes, priority,
    max_concurrent, max_failures, table, expected; null restores the default. Clones inherit it."""
    given = assignments(changes)
    layout = {
        path.removeprefix("table."): given.pop(path)
        for path in [*given]
        if path.startswith("table.")
    }
    if layout:
        given["table"] = layout
    with Client(url, token) as client:
        _show(view := client.sweep(called).change(**given))
        typer.echo(output.changeable(view))


COMMANDS: dict[str, Callable[..., None]] = {
    "pause": pause,
    "resume": resume,
    "cancel": cancel,
    "retry": retry,
    "extend": extend,
    "set": set_values,
    "delete": delete,
}
"""By their names on the command line."""

# --- inside ---------------------------------------------------------------------------------------


def _ask(question: str) -> None:
    if not sys.stdin.isatty():
        raise LRDError(f"{question} Nobody can answer here, so nothing was deleted: add --yes")
    typer.confirm(question, abort=True)


def _show(sweep: dict[str, Any]) -> None:
    typer.echo(output.sweep(sweep))
