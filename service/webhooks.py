"""Send the outbox's messages: signed, retried after growing pauses, and to public addresses only.

A name is resolved once, all of its addresses are checked, and the connection goes to one of those
very addresses. So a name that resolves differently after the check changes nothing.
"""

import asyncio
import hashlib
import hmac
import ipaddress
import json
import logging
import socket
import threading
import time
from collections.abc import Collection
from urllib.parse import urlsplit

import httpx2

from service.api.views import sweep_view
from service.formatting import rfc3339
from service.store import webhooks
from service.store.session import Database
from service.store.webhooks import Due
from service.versions import VERSION

log = logging.getLogger(__name__)

TRIES = 8
FIRST_PAUSE = 10.0
"""Seconds. Each pause is four times the last, so the eighth try comes 15 hours after the first."""
AT_ONCE = 10
"""Messages per step; between steps the sender can be stopped."""
TIMEOUT = 10.0
"""Seconds for one message, from the connection to the head of the answer."""
NAT64 = ipaddress.ip_network("64:ff9b::/96")
"""IPv4 addresses as written in an IPv6-only network (RFC 6052)."""
GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")


class NotAllowed(Exception):
    """Nothing may be sent to this address; the text says why."""


class Sender:
    """Sends messages for one process; several may work on one database."""

    def __init__(self, database: Database, *, private: bool) -> None:
        """`private`: whether addresses of this machine and its network are allowed."""
        self._database, self._private = database, private
        self._closed = threading.Event()

    def close(self) -> None:
        """Stop after the present message; another process, or the next one, continues."""
        self._closed.set()

    def step(self) -> int:
        """Send the messages that are due, up to `AT_ONCE`; the number of tries.

        Each is claimed only when its turn comes, so that a slow receiver delays no message that
        another sender could send. If one does not arrive, the others of its webhook wait for the
        next step: each might take its whole time limit, and delay all other webhooks.
        """
        sent, failing = 0, set[int]()
        while sent < AT_ONCE and not self._closed.is_set():
            if (due := self._next(failing)) is None:
                break
            error = self._send(due)
            with self._database.write() as session:
                if error is None:
                    webhooks.delivered(session, due)
                else:
                    webhooks.failed(session, due, error, pause_after(due.tries))
                    failing.add(due.webhook_id)
            sent += 1
        return sent

    def _next(self, passed_over: Collection[int]) -> Due | None:
        with self._database.read() as session:
            if not webhooks.any_due(session, passed_over):
                return None
        with self._database.write() as session:
            return webhooks.claim(session, passed_over)

    def _send(self, due: Due) -> str | None:
        """Send a message; None, or why it did not arrive."""
        body = message(due)
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"learning-rate-dropout/{VERSION}",
            "LRD-Event": due.event,
            "LRD-Delivery": str(due.id),
            "LRD-Signature": signature(due.secret, body),
        }
        try:
            post(due.url, body, headers, private=self._private)
        except (httpx2.HTTPError, NotAllowed, OSError, UnicodeError) as error:
            sentence = str(error) or type(error).__name__
            log.warning("webhook delivery %d, try %d: %s", due.id, due.tries, sentence)
            return sentence[:500]
        return None


def message(due: Due) -> bytes:
    """The body: the event, and the sweep as it is now."""
    content = {
        "id": due.id,
        "event": due.event,
        "created_at": rfc3339(due.created_at),
        "sent_at": rfc3339(time.time()),
        "sweep": sweep_view(due.sweep),
    }
    return json.dumps(content).encode()


def signature(secret: str, body: bytes) -> str:
    """`sha256=` and the HMAC of the body, in hexadecimal digits."""
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def pause_after(tries: int) -> float | None:
    """Seconds until the next try; None to give up."""
    return None if tries >= TRIES else FIRST_PAUSE * 4.0 ** (tries - 1)


def post(url: str, body: bytes, headers: dict[str, str], *, private: bool) -> None:
    """POST to `url`, without following redirects or reading the body of the answer.

    Raises:
        NotAllowed: the address is not allowed, does not answer in time, or answers with a status
            other than 2xx.
        httpx2.HTTPError: it cannot be reached.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    address = _allowed(host, parts.port or (443 if parts.scheme == "https" else 80), private)
    pinned = httpx2.URL(url).copy_with(host=address)
    headers = headers | {"Host": parts.netloc}
    extensions = {"sni_hostname": host}  # the certificate is for the name, not the address

    async def status() -> int:
        # Asynchronous for the sake of one deadline: httpx's own restart with each byte received.
        async with (
            asyncio.timeout(TIMEOUT),
            httpx2.AsyncClient(timeout=TIMEOUT, follow_redirects=False, trust_env=False) as client,
            client.stream(
                "POST", pinned, content=body, headers=headers, extensions=extensions
            ) as answer,
        ):
            return int(answer.status_code)

    try:
        found = asyncio.run(status())
    except TimeoutError:
        raise NotAllowed(f"{host} has not answered within {TIMEOUT:g} s") from None
    if not 200 <= found < 300:
        raise NotAllowed(f"{host} answers {found}")


def refuse_private(url: str, *, private: bool) -> None:
    """Refuse a new webhook to a private address, unless `private` allows all.

    Raises:
        NotAllowed: the URL has an address instead of a name, and it is private.
    """
    if private:
        return
    host = urlsplit(url).hostname or ""
    try:
        public = _is_public(host)
    except ValueError:  # a name, which is resolved at each sending
        return
    if not public:
        raise NotAllowed(_sentence(host, host))


def _allowed(host: str, port: int, private: bool) -> str:
    """One of the addresses of `host`, after checking that all are allowed."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = [str(each[4][0]) for each in found]
    if not private:
        for address in addresses:
            if not _is_public(address):
                raise NotAllowed(_sentence(host, address))
    return addresses[0]


def _is_public(address: str) -> bool:
    parsed = ipaddress.ip_address(address.split("%")[0])
    if isinstance(parsed, ipaddress.IPv6Address):
        inner = parsed.ipv4_mapped
        if parsed in NAT64:
            inner = ipaddress.IPv4Address(parsed.packed[-4:])
        if inner is None:
            tunnel = parsed.sixtofour or parsed.teredo  # to an IPv4 address, which may be private
            return parsed in GLOBAL_UNICAST and parsed.is_global and not tunnel
        parsed = inner
    return parsed.is_global and not parsed.is_multicast


def _sentence(host: str, address: str) -> str:
    of = "" if host == address else f"{host} is at "
    return (
        f"{of}{address}, which is no public address; LRD_WEBHOOK_PRIVATE=true allows those of this "
        "machine and its network"
    )
