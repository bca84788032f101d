"""What a caller may not do is said beforehand, in the words with which it would be refused."""

from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import update

from service.choices import Role
from service.store import tokens
from service.store.models import Trial
from service.store.session import Database
from tests.conftest import small_sweep
from tests.seeded import seed

REQUESTS = {
    "cancel": ("POST", "/cancel", None),
    "pause": ("POST", "/pause", None),
    "resume": ("POST", "/resume", None),
    "retry": ("POST", "/retry?cancelled=true", None),
    "extend": ("POST", "/extend", {"seeds": 5}),
    "change": ("PATCH", "", {"priority": 3}),
    "delete": ("DELETE", "", None),
}
STATES = {
    "queued": ("queued",),
    "running": ("running", "queued"),
    "succeeded": ("succeeded",),
    "failed": ("failed", "succeeded"),
    "diverged": ("failed", "succeeded"),
    "cancelled": ("cancelled", "failed"),
}
BEFORE = ("", "/pause", "/cancel")


@pytest.mark.parametrize("before", BEFORE)
@pytest.mark.parametrize("state", STATES)
def test_every_refusal_is_known_before_the_request(
    api: TestClient, database: Database, state: str, before: str
) -> None:
    """The law: a request is refused with the sentence, or it is not and changes something, or it
    says that there is nothing to do and changes nothing."""
    for name in REQUESTS:
        path = f"/api/v1/sweeps/{_sweep(database, state)}"
        if before:
            api.post(path + before)
        said = api.get(f"{path}/refusals").json()
        assert list(said) == [*REQUESTS, "clone"]
        _holds(api, path, f"sweep {path.split('/')[-1]}", REQUESTS[name], said[name])
        trial = api.get(f"{path}/trials?page_size=1")
        if name not in ("cancel", "retry") or trial.status_code != 200:
            continue
        number = trial.json()["items"][0]["id"]
        path = f"/api/v1/trials/{number}"
        said = api.get(f"{path}/refusals").json()
        assert list(said) == ["cancel", "retry"]
        _holds(api, path, f"trial {number}", ("POST", f"/{name}", None), said[name])


def _sweep(database: Database, state: str) -> str:
    sweep_id = seed(database, small_sweep(), states=STATES[state])
    if state == "diverged":
        with database.write() as session:
            mine = update(Trial).where(Trial.sweep_id == sweep_id, Trial.state == "failed")
            session.execute(mine.values(reason="diverged"))
    return sweep_id


def _holds(
    api: TestClient,
    path: str,
    subject: str,
    request: tuple[str, str, dict[str, Any] | None],
    refusal: str | None,
) -> None:
    method, below, body = request
    seen = [api.get(path).json(), api.get(f"{path}/events?page_size=1000").json()]
    answer = api.request(method, path + below, json=body)
    if answer.status_code == 409:
        this = f"this {subject.split()[0]}"
        assert refusal is not None
        assert answer.json()["detail"] == refusal.replace(this, subject, 1)
    elif refusal is None:
        assert answer.is_success
        if method != "DELETE":
            assert api.get(path).json() != seen[0]
    else:
        assert answer.status_code == 200
        assert [api.get(path).json(), api.get(f"{path}/events?page_size=1000").json()] == seen


def test_a_refusal_depends_on_who_asks_and_is_never_anothers(
    api: TestClient, database: Database
) -> None:
    """Catches: a button that only a 403 explains; the owner's answer kept for a colleague."""
    callers = {}
    roles = {
        "ada": Role.submitter, "bob": Role.submitter, "root": Role.admin, "eve": Role.viewer,
    }  # fmt: skip
    with database.write() as session:
        for name, role in roles.items():
            _, secret = tokens.create(session, name, role)
            callers[name] = {"Authorization": f"Bearer {secret}"}
    made = api.post("/api/v1/sweeps", json=small_sweep(), headers=callers["ada"]).json()
    sweep = f"/api/v1/sweeps/{made['id']}"
    trial = api.get(f"{sweep}/trials", headers=callers["ada"]).json()["items"][0]["id"]
    for path, request in ((sweep, "pause"), (f"/api/v1/trials/{trial}", "cancel")):
        answers = {name: api.get(f"{path}/refusals", headers=who) for name, who in callers.items()}
        for name in ("bob", "eve"):
            refused = api.post(f"{path}/{request}", headers=callers[name])
            assert refused.status_code == 403
            said = answers[name].json()
            clone = said.pop("clone", None)
            assert set(said.values()) == {refused.json()["detail"]}
            assert clone == (said["cancel"] if name == "eve" and path == sweep else None)
        assert api.post(f"{sweep}/clone", headers=callers["bob"]).status_code == 201
        assert api.post(f"{sweep}/clone", headers=callers["eve"]).status_code == 403
        assert answers["ada"].json() == answers["root"].json()
        assert answers["ada"].json()[request] is None
        tag = {"If-None-Match": answers["ada"].headers["etag"]}
        again = {name: api.get(f"{path}/refusals", headers=callers[name] | tag) for name in roles}
        assert {name: each.status_code for name, each in again.items()} == {
            "ada": 304, "root": 304, "bob": 200, "eve": 200,
        }  # fmt: skip
