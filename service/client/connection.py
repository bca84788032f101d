"""How a request reaches the service: retries under one Idempotency-Key, and errors as sentences.

LRDError
├── NoAnswer           nothing answers at the address, or not in time
└── ServiceAnswered    the service refused or failed; carries status, type and faults

A sweep with faults is `InvalidSpec`, as everywhere.
"""

import logging
import random
import re
import time
import uuid
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any, Literal

import httpx2

from lrd_core.errors import Fault, InvalidSpec, LRDError

log = logging.getLogger(__name__)

TRANSIENT = {502, 503, 504}
_ONLY_WHERE_SAID = {409, 429}
"""Retried only with a `Retry-After`: the key's first request is still in progress, or the minute's
requests are used up. Without it, e.g. with too many queued trials, the wait may be hours."""
FIRST_WAIT, LONGEST_WAIT = 0.25, 8.0
"""Seconds before the second try, doubled with each further one up to the longest."""
NOTICED = 3.0
"""A longer wait, in seconds, is logged, so that nobody wonders why nothing happens. Without a
configuration of its own, Python writes that to standard error."""
SOON, LATE = 60.0, 900.0
"""Seconds until an answer must begin. Most are ready at once; a large sweep can take minutes."""
_LATE = re.compile(
    r"/import|/sweeps/[^/]+/(?:export|table|arms|comparisons|effects|methods|speed|power|curves|figures/.+"
    r"|plots/.+)"
)
LOCAL = "http://127.0.0.1:8000"
"""Where `lrd serve` listens by default."""
_LOST = (httpx2.TimeoutException, httpx2.NetworkError, httpx2.RemoteProtocolError)

Method = Literal["GET", "POST", "PATCH", "DELETE"]


class NoAnswer(LRDError):
    """Nothing answers at the address, or not in time."""


class ServiceAnswered(LRDError):
    """The service refused or failed; the message is its own."""

    def __init__(
        self, message: str, status: int, kind: str = "", faults: tuple[Fault, ...] = ()
    ) -> None:
        super().__init__("\n".join([message, *map(str, faults)]))
        self.status = status
        """HTTP status."""
        self.type = kind
        """Its type in the service's `/errors`, e.g. `conflict`; empty if it was not the service
        that answered."""
        self.faults = faults


