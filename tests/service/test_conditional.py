"""What a reader has already is not sent again, however it says so; and what is meant for a sweep as
it was is not done to another."""

from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.store.session import Database
from tests.conftest import small_sweep
from tests.seeded import seed


@pytest.fixture(params=["", "/table", "/curves?metric=test_loss", "/trials"])
def path(request: pytest.FixtureRequest, database: Database) -> str:
    """An answer with the sweep's version, a kept one, one made on the spot, one by its content."""
    return f"/api/v1/sweeps/{seed(database, small_sweep())}{request.param}"


@pytest.mark.parametrize(
    "said", ["{tag}", "W/{tag}", '"other", {tag}', 'W/"a,b",W/{tag} , "c"', "*", " * "]
)
def test_a_reader_that_knows_the_tag_is_told_so(api: TestClient, path: str, said: str) -> None:
    # Catches: the whole answer again behind a proxy that makes tags weak, or joins several.
    tag = api.get(path).headers["etag"]
    again = api.get(path, headers={"If-None-Match": said.format(tag=tag)})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)


@pytest.mark.parametrize("said", ["", '"other"', "{bare}", '"{bare}0"', '"a {tag}', 'W/"*"'])
def test_a_reader_that_knows_another_gets_the_answer(api: TestClient, path: str, said: str) -> None:
    # Catches: 304 for a part of a tag, after which the reader shows what is no longer so.
    tag = api.get(path).headers["etag"]
    given = said.format(tag=tag, bare=tag.strip('"'))
    assert api.get(path, headers={"If-None-Match": given}).status_code == 200


def test_tags_in_two_lines_are_one_list(api: TestClient, path: str) -> None:
    # Catches: the first of two header lines read as all of it.
    tag = api.get(path).headers["etag"]
    lines = [("If-None-Match", '"other"'), ("If-None-Match", tag)]
    assert api.get(path, headers=lines).status_code == 304


CHANGES: list[tuple[str, str, dict[str, Any] | None]] = [
    ("PATCH", "", {"priority": 3}),
    ("DELETE", "", None),
    ("POST", "/cancel", None),
    ("POST", "/pause", None),
    ("POST", "/resume", None),
    ("POST", "/retry?cancelled=true", None),
    ("POST", "/extend", {"seeds": 9}),
    ("POST", "/clone", {}),
]


def change(
    api: TestClient, sweep: str, which: tuple[str, str, dict[str, Any] | None], **headers: str
) -> Any:
    method, below, body = which
    return api.request(method, sweep + below, json=body, headers=headers)


@pytest.fixture(params=CHANGES, ids=lambda which: which[1] or which[0])
def asked(
    request: pytest.FixtureRequest, database: Database
) -> tuple[str, tuple[str, str, dict[str, Any] | None]]:
    """A sweep to which something may be done, and what."""
    states = {
        "DELETE": ("succeeded",), "/retry?cancelled=true": ("cancelled",)
    }.get(request.param[1] or request.param[0], ("queued",))  # fmt: skip
    return f"/api/v1/sweeps/{seed(database, small_sweep(), states=states)}", request.param


@pytest.mark.parametrize("said", ['"999"', "W/{tag}", "", '"{bare}0"', '"a {tag}', 'W/"*"'])
def test_a_change_that_is_meant_for_another_version_is_refused(
    api: TestClient, asked: Any, said: str
) -> None:
    """Catches: `If-Match` that is passed by, and so the other's change that is lost."""
    sweep, which = asked
    before = api.get(sweep)
    tag = before.headers["etag"]
    answer = change(api, sweep, which, **{"If-Match": said.format(tag=tag, bare=tag.strip('"'))})
    assert (answer.status_code, answer.json()["type"]) == (412, "/errors#precondition-failed")
    assert f"now has the ETag {tag}" in answer.json()["detail"]
    assert api.get(sweep).json() == before.json()
    assert len(api.get("/api/v1/sweeps").json()["items"]) == 1


@pytest.mark.parametrize("said", ["{tag}", '"other", {tag}', "*", " * "])
def test_a_change_that_is_meant_for_this_version_is_done_once(
    api: TestClient, asked: Any, said: str
) -> None:
    """Catches: 412 for the second try at a change, which has changed the sweep itself."""
    sweep, which = asked
    known = said.format(tag=api.get(sweep).headers["etag"])
    for _ in range(2):
        answer = change(api, sweep, which, **{"If-Match": known, "Idempotency-Key": "a"})
        assert answer.is_success, answer.text
    if which[1] == "/clone":
        api.patch(sweep, json={"priority": 4})
        answer = change(api, sweep, which, **{"If-Match": known, "Idempotency-Key": "a"})
        assert answer.headers["idempotent-replayed"] == "true"


def test_the_answer_to_a_change_has_the_tag_of_the_sweep_that_it_shows(
    api: TestClient, asked: Any
) -> None:
    """Catches: a chain of changes with `If-Match` that needs a GET after each; and the tag of now
    on an answer of then."""
    sweep, which = asked
    answer = change(api, sweep, which, **{"Idempotency-Key": "a"})
    if which[0] == "DELETE":
        assert "etag" not in answer.headers
        return
    shown = f"/api/v1/sweeps/{answer.json()['id']}"
    tag = answer.headers["etag"]
    assert (tag, answer.json()) == (api.get(shown).headers["etag"], api.get(shown).json())
    then = api.patch(shown, json={"priority": 7}, headers={"If-Match": tag})
    assert then.status_code == 200
    assert then.headers["etag"] == api.get(shown).headers["etag"] != tag
    again = change(api, sweep, which, **{"Idempotency-Key": "a"})
    assert again.headers["idempotent-replayed"] == "true"
    assert "etag" not in again.headers


def test_a_new_sweep_has_its_tag(api: TestClient) -> None:
    new = api.post("/api/v1/sweeps", json=small_sweep())
    shown = f"/api/v1/sweeps/{new.json()['id']}"
    assert new.headers["etag"] == api.get(shown).headers["etag"]
