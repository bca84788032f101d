"""Access control: a token whose role allows the method, or, if no token exists, this machine.

Every route of the REST API depends on `check`. The page's own files and `/healthz` are open to all,
because they hold nobody's data.
"""

import contextlib
import ipaddress
import math
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

from fastapi import Request
from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from service.api.context import DatabaseDep, SettingsDep
from service.choices import Role
from service.errors import Forbidden, TooMany, Unauthorized
from service.settings import Settings
from service.store import tokens
from service.store.models import Token
from service.store.session import Database

READING = {"GET", "HEAD"}
FORWARDED = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip")
"""Headers by which a proxy says that it forwards a request."""


@dataclass(frozen=True)
class Caller:
    """Who sent a request, from where, and their limits."""

    name: str
    """The token's name, or `this machine`."""
    address: str | None
    token_id: int | None
    max_sweep_trials: int
    max_queued_trials: int | None
    """None without tokens, when nothing is counted by caller."""
    role: Role
    """Without tokens, this machine may do everything."""

    @property
    def key(self) -> int:
        """The token's id, or 0 without one."""
        return self.token_id or 0

    @property
    def owner(self) -> str | None:
        """The owner of the sweeps that they submit."""
        return None if self.token_id is None else self.name


class Rates:
    """Counts each token's requests over the last minute, in this process."""

    def __init__(self) -> None:
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    def count(self, token_id: int, limit: int) -> None:
        """Count one more request.

        Raises:
            TooMany: the token has had `limit` in the last minute.
        """
        rate, key = RateLimitItemPerMinute(limit), str(token_id)
        if not self._limiter.hit(rate, key):
            free_at = self._limiter.get_window_stats(rate, key).reset_time
            wait = max(1, math.ceil(free_at - time.time()))
            raise TooMany(
                f"this token may ask {limit} times a minute; wait {wait} s", retry_after=wait
            )


class Uses:
    """Remembers which tokens were used, until the housekeeping notes it in the database: a request
    that only reads must not wait for those who write."""

    def __init__(self) -> None:
        self._ids: set[int] = set()

    def add(self, token_id: int) -> None:
        """Remember a use."""
        self._ids.add(token_id)

    def take(self) -> set[int]:
        """Return the tokens used since the last call, and forget them."""
        taken, self._ids = self._ids, set()
        return taken


def caller_of(request: Request) -> Caller:
    """The caller that `check` let through."""
    return request.state.caller  # type: ignore[no-any-return]


def check(request: Request, database: DatabaseDep, settings: SettingsDep) -> None:
    """Let the request through, or refuse it.

    Raises:
        Unauthorized: a token is needed, and no valid one was sent.
        Forbidden: the token's role is too low; or there are no tokens, and the request comes from
            another page, through a proxy, or under a name that is not this machine's.
        TooMany: the token has used up its requests of this minute.
    """
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    if secret and scheme.lower() == "bearer":
        request.state.caller = _by_token(request, database, settings, secret.strip())
        return
    with database.read() as session:
        closed = tokens.any_made(session)
    if closed or not is_loopback(settings.host):
        raise Unauthorized(
            "send `Authorization: Bearer TOKEN`; `lrd` reads it from LRD_TOKEN, and whoever runs "
            "the service makes one with `lrd token create`"
        )
    _from_this_machine(request)
    request.state.caller = Caller(
        "this machine", _address(request), None, settings.max_trials, None, Role.admin
    )


async def admin(request: Request) -> None:
    """Additional check for routes that show or change what belongs to everybody.

    Raises:
        Forbidden: the token's role is not admin.
    """
    role = caller_of(request).role
    if role != Role.admin:
        raise Forbidden(_too_low(role, Role.admin))


def refuse_others(request: Request, owner: str | None) -> None:
    """Additional check for routes that change or delete a sweep of `owner`.

    Raises:
        Forbidden: the sweep belongs to another token, and the caller's role is not admin.
    """
    if (why := why_not(caller_of(request), owner)) is not None:
        raise Forbidden(why)


def why_not(caller: Caller, owner: str | None) -> str | None:
    """Why the caller may not change a sweep of `owner`; None if they may."""
    if not caller.role.includes(Role.submitter):
        return _too_low(caller.role, Role.submitter)
    if caller.role == Role.admin or owner == caller.name:
        return None
    whose = "nobody's" if owner is None else f"{owner!r}'s"
    return (
        f"this sweep is {whose}, not {caller.name!r}'s: only its owner or an admin may change it, "
        "but anybody may clone it"
    )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server that listens at `host`."""
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    return host == "localhost"


def _by_token(request: Request, database: Database, settings: Settings, secret: str) -> Caller:
    with database.read() as session:
        token = tokens.find(session, secret)
    if token is None:
        raise Unauthorized("this token is unknown, has expired or was revoked")
    needed = Role.viewer if request.method in READING else Role.submitter
    if not Role(token.role).includes(needed):
        raise Forbidden(_too_low(Role(token.role), needed))
    request.app.state.rates.count(
        token.id, token.requests_per_minute or settings.requests_per_minute
    )
    request.app.state.uses.add(token.id)
    return _caller(request, settings, token)


def _too_low(role: Role, needed: Role) -> str:
    return f"this needs the role {needed}; this token's is {role}"


def _caller(request: Request, settings: Settings, token: Token) -> Caller:
    own = token.max_sweep_trials or settings.max_trials
    return Caller(
        name=token.name,
        address=_address(request),
        token_id=token.id,
        max_sweep_trials=min(own, settings.max_trials),
        max_queued_trials=token.max_queued_trials or settings.max_queued_trials,
        role=Role(token.role),
    )


def _address(request: Request) -> str | None:
    return None if request.client is None else request.client.host


def _from_this_machine(request: Request) -> None:
    """Refuse requests that reach this machine's service on behalf of somebody else.

    Pages shown in a browser on this machine can send them: directly (Origin), or under a name that
    they point at this machine (Host). So can anybody whom a proxy on this machine lets in.
    """
    host = request.headers.get("host", "")
    name = _name_in(host)
    if not is_loopback(name):
        raise Forbidden(
            f"without tokens the service answers to 127.0.0.1 and localhost, not {name!r}"
        )
    if any(each in request.headers for each in FORWARDED):
        raise Forbidden(
            "without tokens the service answers to its own machine alone, and a proxy asks for "
            "somebody else: make a token with `lrd token create`"
        )
    origin = request.headers.get("origin")
    if origin is not None and not origin.endswith(f"://{host}"):
        raise Forbidden("without tokens no other page may ask anything of the service")


def _name_in(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:  # e.g. half an IPv6 address
        return ""
