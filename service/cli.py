"""`lrd`: serve, submit, watch and read; and run one trial locally, without a service."""

import os
import sys
from importlib.util import find_spec
from pathlib import Path
from textwrap import indent
from typing import Annotated, Any

from lrd_core.documents import parse_yaml, read
from lrd_core.errors import LRDError
from lrd_core.overrides import changed_sweep

try:
    import typer

    from service import logs
    from service.client import Client, Written
    from service.client.connection import LOCAL
    from service.commands import output, readout, single, steering, upkeep, watching
    from service.commands.arguments import (
        Plan,
        StorageDir,
        Sweep,
        Token,
        Url,
        assignments,
        seeds_of,
    )
    from service.commands.output import SHOWN
    from service.formatting import count, trouble
    from service.lifecycle import ENDED, SweepState
except ModuleNotFoundError as missing:  # installed without the extras, for the optimizer alone
    sys.exit(
        f"lrd needs {missing.name}, which is not installed: install learning-rate-dropout with its "
        "extra `service`, and `compute` too where trials run"
    )

app = typer.Typer(no_args_is_help=True)
for name, commands in (
    ("db", upkeep.db),
    ("data", upkeep.data),
    ("token", upkeep.token),
    ("webhook", upkeep.webhook),
):
    app.add_typer(commands, name=name)
app.command("audit")(upkeep.audit_log)


def _say_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(version("learning-rate-dropout"))
        raise typer.Exit


