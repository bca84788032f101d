"""The OpenAPI document is true: the service is asked all that it allows, and much that it does not.

`LRD_EXAMPLES` requests for each operation, half of them valid by the document, half not.
"""

import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks

from service import versions
from service.app import create_app
from service.settings import Settings
from service.store.session import Database
from tests.conftest import small_sweep
from tests.seeded import seed as seed_sweep

EXAMPLES = int(os.environ.get("LRD_EXAMPLES", "24"))
SPARED = {
    "positive_data_acceptance": "a document that fits the schema may still be no sweep, e.g. name "
    "an axis that no configuration has: 422 says so",
    "negative_data_rejection": "what is not read (the body of a GET, an unknown header) is let be, "
    "as HTTP wants it; test_hostile sends bodies to changes that take none",
    "missing_required_header": "no header is required",
    "ignored_auth": "the document describes the service without tokens; with them, test_access "
    "walks every route",
    "unsupported_method": "tests ask for /sweeps/{id}/… with ids that are the names of others' "
    "routes; test_front asks for wrong methods",
    "allow_header_conformance": "likewise",
    "use_after_free": "it looks at requests that follow on each other; test_deleting asks every "
    "address of a sweep that is deleted",
    "ensure_resource_availability": "ids are replaced by those of sweeps that are there",
    "max_response_time": "a slow machine is no wrong answer",
}
"""Checks of schemathesis that do not fit, each with its reason."""


OPERATIONS = sorted(
    (
        (method, path)
        for path, methods in create_app(Settings(), None).openapi()["paths"].items()  # type: ignore[arg-type]
        for method in methods
    ),
    key=lambda operation: operation[0] == "delete",
)  # what takes sweeps away comes last


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def world(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[FastAPI, dict[str, list[Any]]]]:
    """A service with sweeps in every state, and the ids of what there is."""
    folder = tmp_path_factory.mktemp("openapi")
    if request.param == "sqlite":
        url = request.getfixturevalue("sqlite")(folder)
    else:
        url = request.getfixturevalue("postgres")()
    options = Settings(storage_dir=folder, database_url=url, max_trials=500)
    database = Database(options.database)
    ended = seed_sweep(database, small_sweep(seeds=3), states=("succeeded", "failed"))
    going = seed_sweep(database, small_sweep(seeds=3), states=("succeeded", "running", "queued"))
    ids = {
        "sweep_id": [ended, going], "trial_id": list(range(1, 12)), "name": ["digits", "table-2"],
    }  # fmt: skip
    yield create_app(options, database), ids
    database.close()


@schemathesis.serializer("application/zip")
def as_bytes(context: Any, value: Any) -> bytes:
    """schemathesis makes up bytes, or something else where the body is to be wrong."""
    return value if isinstance(value, bytes) else json.dumps(str(value)).encode()


def checks() -> list[Any]:
    load_all_checks()
    names = set(CHECKS.get_all_names())
    assert names >= SPARED.keys() - {"max_response_time"}, names
    return [each for each in CHECKS.get_all() if each.__name__ not in SPARED]


def examples_of(found: dict[str, Any], path: str, method: str) -> list[Any]:
    """Of the operation's JSON body."""
    content = found["paths"][path][method].get("requestBody", {}).get("content", {})
    schema = content.get("application/json", {}).get("schema", {})
    names = [each["$ref"].rsplit("/", 1)[-1] for each in schema.get("anyOf", [schema]) if each]
    return [one for name in names for one in found["components"]["schemas"][name]["examples"]]


@pytest.mark.slow
@pytest.mark.parametrize(("method", "path"), OPERATIONS, ids=lambda part: str(part))
def test_every_answer_is_as_the_document_says(
    world: tuple[FastAPI, dict[str, list[Any]]], method: str, path: str
) -> None:
    app, ids = world
    operation = schemathesis.openapi.from_asgi("/openapi.json", app)[path][method]
    examples = examples_of(app.openapi(), path, method)
    asked: Counter[int] = Counter()
    every = checks()

    def ask(case: Any, data: st.DataObject, valid: list[Any]) -> None:
        for name in list(case.path_parameters or {}):
            if name in ids and data.draw(st.booleans(), label="one that is there"):
                case.path_parameters[name] = data.draw(st.sampled_from(ids[name]), label=name)
        if case.headers:
            case.headers.pop("Authorization", None)  # no token is made up that counts
            if data.draw(st.integers(0, 9), label="version"):
                case.headers.pop(versions.HEADER, None)  # else most are refused for it alone
        if valid and data.draw(st.booleans()):
            case.body = data.draw(st.sampled_from(valid), label="body")
        answer = case.call(base_url="http://127.0.0.1")
        asked[answer.status_code] += 1
        assert answer.status_code < 500, answer.text
        case.validate_response(answer, checks=every)

    limits = settings(
        max_examples=EXAMPLES // 2,
        deadline=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    for mode in GenerationMode:
        valid = st.just(examples if mode is GenerationMode.POSITIVE else [])
        cases = operation.as_strategy(generation_mode=mode)
        seed(1)(limits(given(case=cases, data=st.data(), valid=valid)(ask)))()
    assert sum(asked.values()) >= EXAMPLES * 0.8, asked
    told = os.environ.get("LRD_ASKED")
    if told:
        with Path(told).open("a") as out:
            out.write(f"{method.upper()} {path}\t{dict(asked)}\n")


def test_every_body_and_every_answer_has_an_example() -> None:
    found = create_app(Settings(), None).openapi()  # type: ignore[arg-type]
    schemas = found["components"]["schemas"]
    for path, methods in found["paths"].items():
        for method, operation in methods.items():
            parts = [operation.get("requestBody", {})]
            parts += [each for code, each in operation["responses"].items() if code[0] == "2"]
            for part in parts:
                for kind, content in part.get("content", {}).items():
                    for schema in content["schema"].get("anyOf", [content["schema"]]):
                        if "$ref" in schema:
                            name = schema["$ref"].rsplit("/", 1)[-1]
                            assert schemas[name].get("examples"), (method, path, kind, name)


def test_every_example_is_as_its_schema_says() -> None:
    found = create_app(Settings(), None).openapi()  # type: ignore[arg-type]
    for name, schema in found["components"]["schemas"].items():
        for example in schema.get("examples", []):
            whole = {"$ref": f"#/components/schemas/{name}", "components": found["components"]}
            jsonschema_rs.validate(whole, example)
