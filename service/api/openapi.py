"""The OpenAPI document: what each route takes and gives, where FastAPI cannot see it.

Answers are made without a model (they are plain data, and validating them again would cost more
than making them), bodies are read as JSON or YAML: so both are declared by `gives` and `takes`.
The examples of answers are real ones: `python -m tests.examples` records them.
"""

import json
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, Header, Response
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from lrd_core import presets
from lrd_core.spec import Extension, SweepSpec
from service import versions
from service.api.schemas.parts import Problem
from service.api.schemas.sent import Changes, Clone, FromPreset, WebhookRequest

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


async def declared(
    lrd_version: Annotated[
        str | None,
        Header(
            alias=versions.HEADER,
            description="version of the client; it is told if the two do not fit",
            examples=[versions.VERSION],
            pattern=r"^\d{1,6}\.\d{1,6}(\D.*)?$",
        ),
    ] = None,
) -> None:
    """The header that `front` reads, for the document."""


def gives(
    model: type[BaseModel],
    status: int = 200,
    *,
    also: tuple[str, ...] = (),
    plan: type[BaseModel] | None = None,
) -> dict[str, Any]:
    """Of a route: it answers with `model`, and `also` in other media types.

    `plan`: what it answers, with 200, where nothing is to be stored.
    """
    answers: dict[int | str, dict[str, Any]] = {status: {"model": model}}
    if also:
        answers[status]["content"] = {kind: {"schema": {"type": "string"}} for kind in also}
    if plan is not None and status == 200:
        answers[200] = {"model": model | plan, "description": "With `validate_only`: the plan"}
    elif plan is not None:
        answers[200] = {"model": plan, "description": "With `validate_only`: the plan"}
    return {"response_model": None, "status_code": status, "responses": answers}


def gives_nothing() -> dict[str, Any]:
    """Of a route: what was there is gone, and its answer has no body."""
    return {
        "response_model": None,
        "status_code": 204,
        "responses": {204: {"description": "It is gone"}},
        "response_class": Response,
    }


def gives_text(kind: str) -> dict[str, Any]:
    """Of a route: it answers with text."""
    return _gives({kind: {"schema": {"type": "string"}}})


def gives_yaml(model: type[BaseModel]) -> dict[str, Any]:
    """Of a route: it answers with `model` as YAML."""
    return _gives(
        {"application/yaml": {"schema": {"$ref": _COMPONENT.format(model=model.__name__)}}}
    )


def gives_bytes(*kinds: str) -> dict[str, Any]:
    """Of a route: it answers with a file."""
    return _gives({kind: {"schema": {"type": "string", "format": "binary"}} for kind in kinds})


def takes(*models: type[BaseModel], required: bool = True) -> dict[str, Any]:
    """Of a route: its body is one of `models`, in JSON or YAML."""
    choices = [{"$ref": _COMPONENT.format(model=model.__name__)} for model in models]
    schema = choices[0] if len(choices) == 1 else {"anyOf": choices}
    content = {"application/json": {"schema": schema}, "application/yaml": {"schema": schema}}
    return {"openapi_extra": {"requestBody": {"required": required, "content": content}}}


def takes_bytes(kind: str) -> dict[str, Any]:
    """Of a route: its body is a file."""
    content = {kind: {"schema": {"type": "string", "format": "binary"}}}
    return {"openapi_extra": {"requestBody": {"required": True, "content": content}}}


def complete(app: FastAPI) -> None:
    """Have the application's document name all that `gives` and `takes` refer to."""

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
            made["security"] = [{}, {"token": []}]  # {}: where no token was made, none is needed
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
    """FastAPI's own errors are never sent."""
    for name in ("HTTPValidationError", "ValidationError"):
        components.pop(name, None)
