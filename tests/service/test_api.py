"""The REST contract: what goes in, what comes out, and what is refused with which words."""

import json
from typing import Any

import pytest
import yaml
from fastapi.testclient import TestClient

from lrd_core.spec import SweepSpec
from tests.conftest import small_sweep

PROBLEM = "application/problem+json"


def submit(api: TestClient, document: Any, **headers: str) -> Any:
    return api.post("/api/v1/sweeps", json=document, headers=headers)


def pointers(answer: Any) -> list[str]:
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == PROBLEM
    return sorted(fault["pointer"] for fault in answer.json()["errors"])


def test_a_sweep_is_stored_with_all_its_trials(api: TestClient) -> None:
    answer = submit(api, small_sweep())
    assert answer.status_code == 201
    sweep = answer.json()
    assert answer.headers["location"] == f"/api/v1/sweeps/{sweep['id']}"
    assert api.get(answer.headers["location"]).json() == sweep
    assert sweep["state"] == "queued"
    assert sweep["trials_total"] == sweep["trials"]["queued"] == 4
    trials = api.get(f"/api/v1/sweeps/{sweep['id']}/trials").json()["items"]
    assert sorted((t["config"]["optimizer"]["keep_prob"], t["seed"]) for t in trials) == [
        (0.5, 0), (0.5, 1), (1.0, 0), (1.0, 1),
    ]  # fmt: skip
    assert {t["state"] for t in trials} == {"queued"}
    alone = api.get(f"/api/v1/trials/{trials[0]['id']}").json()
    assert alone.pop("provenance")["environment"] is None  # it has not begun
    assert not alone.pop("has_weights")
    assert alone.pop("sweep") == sweep["name"]
    assert alone == trials[0]


def test_yaml_and_json_are_the_same_sweep(api: TestClient) -> None:
    text = yaml.safe_dump(small_sweep())
    answer = api.post("/api/v1/sweeps", content=text, headers={"content-type": "application/yaml"})
    assert answer.status_code == 201
    assert answer.json()["spec"] == submit(api, small_sweep()).json()["spec"]


def test_validate_only_answers_what_would_run_and_stores_nothing(api: TestClient) -> None:
    answer = api.post("/api/v1/sweeps?validate_only=true", json=small_sweep())
    assert answer.status_code == 200
    assert answer.json()["arms_total"] == 2
    assert answer.json()["trials_total"] == 4
    assert api.get("/api/v1/sweeps").json()["items"] == []


def changed(path: str, value: Any) -> dict[str, Any]:
    document = small_sweep()
    place = document
    *parents, last = path.split("/")
    for name in parents:
        place = place[name]
    place[last] = value
    return document


FAULTS: list[tuple[dict[str, Any], str]] = [
    (changed("colour", 1), "/colour"),
    (changed("base/colour", 1), "/base/colour"),
    (changed("base/optimizer/name", "adma"), "/base/optimizer/name"),
    (changed("base/optimizer/keep_prob", 1.5), "/base/optimizer/keep_prob"),
    (changed("base/optimizer/lr", -1), "/base/optimizer/lr"),
    (changed("base/epochs", 0), "/base/epochs"),
    (changed("grid", {"optimizer.keep_probability": [1.0]}), "/grid/optimizer.keep_probability"),
    (changed("grid", {"optimizer.keep_prob": []}), "/grid/optimizer.keep_prob"),
    (changed("grid", {"optimizer.keep_prob": [1.0, 2.0]}), "/grid/optimizer.keep_prob/1"),
    (changed("seeds", 0), "/seeds"),
    (changed("baseline", {"optimizer.keep_prob": 0.3}), "/baseline"),
]


@pytest.mark.parametrize(("document", "pointer"), FAULTS, ids=[pointer for _, pointer in FAULTS])
def test_each_fault_is_named_at_its_place_in_json_and_yaml(
    api: TestClient, document: dict[str, Any], pointer: str
) -> None:
    assert pointers(submit(api, document)) == [pointer]
    text = yaml.safe_dump(document)
    answer = api.post("/api/v1/sweeps", content=text, headers={"content-type": "application/yaml"})
    assert pointers(answer) == [pointer]
    assert api.get("/api/v1/sweeps").json()["items"] == []