@app.callback()
def lrd(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_say_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Learning Rate Dropout experiments."""


Host = Annotated[str | None, typer.Option(help="Address to listen on.")]
Port = Annotated[int | None, typer.Option(help="Port to listen on; 0 picks a free one.")]


@app.command()
def serve(host: Host = None, port: Port = None, storage_dir: StorageDir = None) -> None:
    """Run the API, the dispatcher, SQLite and a local Ray on this machine until Ctrl-C."""
    _serve(dispatch=True, host=host, port=port, storage_dir=storage_dir)


@app.command()
def api(host: Host = None, port: Port = None) -> None:
    """Run only the API; `lrd dispatch` runs elsewhere on the same database."""
    _serve(dispatch=False, host=host, port=port)


@app.command()
def dispatch() -> None:
    """Run only the dispatcher; a second one stands by until the first is gone."""
    os.execv(sys.executable, [sys.executable, "-m", "service.dispatch"])  # noqa: S606


def _serve(*, dispatch: bool, **chosen: Any) -> None:
    from service.serve import serve as run_service
    from service.settings import Settings

    if dispatch and find_spec("ray") is None:
        raise LRDError(
            "ray is not installed, so no trial can run here: install the extra `compute`, or start "
            "`lrd api` here and `lrd dispatch` where it is"
        )
    logs.to_stderr()
    settings = Settings(**{name: value for name, value in chosen.items() if value is not None})
    run_service(settings, dispatch=dispatch)


Changes = Annotated[
    list[str] | None,
    typer.Option(
        "--set", help="PATH=VALUE to change in the sweep, e.g. base.epochs=2; repeatable."
    ),
]
Seeds = Annotated[
    str | None,
    typer.Option(
        help="N for the seeds 0 … N − 1, or a list such as 5,6,7; replaces the sweep's own."
    ),
]
Watch = Annotated[
    bool,
    typer.Option(
        "--watch",
        help="Follow it until it ends and print its table; exit 1 if trials failed or were "
        "cancelled.",
    ),
]


@app.command()
def submit(
    file: Annotated[
        Path | None, typer.Argument(help="A sweep in YAML or JSON; - reads standard input.")
    ] = None,
    preset: Annotated[str | None, typer.Option(help="A preset listed by `lrd presets`.")] = None,
    changes: Changes = None,
    seeds: Seeds = None,
    plan: Plan = False,
    watch: Watch = False,
    url: Url = LOCAL,
    token: Token = None,
) -> None:
    """Submit the sweep in FILE (- for standard input) or a preset, with changes if any."""
    if (file is None) == (preset is None):
        raise typer.BadParameter("name a FILE (- for standard input) or a --preset, one of the two")
    wanted, own_seeds = assignments(changes), seeds_of(seeds)
    spec: Written = {"preset": preset, "set": wanted, "seeds": own_seeds}
    if file is not None:
        spec = read(file)  # sent verbatim, so that faults are located in what the user wrote
        if wanted or own_seeds is not None:
            spec = changed_sweep(parse_yaml(spec), wanted, own_seeds)
    with Client(url, token) as client:
        _submit(client, spec, plan, watch)


@app.command()
def clone(
    called: Sweep,
    changes: Changes = None,
    seeds: Seeds = None,
    name: Annotated[str | None, typer.Option(help="Name of the new sweep.")] = None,
    plan: Plan = False,
    watch: Watch = False,
    url: Url = LOCAL,
    token: Token = None,
) -> None:
    """Submit a copy of a sweep, with changes if any."""
    wanted = assignments(changes) | ({} if name is None else {"name": name})
    own_seeds = seeds_of(seeds)
    with Client(url, token) as client:
        spec = client.sweep(called).status()["spec"]
        _submit(client, changed_sweep(spec, wanted, own_seeds), plan, watch)


@app.command()
def presets(name: Annotated[str | None, typer.Argument()] = None) -> None:
    """List the paper's tables and figures as sweeps; with NAME, print that sweep file."""
    from lrd_core import presets as files  # the same files that the service has

    if name is not None:
        typer.echo(files.text(name), nl=False)
        return
    for each in files.names():
        typer.echo(f"{each:<18} {files.description(each)}")


@app.command("ls")
def list_sweeps(
    state: Annotated[SweepState | None, typer.Option(help="Only those in this state.")] = None,
    search: Annotated[
        str | None,
        typer.Option(help="Only those with this in their name, or at the start of it in their id."),
    ] = None,
    tag: Annotated[str | None, typer.Option(help="Only those with this tag.")] = None,
    url: Url = LOCAL,
    token: Token = None,
) -> None:
    """List all sweeps, newest first: id, time submitted (UTC), state, trials that have ended, how
    many failed or were cancelled, name."""
    with Client(url, token) as client:
        found = client.sweeps(state=state, search=search, tag=tag)
        for sweep in found:
            typer.echo(output.sweep(sweep, since=f"{sweep['created_at'][:16].replace('T', ' ')}  "))
    if not found:
        none = "no sweeps yet: `lrd submit` creates one"
        typer.echo("no sweep is like that" if state or search or tag else none, err=True)


@app.command()
def status(called: Sweep, url: Url = LOCAL, token: Token = None) -> None:
    """Show a sweep: its progress, what failed, what is retried and what its trials wait for."""
    with Client(url, token) as client:
        sweep = client.sweep(called)
        view = sweep.status()
        typer.echo(output.sweep(view))
        if why := watching.still(client, view):
            typer.echo(f"  {why}")
        if running := view["trials"]["running"]:
            typer.echo(f"  {output.progress(running, sweep.list_trials('running', SHOWN))}")
        if failed := view["trials"]["failed"]:
            typer.echo(indent(output.failures(sweep.failures(), failed, sweep.id), "  "))
        for number, trial in enumerate([] if view["state"] in ENDED else sweep.tried_again()):
            # A running trial no longer has its message; its attempts do.
            runs = trial["state"] == "running" and number < SHOWN
            typer.echo(f"  {output.again(trial, client.attempts(trial['id']) if runs else [])}")


@app.command()
def watch(called: Sweep, url: Url = LOCAL, token: Token = None) -> None:
    """Follow a sweep until it ends and print its table; exit 1, with the reasons, if trials failed
    or were cancelled."""
    with Client(url, token) as client:
        watching.watch(client.sweep(called))


for command in (*readout.COMMANDS, *single.COMMANDS):
    app.command()(command)
for called, change in steering.COMMANDS.items():
    app.command(called)(change)


@app.command("import")
def import_bundle(bundle: Path, url: Url = LOCAL, token: Token = None) -> None:
    """Import a bundle that another service exported."""
    with Client(url, token) as client:
        typer.echo(output.sweep(client.import_bundle(bundle.read_bytes()).status()))


def _submit(client: Client, spec: Written, plan: bool, watch: bool) -> None:
    nobody = watching.undispatched(client)
    if plan:
        typer.echo("\n".join(filter(None, [output.plan(client.plan(spec)), nobody])))
        return
    sweep = client.submit(spec)
    watching.console.print(f"sweep {sweep.id}: {count(sweep.trials_total, 'trial')}")
    if watch:
        watching.watch(sweep)
    elif nobody:
        typer.echo(nobody, err=True)


def main() -> None:
    """Run the command; errors are printed as sentences, one line per fault."""
    try:
        app()
    except (LRDError, OSError) as error:
        typer.echo(trouble(error), err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
