"""Conditional requests: entity tags, `If-None-Match` and `If-Match` (RFC 9110, section 13.1)."""

import hashlib
import re
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from service.store.models import Sweep

_TAGS = re.compile(r'(W/)?("[^"]*")')  # a tag may contain commas


def matches_if_none_match(request: Request, tag: str) -> bool:
    """Whether the reader already has the answer with this tag; `*` matches any.

    Weak tags match too: a proxy that compresses answers makes their tags weak.
    """
    given = ",".join(request.headers.getlist("if-none-match"))
    return given.strip() == "*" or tag in (each for _, each in _TAGS.findall(given))


def passes_if_match(request: Request, tag: str) -> bool:
    """Whether a change is meant for what has this tag: `If-Match` is absent, names it, or is `*`.

    Weak tags never match, because what they stand for may differ.
    """
    lines = request.headers.getlist("if-match")
    given = ",".join(lines)
    return not lines or given.strip() == "*" or ("", tag) in _TAGS.findall(given)


class Tagged(APIRoute):
    """A route that adds an `ETag` of the content to answers without one, and answers 304.

    For answers without a version: the rows are read, but equal content is not sent again.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler, with the tag added."""
        inside = super().get_route_handler()

        async def tagged(request: Request) -> Response:
            answer = await inside(request)
            if request.method != "GET" or answer.status_code != 200 or "etag" in answer.headers:
                return answer
            tag = f'"{hashlib.sha256(answer.body).hexdigest()[:32]}"'
            if matches_if_none_match(request, tag):
                return unchanged(tag)
            answer.headers["ETag"] = tag
            return answer

        return tagged


def etag_of(sweep: Sweep) -> str:
    """Changes with everything that a reader of the sweep, its trials or its results can see."""
    return f'"{sweep.version}"'


def unchanged(tag: str) -> Response:
    """304: the reader has it already."""
    return Response(status_code=304, headers={"ETag": tag})
