"""The OpenAPI document: the requests and answers of each route that FastAPI cannot see.

Answers are plain data, made without a model because validating them again would cost more than
making them. Bodies are read as JSON or YAML. So `gives` and `takes` declare both. The examples of
answers are real: `python -m tests.examples` records them.
"""

import json
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, Header, Response
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from lrd_core import presets
from lrd_core.changing import Changes
from lrd_core.extending import Extension
from lrd_core.spec import SweepSpec
from service import versions
from service.api.schemas.parts import Problem
from service.api.schemas.sent import Clone, FromPreset, WebhookRequest
from service.api.schemas.sweeps import Sweep

_COMPONENT = "#/components/schemas/{model}"
_SENT: list[type[BaseModel]] = [
    SweepSpec,
    Extension,
    FromPreset,
    Changes,
    Clone,
    WebhookRequest,
]

EXAMPLES: dict[str, Any] = json.loads(Path(__file__).with_name("examples.json").read_text()) | {
    "SweepSpec": presets.load("digits"),
    "Changes": {"priority": 10, "tags": ["camera-ready"], "table": {"rows": "arm"}},
    "Extension": {"seeds": 5, "grid": {"optimizer.keep_prob": [0.7]}},
    "Problem": {
        "type": "/errors#invalid-spec",
        "title": "The sweep is not valid",
        "status": 422,
        "detail": "the spec has 1 fault; nothing was stored",
        "errors": [
            {
                "pointer": "/base/optimizer/keep_prob",
                "detail": "should be less than or equal to 1, got 1.5",
            }
        ],
    },
}

PROBLEMS: dict[int | str, dict[str, Any]] = {
    code: {
        "description": words,
        "content": {
            "application/problem+json": {"schema": {"$ref": _COMPONENT.format(model="Problem")}}
        },
    }
    for code, words in {
        400: "The client is too old or too new",
        401: "A token is needed",
        403: "Not allowed",
        404: "Not found",
        408: "The body did not come in time",
        409: "The present state forbids it",
        412: "The sweep is not as `If-Match` says",
        413: "The body is too large",
        415: "The body is of another kind",
        422: "The request or the sweep is not valid",
        429: "A limit of the token is reached",
        500: "The service failed",
        503: "The database does not answer",
    }.items()
}


_ETAG = {
    "ETag": {
        "description": "the sweep's version, for `If-Match` and `If-None-Match`; an answer that is "
        "repeated for its `Idempotency-Key` has none",
        "schema": {"type": "string"},
    }
}


async def declared(
    lrd_version: Annotated[
        str | None,
        Header(
            alias=versions.HEADER,
            description="version of the client, which is refused if it does not fit the service",
            examples=[versions.VERSION],
            pattern=r"^\d{1,6}\.\d{1,6}(\D.*)?$",
        ),
    ] = None,
) -> None:
    """Declare the header that `front` reads, for the document."""


def gives(
    model: type[BaseModel],
    status: int = 200,
    *,
    also: tuple[str, ...] = (),
    plan: type[BaseModel] | None = None,
) -> dict[str, Any]:
    """Declare that a route answers with `model`, and `also` in other media types.

    `plan`: its answer, with 200, if nothing should be stored.
    """
    answers: dict[int | str, dict[str, Any]] = {status: {"model": model}}
    if model is Sweep:
        answers[status]["headers"] = _ETAG
    if also:
        answers[status]["content"] = {kind: {"schema": {"type": "string"}} for kind in also}
    if plan is not None and status == 200:
        answers[200] |= {"model": model | plan, "description": "With `validate_only`: the plan"}
    elif plan is not None:
        answers[200] = {"model": plan, "description": "With `validate_only`: the plan"}
    return {"response_model": None, "status_code": status, "responses": answers}


def gives_nothing() -> dict[str, Any]:
    """Declare that a route removes something and answers without a body."""
    return {
        "response_model": None,
        "status_code": 204,
        "responses": {204: {"description": "It is gone"}},
        "response_class": Response,
    }


def gives_text(kind: str) -> dict[str, Any]:
    """Declare that a route answers with text."""
    return _gives({kind: {"schema": {"type": "string"}}})


def gives_yaml(model: type[BaseModel]) -> dict[str, Any]:
    """Declare that a route answers with `model` as YAML."""
    return _gives(
        {"application/yaml": {"schema": {"$ref": _COMPONENT.format(model=model.__name__)}}}
    )


def gives_bytes(*kinds: str) -> dict[str, Any]:
    """Declare that a route answers with a file."""
    return _gives({kind: {"schema": {"type": "string", "format": "binary"}} for kind in kinds})


def takes(*models: type[BaseModel], required: bool = True) -> dict[str, Any]:
    """Declare that a route's body is one of `models`, in JSON or YAML."""
    choices = [{"$ref": _COMPONENT.format(model=model.__name__)} for model in models]
    schema = choices[0] if len(choices) == 1 else {"anyOf": choices}
    content = {"application/json": {"schema": schema}, "application/yaml": {"schema": schema}}
    return {"openapi_extra": {"requestBody": {"required": required, "content": content}}}


def takes_bytes(kind: str) -> dict[str, Any]:
    """Declare that a route's body is a file."""
    content = {kind: {"schema": {"type": "string", "format": "binary"}}}
    return {"openapi_extra": {"requestBody": {"required": True, "content": content}}}


def complete(app: FastAPI) -> None:
    """Add all schemas that `gives` and `takes` refer to, to the application's document."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            made = get_openapi(
                title=app.title, version=app.version, description=app.description, routes=app.routes
            )
            _, sent = models_json_schema(_modes(_SENT), ref_template=_COMPONENT)
            _, given = models_json_schema([(Problem, "serialization")], ref_template=_COMPONENT)
            components = made.setdefault("components", {}).setdefault("schemas", {})
            components |= sent["$defs"] | given["$defs"]
            for name, example in EXAMPLES.items():
                if name in components:
                    components[name]["examples"] = [example]
            _without_unused(components)
            made["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
            made["security"] = [{}, {"token": []}]  # {}: if no token was made, none is needed
            app.openapi_schema = made
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]


def _modes(models: list[type[BaseModel]]) -> Any:
    return [(model, "validation") for model in models]


def _gives(content: dict[str, Any]) -> dict[str, Any]:
    return {
        "response_model": None,
        "responses": {200: {"content": content}},
        "response_class": Response,
    }


def _without_unused(components: dict[str, Any]) -> None:
    """Drop the schemas of FastAPI's own errors, which are never sent."""
    for name in ("HTTPValidationError", "ValidationError"):
        components.pop(name, None)
