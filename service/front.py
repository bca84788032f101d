"""Middleware in front of every route: request id, version header, HEAD, counts and times."""

import logging
import secrets
import time

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service import versions
from service.errors import ServiceError
from service.metrics import Metrics
from service.problems import problem_of

log = logging.getLogger(__name__)

REQUEST_ID = "X-Request-ID"


class Front:
    """ASGI middleware; only the server's own is further out."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, request_id = time.perf_counter(), secrets.token_hex(8)
        status, begun = 500, False
        scope.setdefault("state", {})["request_id"] = request_id
        # RFC 9110, 9.1: every resource supports HEAD, which is GET without the body.
        headless, asked = scope["method"] == "HEAD", dict(scope)
        if headless:
            asked["method"] = "GET"

        async def marked(message: Message) -> None:
            nonlocal status, begun
            if message["type"] == "http.response.start":
                status, begun = message["status"], True
                headers = MutableHeaders(scope=message)
                headers[versions.HEADER] = versions.VERSION
                headers[REQUEST_ID] = request_id
                headers["X-Content-Type-Options"] = "nosniff"
            elif headless and message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        try:
            versions.check(Headers(scope=scope).get(versions.HEADER))
            await self._app(asked, receive, marked)
        except ServiceError as error:
            await problem_of(error)(asked, receive, marked)
        except Exception:  # unforeseen: the log has the error, the answer has its number
            log.exception("request %s, %s %s, failed", request_id, scope["method"], scope["path"])
            if begun:
                raise
            sentence = f"the service failed; its log has request {request_id}"
            await problem_of(ServiceError(sentence))(asked, receive, marked)
        finally:
            asked["method"] = scope["method"]
            self._metrics.answered(asked, status, time.perf_counter() - started)
