"""Who may ask: a token with the role that the method needs; or, with no token made, this machine.

Every route of the REST API depends on `check`. The page's own files and `/healthz` are for all:
they hold nothing of anybody's.
"""

import contextlib
import ipaddress
import time
from urllib.parse import urlsplit

from fastapi import Request
from sqlalchemy.exc import OperationalError

from service.api.context import DatabaseDep, SettingsDep
from service.errors import Forbidden, Unauthorized
from service.store import tokens
from service.store.session import Database
from service.store.tokens import Role

READING = {"GET", "HEAD"}


def check(request: Request, database: DatabaseDep, settings: SettingsDep) -> None:
    """Let the request through, or not.

    Raises:
        Unauthorized: a token is needed, and none that counts was sent.
        Forbidden: the token's role is too low; or there are no tokens, and the request comes from
            a page or under a name that is not this machine's.
    """
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    if secret and scheme.lower() == "bearer":
        _by_token(request, database, secret.strip())
        return
    with database.read() as session:
        closed = tokens.any_made(session)
    if closed or not is_loopback(settings.host):
        raise Unauthorized(
            "send `Authorization: Bearer TOKEN`; `lrd` reads it from LRD_TOKEN, and whoever runs "
            "the service makes one with `lrd token create`"
        )
    _from_this_machine(request)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens at `host`."""
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    return host == "localhost"


def _by_token(request: Request, database: Database, secret: str) -> None:
    with database.read() as session:
        token = tokens.find(session, secret)
    if token is None:
        raise Unauthorized("this token is unknown, has expired or was revoked")
    needed = Role.viewer if request.method in READING else Role.submitter
    if not Role(token.role).includes(needed):
        raise Forbidden(f"{request.method} needs the role {needed}; this token's is {token.role}")
    request.state.owner = token.name
    if token.last_used_at is None or time.time() - token.last_used_at > 60:
        with contextlib.suppress(OperationalError), database.write() as session:
            tokens.used(session, token.id)  # a note; a database that is busy may go without


def _from_this_machine(request: Request) -> None:
    """Other machines do not reach the service, but the pages that a browser here shows would: by
    their own requests (Origin), or under a name that they let point here (Host)."""
    host = request.headers.get("host", "")
    name = _name_in(host)
    if not is_loopback(name):
        raise Forbidden(
            f"without tokens the service answers to 127.0.0.1 and localhost, not {name!r}"
        )
    origin = request.headers.get("origin")
    if origin is not None and not origin.endswith(f"://{host}"):
        raise Forbidden("without tokens no other page may ask anything of the service")


def _name_in(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:  # e.g. half an IPv6 address
        return ""
