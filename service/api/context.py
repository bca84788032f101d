"""What every route needs: the database, the settings, the parsed body, page tokens, times."""

import asyncio
import base64
import hashlib
import json
import math
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Path, Query, Request, Response
from fastapi.dependencies.utils import get_flat_params
from fastapi.params import Query as QueryParameter
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError

from lrd_core.documents import parse_json, parse_yaml
from lrd_core.errors import Fault, InvalidSpec
from lrd_core.faults import MAX_FAULTS, fault_of, pointer
from lrd_core.spelling import did_you_mean
from lrd_core.texts import Text
from service.api.known import knows
from service.errors import TooLarge, TooSlow, Unprocessable, UnsupportedMedia
from service.settings import Settings
from service.store.models import Sweep
from service.store.session import Database

YAML_TYPES = {"application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml"}


# What costs nothing is `async`: FastAPI hands all other functions to a thread.


async def _database(request: Request) -> Database:
    return request.app.state.database  # type: ignore[no-any-return]


async def settings_of(request: Request) -> Settings:
    """The application's settings."""
    return request.app.state.settings  # type: ignore[no-any-return]


DatabaseDep = Annotated[Database, Depends(_database)]
SettingsDep = Annotated[Settings, Depends(settings_of)]


async def known_parameters(request: Request) -> None:
    """A query parameter that the route does not have is a slip: `metrc` would be answered with
    another metric than was asked for.

    Raises:
        Unprocessable: with each of them.
    """
    if not request.query_params:
        return
    fields = get_flat_params(request.scope["route"].dependant)
    known = sorted(each.alias for each in fields if isinstance(each.field_info, QueryParameter))
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
    """The body, read no further than `limit` bytes, and for `seconds` at most.

    Raises:
        TooLarge: it is larger.
        TooSlow: it is not whole by then.
    """
    content = bytearray()
    try:
        async with asyncio.timeout(seconds):
            async for chunk in request.stream():
                content += chunk
                if len(content) > limit:
                    raise TooLarge(f"the body is larger than {limit} bytes")
    except TimeoutError:
        raise TooSlow(f"the body was not whole after {seconds:g} s") from None
    return bytes(content)


async def body(request: Request, settings: SettingsDep) -> bytes:
    """The whole body.

    Raises:
        TooLarge: it is larger than `LRD_MAX_BODY_BYTES`.
        TooSlow: it is not whole within `LRD_BODY_SECONDS`.
    """
    return await read_body(request, settings.max_body_bytes, settings.body_seconds)


BodyDep = Annotated[bytes, Depends(body)]


def media_type(request: Request, unsaid: str = "") -> str:
    """That of the body, without its parameters and in small letters; `unsaid` where none is."""
    return request.headers.get("content-type", unsaid).split(";")[0].strip().lower()


async def document(request: Request, body: BodyDep) -> Any:
    """The body as plain data, from JSON or YAML.

    Raises:
        UnsupportedMedia: it says that it is something else.
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
    return parse_yaml(text) if kind in YAML_TYPES else parse_json(text)


async def optional_document(request: Request, body: BodyDep) -> Any:
    """The body as `document` reads it, or an empty object where there is none."""
    return await document(request, body) if body else {}


M = TypeVar("M", bound=BaseModel)


def valid(model: type[M], document: Any) -> M:
    """The body as `model`.

    Raises:
        InvalidSpec: with each fault and its JSON pointer.
    """
    try:
        return model.model_validate(document)
    except ValidationError as error:
        details = error.errors(include_url=False)[:MAX_FAULTS]
        raise InvalidSpec([fault_of(detail, document, model) for detail in details]) from None


DocumentDep = Annotated[Any, Depends(document)]
OptionalDocumentDep = Annotated[Any, Depends(optional_document)]

SweepId = Annotated[Text, Path(max_length=100, examples=["8w2kq0v5d3m1"])]
"""Text: PostgreSQL takes no NUL, UTF-8 no lone surrogate."""
TrialId = Annotated[int, Path(ge=1, le=2**63 - 1)]
PageSize = Annotated[int, Query(ge=1, le=1000)]
PageToken = Annotated[str | None, Query(max_length=500)]


def page_of(items: list[dict[str, Any]], size: int, key: str = "id") -> JSONResponse:
    """A page of rows that go by `key`; `items` holds one more than asked for if there are more."""
    more = len(items) > size
    items = items[:size]
    token = encode_token([items[-1][key]]) if more else None
    # Encoded at once: FastAPI would walk through all of it first.
    return JSONResponse({"items": items, "next_page_token": token})


class Tagged(APIRoute):
    """A route whose answers carry an `ETag` of their content where they have none of their own.

    For what has no version to go by: the rows are read, and what is equal is not sent again.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The route, with the tag about it."""
        inside = super().get_route_handler()

        async def tagged(request: Request) -> Response:
            answer = await inside(request)
            if request.method != "GET" or answer.status_code != 200 or "etag" in answer.headers:
                return answer
            tag = f'"{hashlib.sha256(answer.body).hexdigest()[:32]}"'
            if knows(request, tag):
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


def _storable(part: int | float | str) -> bool:
    """Whether a database takes it."""
    if isinstance(part, str):
        return part.isprintable()
    return math.isfinite(part) and abs(part) < 2**63