def test_all_faults_are_told_at_once(api: TestClient) -> None:
    document = changed("base/epochs", 0) | {"seeds": []}
    assert pointers(submit(api, document)) == ["/base/epochs", "/seeds"]


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_a_number_that_is_not_finite_is_refused(api: TestClient, number: str) -> None:
    text = json.dumps(changed("base/optimizer/lr", "HERE")).replace('"HERE"', number)
    answer = api.post("/api/v1/sweeps", content=text, headers={"content-type": "application/json"})
    assert pointers(answer)
    assert api.get("/api/v1/sweeps").json()["items"] == []


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{", "application/json", 422),
        (b"[1, 2]", "application/json", 422),
        (b"a: &a [*a]", "application/yaml", 422),
        (b"a: 1\na: 2", "application/yaml", 422),
        (b'{"a": 1, "a": 2}', "application/json", 422),
        (b"!!python/object/apply:os.system [ls]", "application/yaml", 422),
        (b"[" * 100_000, "application/json", 422),
        (b"\xff\xfe", "application/json", 422),
        (b'{"name": "\\ud800"}', "application/json", 422),
        (b"{}", "text/html", 415),
        (b" " * 2_000_000, "application/json", 413),
    ],
)
def test_a_body_that_cannot_be_a_spec_is_refused_in_words(
    api: TestClient, body: bytes, kind: str, status: int
) -> None:
    answer = api.post("/api/v1/sweeps", content=body, headers={"content-type": kind})
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == PROBLEM
    problem = answer.json()
    assert problem["status"] == status
    assert problem["detail"]


def test_a_sweep_above_the_limit_is_refused_with_the_limit(api: TestClient) -> None:
    answer = submit(api, small_sweep(seeds=1_000_000_000))
    assert answer.status_code == 422
    assert "100000" in answer.text.replace(",", "")


def test_the_same_key_gives_the_same_sweep(api: TestClient) -> None:
    first = submit(api, small_sweep(), **{"Idempotency-Key": "k"})
    again = submit(api, small_sweep(), **{"Idempotency-Key": "k"})
    assert again.status_code == 201
    assert again.json() == first.json()
    assert again.headers["idempotent-replayed"] == "true"
    assert len(api.get("/api/v1/sweeps").json()["items"]) == 1
    other = submit(api, small_sweep(seeds=3), **{"Idempotency-Key": "k"})
    assert other.status_code == 422


def test_pages_hold_every_item_once(api: TestClient) -> None:
    ids = [submit(api, small_sweep(name=str(n))).json()["id"] for n in range(5)]
    found: list[str] = []
    query = "?page_size=2"
    while True:
        page = api.get(f"/api/v1/sweeps{query}").json()
        found += [item["id"] for item in page["items"]]
        if page["next_page_token"] is None:
            break
        query = f"?page_size=2&page_token={page['next_page_token']}"
    assert found == ids[::-1]
    refused = api.get("/api/v1/sweeps?page_token=nonsense")
    assert refused.status_code == 422


def test_an_unchanged_sweep_costs_a_304(api: TestClient) -> None:
    path = submit(api, small_sweep()).headers["location"]
    tag = api.get(path).headers["etag"]
    assert api.get(path, headers={"If-None-Match": tag}).status_code == 304
    assert api.post(f"{path}/cancel").status_code == 200
    assert api.get(path, headers={"If-None-Match": tag}).status_code == 200


def test_a_cancelled_sweep_that_had_not_started_is_cancelled_at_once(api: TestClient) -> None:
    path = submit(api, small_sweep()).headers["location"]
    assert api.post(f"{path}/cancel").json()["state"] == "cancelled"
    assert api.post(f"{path}/cancel").json()["state"] == "cancelled"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/v1/sweeps/nothing", 404),
        ("POST", "/api/v1/sweeps/nothing/cancel", 404),
        ("GET", "/api/v1/sweeps/nothing/table", 404),
        ("GET", "/api/v1/trials/7", 404),
        ("GET", "/api/v1/trials/7/reports", 404),
        ("GET", "/api/v1/trials/seven", 422),
        ("GET", f"/api/v1/trials/{2**63}", 422),
        ("GET", "/api/v1/nothing", 404),
        ("DELETE", "/api/v1/sweeps", 405),
    ],
)
def test_what_is_not_there_is_a_problem(
    api: TestClient, method: str, path: str, status: int
) -> None:
    answer = api.request(method, path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == PROBLEM
    assert answer.json()["status"] == status


def test_the_spec_that_is_stored_means_what_was_sent(api: TestClient) -> None:
    stored = submit(api, small_sweep()).json()["spec"]
    assert SweepSpec.parse(stored) == SweepSpec.parse(small_sweep())
