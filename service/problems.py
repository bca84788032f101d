"""Errors as RFC 9457 problems: `application/problem+json`, with a type documented at `/errors`."""

import html
import inspect
import logging
import re
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from fastapi.routing import iter_route_contexts
from starlette.exceptions import HTTPException

from lrd_core.errors import Fault, InvalidSpec, first_line
from lrd_core.faults import sentence_of
from service import errors, pages
from service.errors import ServiceError, Unauthorized, Unavailable, Unprocessable
from service.formatting import count
from service.store.away import AWAY, NoConnection

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
PAGE = "/errors"
_HEAD = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Errors · Learning Rate Dropout</title>
<link rel="icon" href="web/icon.svg">
<link rel="stylesheet" href="web/page.css">
<script src="web/theme.js"></script>
"""


_AT = "should be last, best or epoch:N, e.g. epoch:10"


def _is_at(error: Any) -> bool:
    """Whether the error concerns where the metric is read, which has a pattern."""
    return bool(error["type"] == "string_pattern_mismatch" and error["loc"][-1] == "at")


def problem_of(error: ServiceError) -> JSONResponse:
    """The answer that reports this error."""
    answer = _problem(type(error), str(error), error.faults)
    if isinstance(error, Unauthorized):
        answer.headers["WWW-Authenticate"] = "Bearer"
    if error.retry_after is not None:
        answer.headers["Retry-After"] = str(error.retry_after)
    return answer


def mount(app: FastAPI) -> None:
    """Answer every error of the application with a problem."""

    @app.exception_handler(ServiceError)
    def refused(_: Request, error: ServiceError) -> JSONResponse:
        return problem_of(error)

    @app.exception_handler(InvalidSpec)
    def invalid(_: Request, error: InvalidSpec) -> JSONResponse:
        detail = f"the spec has {count(len(error.faults), 'fault')}; nothing was stored"
        return _problem(errors.WrongSpec, detail, tuple(error.faults))

    @app.exception_handler(RequestValidationError)
    def wrong_parameter(_: Request, error: RequestValidationError) -> JSONResponse:
        faults = tuple(
            Fault(
                "/".join(["", *map(str, each["loc"])]), _AT if _is_at(each) else sentence_of(each)
            )
            for each in error.errors()
        )
        return _problem(Unprocessable, "a parameter is not valid", faults)

    @app.exception_handler(HTTPException)
    def http_error(request: Request, error: HTTPException) -> Response:
        if error.status_code == 404 and (page := pages.missing(request)):
            return page
        kind = {404: errors.NotFound, 405: errors.WrongMethod}.get(error.status_code)
        if kind is None:
            return _problem(Unprocessable, error.detail, status=error.status_code)
        where = f"{request.method} {request.url.path}"
        answer = _problem(kind, f"there is no {where}; GET /docs shows what there is")
        if kind is errors.WrongMethod:
            answer.headers["Allow"] = ", ".join(_allowed(request))
        return answer

    def database_away(_: Request, error: Exception) -> JSONResponse:
        log.error("the database does not answer: %s", first_line(error))
        why = "the database does not answer at present"
        if isinstance(error, NoConnection):
            why = "the service is busy: no connection to its database came free"
        return problem_of(Unavailable(f"{why}; try again in a few seconds", retry_after=5))

    for kind in AWAY:
        app.add_exception_handler(kind, database_away)

    @app.get(PAGE, include_in_schema=False)
    def page() -> HTMLResponse:
        return HTMLResponse(_page(), headers=pages.HEADERS)


def kinds() -> list[type[ServiceError]]:
    """Every type of problem, ordered by status."""
    found: list[type[ServiceError]] = [ServiceError, *ServiceError.__subclasses__()]
    return sorted(found, key=lambda kind: (kind.status, kind.type))


def explanation(kind: type[ServiceError]) -> str:
    """The type's documentation: the docstring of its class."""
    return " ".join(inspect.cleandoc(kind.__doc__ or "").split())


def _allowed(request: Request) -> list[str]:
    """All methods of the address; Starlette names those of only one of its routes."""
    found = iter_route_contexts(request.app.routes)
    fitting = [each for each in found if each.path_regex.match(request.url.path)]
    methods = {method for each in fitting for method in each.methods or ()}
    return sorted(methods | ({"HEAD"} if "GET" in methods else set()))  # `Front` answers it


def _page() -> str:
    rows = "".join(
        f"<dt id='{kind.type}'><strong>{kind.status} {html.escape(kind.title)}</strong> "
        f"<code>{kind.type}</code></dt><dd>{_marked(explanation(kind))}</dd>"
        for kind in kinds()
    )
    return _HEAD + f"<main><h1>Errors</h1><dl>{rows}</dl></main></html>"


def _marked(text: str) -> str:
    """HTML of a text that has code in backticks."""
    return re.sub("`([^`]+)`", r"<code>\1</code>", html.escape(text))


def _problem(
    kind: type[ServiceError],
    detail: str,
    faults: tuple[Fault, ...] = (),
    *,
    status: int | None = None,
) -> JSONResponse:
    content = {
        "type": f"{PAGE}#{kind.type}",
        "title": kind.title,
        "status": status or kind.status,
        "detail": _sendable(detail),
        "errors": [
            {"pointer": _sendable(fault.pointer), "detail": _sendable(fault.detail)}
            for fault in faults
        ],
    }
    return JSONResponse(content, status_code=status or kind.status, media_type=MEDIA_TYPE)


def _sendable(text: str) -> str:
    """The text without lone surrogates, which the request may contain and JSON in UTF-8 cannot."""
    return text.encode(errors="replace").decode()
