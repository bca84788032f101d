"""`lrd db`, `data`, `token`, `webhook`, `audit`: commands that act on this machine directly."""

import contextlib
import getpass
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lrd_core.errors import LRDError
from service.choices import Role
from service.commands.arguments import StorageDir

if TYPE_CHECKING:
    from service.settings import Settings

db = typer.Typer(help="The database's schema.", no_args_is_help=True)
data = typer.Typer(help="The data sets on this node.", no_args_is_help=True)
token = typer.Typer(help="Tokens: who may use the service.", no_args_is_help=True)

webhook = typer.Typer(
    help="Webhooks: who is notified when a sweep has ended.", no_args_is_help=True
)


@db.command("upgrade")
def db_upgrade(storage_dir: StorageDir = None) -> None:
    """Upgrade the database to the newest schema."""
    import migrations

    with _database(storage_dir, new=True) as database:
        migrations.upgrade(database.engine)


@db.command("check")
def db_check(storage_dir: StorageDir = None) -> None:
    """Exit 1 if the database is not at the newest schema."""
    from alembic.util import CommandError

    import migrations

    try:
        with _database(storage_dir) as database:
            migrations.check(database.engine)
    except CommandError as error:
        typer.echo(f"{error} Run `lrd db upgrade`.", err=True)
        raise typer.Exit(1) from None
    typer.echo("the database is at the newest schema")


@db.command("copy")
def db_copy(
    source: Annotated[
        str, typer.Argument(help="SQLAlchemy URL of the database, or a SQLite file.")
    ],
    storage_dir: StorageDir = None,
) -> None:
    """Copy everything in the database SOURCE into the empty database at LRD_DATABASE_URL, or else
    in the storage directory."""
    import migrations
    from service.store import copying
    from service.store.session import Database

    url = source if "://" in source else f"sqlite:///{source}"
    if file := _missing(url):
        raise LRDError(f"there is no database at {file}")
    with contextlib.closing(Database(url)) as theirs, _database(storage_dir, new=True) as ours:
        with theirs.read() as session:
            copying.refuse_led(session)  # before anything in it is changed
        for each in (theirs, ours):
            migrations.upgrade(each.engine)
        counts = copying.copy(theirs, ours)
    for table, count in counts.items():
        typer.echo(f"{table:<15} {count:>12,}")
    typer.echo(
        f"copied; the trials' folders are now expected in {_settings(storage_dir).trials}", err=True
    )


DataDir = Annotated[
    Path | None,
    typer.Option(help="Directory of the data sets; by default LRD_DATA_DIR, or ~/.cache/lrd."),
]


@data.command("ls")
def data_ls(data_dir: DataDir = None) -> None:
    """List the data sets, where they are, and what is missing from them."""
    from lrd_core.datasets import catalogue

    for each in catalogue.listing(data_dir):
        typer.echo(f"{each.name:<17} {each.detail}\n{'':<17} {each.where}")


@data.command("fetch")
def data_fetch(names: list[str], data_dir: DataDir = None) -> None:
    """Download what is missing of the data sets NAMES; one process per node at a time."""
    from lrd_core.datasets import catalogue

    for name in names:
        found = catalogue.fetch(name, data_dir)
        typer.echo(f"{found.name}: {found.where} ({found.detail})")


_LIMIT = "By default the limit in the service's settings."


@token.command("create")
def token_create(
    name: Annotated[str, typer.Argument(help="Whose token it is, or what it is for.")],
    role: Role = Role.submitter,
    expires_days: Annotated[
        float | None, typer.Option(min=0.001, help="Days until it expires; by default never.")
    ] = None,
    requests_per_minute: Annotated[int | None, typer.Option(min=1, help=_LIMIT)] = None,
    max_queued_trials: Annotated[int | None, typer.Option(min=1, help=_LIMIT)] = None,
    max_sweep_trials: Annotated[int | None, typer.Option(min=1, help=_LIMIT)] = None,
    storage_dir: StorageDir = None,
) -> None:
    """Create a token and show it, this once. From then on the service answers only to tokens, until
    the last one is revoked with `--open`."""
    from service.store import audit, tokens

    limits = {
        "requests_per_minute": requests_per_minute,
        "max_queued_trials": max_queued_trials,
        "max_sweep_trials": max_sweep_trials,
    }
    with _database(storage_dir) as database, database.write() as session:
        made, secret = tokens.create(session, name, role, expires_days, **limits)
        number = made.id
        audit.note(session, _who(), "token create", f"token {number} of {name}, {role}")
    typer.echo(secret)
    typer.echo(f"token {number} of {name}: export it as LRD_TOKEN; it is not shown again", err=True)


@token.command("ls")
def token_ls(storage_dir: StorageDir = None) -> None:
    """List every token, without its secret."""
    from service.formatting import rfc3339
    from service.store import tokens

    with _database(storage_dir) as database, database.read() as session:
        found = tokens.listing(session)
        for each in found:
            state = (
                f"revoked {rfc3339(each.revoked_at)}"
                if each.revoked_at
                else (f"expires {rfc3339(each.expires_at)}" if each.expires_at else "for ever")
            )
            used = f"last used {rfc3339(each.last_used_at)}" if each.last_used_at else "never used"
            typer.echo(f"{each.id:>4}  {each.role:<9}  {each.name}  ({state}, {used})")
    if not found:
        typer.echo(
            "no tokens yet, so only this machine is answered: `lrd token create` makes one",
            err=True,
        )


