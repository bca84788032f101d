"""What every route needs: the database, the settings, the parsed body, pages and their tokens."""

import asyncio
import base64
import json
import math
from typing import Annotated, Any

from fastapi import Depends, Path, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.dependencies.utils import get_flat_params
from fastapi.params import Query as QueryParameter
from fastapi.responses import JSONResponse

from lrd_core.documents import parse_json, parse_yaml
from lrd_core.errors import Fault
from lrd_core.faults import MAX_FAULTS, pointer
from lrd_core.spelling import did_you_mean
from lrd_core.texts import Text
from service.errors import TooLarge, TooSlow, Unprocessable, UnsupportedMedia
from service.settings import Settings
from service.store.session import Database

LARGE_BODY = 20_000
"""Bytes above which a body is parsed in a thread: a megabyte of YAML takes seconds, in which this
process would answer nobody."""
YAML_TYPES = {"application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml"}


# Cheap dependencies are `async`: FastAPI runs all others in a thread.


async def _database(request: Request) -> Database:
    return request.app.state.database  # type: ignore[no-any-return]


async def settings_of(request: Request) -> Settings:
    """The application's settings."""
    return request.app.state.settings  # type: ignore[no-any-return]


DatabaseDep = Annotated[Database, Depends(_database)]
SettingsDep = Annotated[Settings, Depends(settings_of)]


async def known_parameters(request: Request) -> None:
    """Refuse query parameters that the route does not have: with `metrc`, the answer would be about
    a different metric than the one asked for.

    Raises:
        Unprocessable: with each of them.
    """
    if not request.query_params:
        return
    known = _query_of(request)
    others = f"; one of {', '.join(known)}" if known else "; there is none here"
    faults = tuple(
        Fault(
            pointer(["query", name]),
            f"unknown parameter{did_you_mean(name, known) or others}",
        )
        for name in dict.fromkeys(request.query_params)
        if name not in known
    )
    if faults:
        raise Unprocessable("a parameter is not valid", faults[:MAX_FAULTS])


async def read_body(request: Request, limit: int, seconds: float) -> bytes:
    """Read the body, at most `limit` bytes within `seconds`.

    Raises:
        TooLarge: it is larger.
        TooSlow: it is not complete by then.
    """
    content = bytearray()
    try:
        async with asyncio.timeout(seconds):
            async for chunk in request.stream():
                content += chunk
                if len(content) > limit:
                    raise TooLarge(f"the body is larger than {limit} bytes")
    except TimeoutError:
        raise TooSlow(f"the body was not complete after {seconds:g} s") from None
    return bytes(content)


async def body(request: Request, settings: SettingsDep) -> bytes:
    """The whole body.

    Raises:
        TooLarge: it is larger than `LRD_MAX_BODY_BYTES`.
        TooSlow: it is not complete within `LRD_BODY_SECONDS`.
    """
    return await read_body(request, settings.max_body_bytes, settings.body_seconds)


BodyDep = Annotated[bytes, Depends(body)]


def refuse_unread(request: Request, content: bytes) -> None:
    """Refuse a body of a route that takes none: what it asks for would not be done. `{}`, which
    some clients send with any request, asks for nothing.

    Raises:
        Unprocessable: says where the route's parameters go.
    """
    takes_one = "requestBody" in (request.scope["route"].openapi_extra or {})
    if takes_one or content.strip() in (b"", b"{}"):
        return
    where = " and ".join(f"?{name}=…" for name in _query_of(request))
    hint = f"its parameters go into the address: {where}" if where else "send it without one"
    raise Unprocessable(f"{request.method} {request.url.path} takes no body; {hint}")


def media_type(request: Request, unsaid: str = "") -> str:
    """The media type of the body, lower case and without parameters; by default `unsaid`."""
    return request.headers.get("content-type", unsaid).split(";")[0].strip().lower()


async def document(request: Request, body: BodyDep) -> Any:
    """The body as plain data, from JSON or YAML.

    Raises:
        UnsupportedMedia: its `Content-Type` is something else.
        InvalidSpec: it cannot be parsed.
    """
    kind = media_type(request, "application/json")
    if kind != "application/json" and kind not in YAML_TYPES:
        raise UnsupportedMedia(f"send application/json or application/yaml, not {kind}")
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise Unprocessable(
            f"the body is not UTF-8: {error.reason} at byte {error.start}"
        ) from None
    parse = parse_yaml if kind in YAML_TYPES else parse_json
    return await run_in_threadpool(parse, text) if len(body) > LARGE_BODY else parse(text)


async def optional_document(request: Request, body: BodyDep) -> Any:
    """The body as `document` reads it, or an empty object if there is none."""
    return await document(request, body) if body else {}


DocumentDep = Annotated[Any, Depends(document)]
OptionalDocumentDep = Annotated[Any, Depends(optional_document)]

SweepId = Annotated[Text, Path(max_length=100, examples=["8w2kq0v5d3m1"])]
"""`Text`, because PostgreSQL takes no NUL and UTF-8 no lone surrogate."""
TrialId = Annotated[int, Path(ge=1, le=2**63 - 1)]
PageSize = Annotated[int, Query(ge=1, le=1000)]
PageToken = Annotated[str | None, Query(max_length=500)]


def page_of(items: list[dict[str, Any]], size: int, key: str = "id") -> JSONResponse:
    """A page of rows ordered by `key`; `items` holds one more than `size` if there are more."""
    more = len(items) > size
    items = items[:size]
    token = encode_token([items[-1][key]]) if more else None
    # Encoded here: FastAPI would first walk through all of it.
    return JSONResponse({"items": items, "next_page_token": token})


def encode_token(key: list[Any]) -> str:
    """An opaque page token."""
    return base64.urlsafe_b64encode(json.dumps(key).encode()).decode()


def decode_token(token: str, *kinds: type[int | float | str]) -> list[Any]:
    """Inverse of `encode_token`, for a key of these types.

    Raises:
        Unprocessable: it is not a token that this service gave.
    """
    try:
        key = parse_json(base64.urlsafe_b64decode(token.encode()).decode())
    except ValueError:
        key = None
    if (
        isinstance(key, list)
        and len(key) == len(kinds)
        and all(type(part) is kind for part, kind in zip(key, kinds, strict=True))
        and all(_storable(part) for part in key)
    ):
        return key
    raise Unprocessable("page_token is not one that this service gave")


def cursor_of(page_token: str | None) -> int | None:
    """The id in a token of `page_of`; None for the first page.

    Raises:
        Unprocessable: it is not a token that this service gave.
    """
    return None if not page_token else int(decode_token(page_token, int)[0])


def _query_of(request: Request) -> list[str]:
    """The names of the route's query parameters."""
    fields = get_flat_params(request.scope["route"].dependant)
    return sorted(each.alias for each in fields if isinstance(each.field_info, QueryParameter))


def _storable(part: int | float | str) -> bool:
    """Whether a database accepts it."""
    if isinstance(part, str):
        return part.isprintable()
    return math.isfinite(part) and abs(part) < 2**63