class Connection:
    """Sends requests to one service and retries them; whoever opens it must close it.

    Raises:
        LRDError: `url` is invalid or does not begin with http:// or https://, or `token` cannot be
            a token.
    """

    def __init__(
        self,
        url: str,
        token: str | None,
        patience: float,
        transport: httpx2.BaseTransport | None,
    ) -> None:
        if not url.lower().startswith(("http://", "https://")):
            address = url.rpartition("://")[2].lstrip("/") or LOCAL.rpartition("/")[2]
            raise LRDError(
                f"the service's URL {url!r} begins with neither http:// nor https://: write "
                f"http://{address}"
            )
        headers = {"LRD-Version": version("learning-rate-dropout")}
        if token and not re.fullmatch("[!-~]+", token):
            raise LRDError(
                "the token (LRD_TOKEN, or --token) holds a character that no token has, such as a "
                "space or an accent: copy it as `lrd token create` showed it"
            )
        if token:
            headers["Authorization"] = f"Bearer {token}"
        try:
            base = httpx2.URL(url.rstrip("/") + "/api/v1")
        except httpx2.InvalidURL as error:
            raise LRDError(f"{url!r} is no URL of a service: {error}") from None
        self._http = httpx2.Client(
            base_url=base, timeout=SOON, headers=headers, transport=transport
        )
        self._patience, self._answered = patience, False

    def close(self) -> None:
        """Close the sockets."""
        self._http.close()

    def json(self, method: Method, path: str, **request: Any) -> dict[str, Any]:
        """The answer to a request, as a JSON object."""
        return self.parsed(self.request(method, path, **request))

    def items(self, path: str, **question: Any) -> Iterator[dict[str, Any]]:
        """Every item of a list, page after page."""
        token: str | None = None
        while True:
            page = self.json("GET", path, params=given(question | {"page_token": token}))
            yield from page["items"]
            token = page["next_page_token"]
            if token is None:
                return

    def request(self, method: Method, path: str, **request: Any) -> httpx2.Response:
        """The answer, possibly a 304; a request that is lost is sent again, and carried out once.

        Args:
            method: all except GET carry an Idempotency-Key.
            path: below `/api/v1`.
            request: as for `httpx2.Client.request`.

        Raises:
            InvalidSpec: the body is a sweep with faults.
            NoAnswer: there was no answer until patience ran out; or at once, if there never was
                one.
            ServiceAnswered: the service refuses, or kept failing until patience ran out.
        """
        if method != "GET":
            headers = {"Idempotency-Key": str(uuid.uuid4())}
            request["headers"] = headers | request.get("headers", {})
        deadline, wait = time.monotonic() + self._patience, FIRST_WAIT
        while True:
            try:
                return self._send_once(method, path, request)
            except _Retry as failed:
                # Random, so that clients that lost the service together do not all return at once.
                pause = max(failed.pause, wait * random.uniform(0.5, 1))  # noqa: S311
                if time.monotonic() + pause > deadline:
                    raise failed.error from None
                if pause > NOTICED:
                    log.warning("%s (trying again in %.0f s)", failed.error, pause)
            time.sleep(pause)
            wait = min(2 * wait, LONGEST_WAIT)

    def _send_once(self, method: Method, path: str, request: dict[str, Any]) -> httpx2.Response:
        """The answer.

        Raises:
            _Retry: there is none, or a passing error; the request may be sent again.
            LRDError: sending it again does not help.
        """
        seconds = LATE if _LATE.fullmatch(path) else SOON
        timeout = httpx2.Timeout(SOON, read=seconds)
        try:
            answer = self._http.request(method, path, timeout=timeout, **request)
        except httpx2.ReadTimeout:
            sentence = (
                f"the service at {self._http.base_url} did not answer {method} {path} within "
                f"{seconds:g} s: it is busy, or still at work on it; ask again later"
            )
            raise _Retry(NoAnswer(sentence)) from None
        except (httpx2.TransportError, httpx2.InvalidURL) as error:
            sentence = (
                f"no service answers at {self._http.base_url} ({error}): is `lrd serve` up, and "
                "does it listen there? `--url` or LRD_URL names another address"
            )
            # An address that never answered is more often wrong than that of a restarting service.
            nobody = isinstance(error, httpx2.ConnectError) and not self._answered
            final = nobody or not isinstance(error, _LOST)
            raise (NoAnswer(sentence) if final else _Retry(NoAnswer(sentence))) from None
        self._answered = True
        if answer.is_success or answer.status_code == 304:
            return answer
        pause, refusal = _pause(answer), self._refusal(answer)
        raise refusal if pause is None else _Retry(refusal, pause)

    def _refusal(self, answer: httpx2.Response) -> LRDError:
        try:
            problem = answer.json()
            faults = tuple(Fault(each["pointer"], each["detail"]) for each in problem["errors"])
            kind, detail = problem["type"].rpartition("#")[2], problem["detail"]
        except (ValueError, TypeError, KeyError, AttributeError):
            return self._stranger(answer)
        if kind == "invalid-spec":
            return InvalidSpec(list(faults))
        return ServiceAnswered(detail, answer.status_code, kind, faults)

    def parsed(self, answer: httpx2.Response) -> dict[str, Any]:
        """The object in the answer.

        Raises:
            ServiceAnswered: there is none, so something else listens at the address.
        """
        try:
            content = answer.json()
        except ValueError:
            content = None
        if not isinstance(content, dict):
            raise self._stranger(answer)
        return content

    def _stranger(self, answer: httpx2.Response) -> ServiceAnswered:
        kind = answer.headers.get("content-type", "no content type")
        return ServiceAnswered(
            f"{answer.request.url} answered {answer.status_code} {answer.reason_phrase} with "
            f"{kind}, which the service never does: is the address right, or does a proxy stand "
            "between?",
            answer.status_code,
        )


class _Retry(Exception):
    """A failure after which a request may be sent again, when at least `pause` seconds have
    passed; `error` is what the caller is told if it is not."""

    def __init__(self, error: LRDError, pause: float = 0.0) -> None:
        super().__init__(str(error))
        self.error, self.pause = error, pause


def given(question: dict[str, Any]) -> dict[str, Any]:
    """`question` without the parameters that are None."""
    return {name: value for name, value in question.items() if value is not None}


def _pause(answer: httpx2.Response) -> float | None:
    """The least seconds before the request may be sent again; None if waiting does not help."""
    after = answer.headers.get("retry-after", "")
    if re.fullmatch(r"\d{1,6}", after):
        return float(after) if answer.status_code in {*TRANSIENT, *_ONLY_WHERE_SAID} else None
    return 0.0 if answer.status_code in TRANSIENT else None