@token.command("revoke")
def token_revoke(
    token_id: int,
    reopen: Annotated[
        bool,
        typer.Option(
            "--open",
            help="Revoke even the last one; the service then answers its own machine without one.",
        ),
    ] = False,
    storage_dir: StorageDir = None,
) -> None:
    """Revoke a token, at once; the last one only with `--open`."""
    from service.errors import ServiceError
    from service.store import audit, tokens

    try:
        with _database(storage_dir) as database, database.write() as session:
            last = tokens.keeps_closed(session, token_id)
            if last and not reopen:
                raise LRDError(
                    f"token {token_id} is the last one: without it the service answers "
                    "everybody on its machine. Create another first (`lrd token create`), or use "
                    f"`lrd token revoke {token_id} --open`"
                )
            name = tokens.revoke(session, token_id).name
            audit.note(session, _who(), "token revoke", f"token {token_id} of {name}")
    except ServiceError as error:
        raise LRDError(str(error)) from None
    typer.echo(f"token {token_id} of {name} is revoked")
    if last:
        typer.echo("no token is left: the service answers this machine without one", err=True)


@webhook.command("add")
def webhook_add(url: str, storage_dir: StorageDir = None) -> None:
    """Notify URL of every sweep that ends; show the secret that signs the messages, this once."""
    from lrd_core.faults import parsed
    from service.api.schemas.sent import WebhookRequest
    from service.store import audit, webhooks
    from service.webhooks import NotAllowed, refuse_private

    url = parsed(WebhookRequest, {"url": url}).url
    try:
        refuse_private(url, private=_settings(storage_dir).webhook_private)
    except NotAllowed as error:
        raise LRDError(str(error)) from None
    with _database(storage_dir) as database, database.write() as session:
        made = webhooks.add(session, url)
        number, secret = made.id, made.secret
        audit.note(session, _who(), "webhook add", f"webhook {number}: {url}")
    typer.echo(secret)
    typer.echo(f"webhook {number} signs with this secret; it is not shown again", err=True)


@webhook.command("ls")
def webhook_ls(storage_dir: StorageDir = None) -> None:
    """List every webhook, with its last delivery."""
    from service.store import webhooks

    with _database(storage_dir) as database, database.read() as session:
        found = webhooks.listing(session)
        for each in found:
            last = webhooks.deliveries(session, each.id, None, 1)
            words = "nothing yet" if not last else (last[0].error or f"{last[0].event} arrived")
            typer.echo(f"{each.id:>4}  {each.url}  (last: {words})")
    if not found:
        typer.echo("no webhooks yet: `lrd webhook add` makes one", err=True)


@webhook.command("rm")
def webhook_rm(webhook_id: int, storage_dir: StorageDir = None) -> None:
    """Remove a webhook; it is notified no more."""
    from service.errors import ServiceError
    from service.store import audit, webhooks

    try:
        with _database(storage_dir) as database, database.write() as session:
            url = webhooks.remove(session, webhook_id).url
            audit.note(session, _who(), "webhook rm", f"webhook {webhook_id}: {url}")
    except ServiceError as error:
        raise LRDError(str(error)) from None
    typer.echo(f"webhook {webhook_id}, {url}, is gone")


def audit_log(
    limit: Annotated[int, typer.Option(min=1, help="How many of the newest entries.")] = 50,
    storage_dir: StorageDir = None,
) -> None:
    """Show who changed what, the newest last."""
    from service.formatting import rfc3339
    from service.store import audit

    with _database(storage_dir) as database, database.read() as session:
        for each in reversed(audit.page(session, None, limit)):
            where = f" from {each.address}" if each.address else ""
            typer.echo(f"{rfc3339(each.at)}  {each.name}{where}: {each.action} {each.target}")


def _who() -> str:
    """Whose shell this is, for the audit log."""
    return f"{getpass.getuser()} on {socket.gethostname()}"


def _missing(url: str) -> str | None:
    """The SQLite file of `url` if it is missing: opening it would create an empty one."""
    from service.store.address import address

    file = address(url).database if url.startswith("sqlite") else None
    if file is None or file.startswith("file:"):  # a SQLite URI says itself what may be created
        return None
    return None if Path(file).is_file() else file


def _settings(storage_dir: Path | None) -> "Settings":
    from service.settings import Settings

    return Settings() if storage_dir is None else Settings(storage_dir=storage_dir)


@contextlib.contextmanager
def _database(storage_dir: Path | None, *, new: bool = False) -> Iterator[Any]:
    """The service's database; a missing SQLite file is created only if it may be `new`."""
    from service.store.away import in_words
    from service.store.session import Database

    url = _settings(storage_dir).database
    if not new and (file := _missing(url)):
        raise LRDError(
            f"there is no database at {file}: name the service's own with --storage-dir (or "
            "LRD_STORAGE_DIR, or LRD_DATABASE_URL); for a new service, `lrd db upgrade` creates one"
        )
    with contextlib.closing(Database(url)) as database, in_words():
        yield database
