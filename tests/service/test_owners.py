"""Whose sweep it is: its owner changes it, an admin any, and everybody reads and clones it."""

from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.choices import Role
from service.store import tokens
from service.store.session import Database
from tests.conftest import small_sweep
from tests.seeded import seed

SWEEPS = "/api/v1/sweeps"
CHANGES: list[tuple[str, str, dict[str, Any] | None]] = [
    ("POST", "/pause", None),
    ("POST", "/resume", None),
    ("POST", "/extend", {"seeds": 5}),
    ("PATCH", "", {"priority": 3}),
    ("POST", "/trials/first/cancel", None),
    ("POST", "/trials/first/retry", None),
    ("POST", "/cancel", None),
    ("POST", "/retry?cancelled=true", None),
    ("POST", "/cancel", None),
    ("DELETE", "", None),
]


def token(database: Database, name: str, role: Role, **limits: int) -> dict[str, str]:
    with database.write() as session:
        secret = tokens.create(session, name, role, **limits)[1]
    return {"Authorization": f"Bearer {secret}"}


def change(api: TestClient, sweep_id: str, who: dict[str, str]) -> list[int]:
    """The status of each change, one after the other."""
    items = api.get(f"{SWEEPS}/{sweep_id}/trials", headers=who).json()["items"]
    found = []
    for method, below, body in CHANGES:
        path = f"{SWEEPS}/{sweep_id}{below}"
        if below.startswith("/trials/first"):
            path = f"/api/v1/trials/{items[0]['id']}{below.removeprefix('/trials/first')}"
        found.append(api.request(method, path, json=body, headers=who).status_code)
    return found


@pytest.mark.parametrize(("who", "may"), [("ada", True), ("bob", False), ("root", True)])
def test_only_its_owner_and_an_admin_change_a_sweep(
    api: TestClient, database: Database, who: str, may: bool
) -> None:
    """Catches: a colleague's week cancelled by a slip; the limit of one's own queue evaded by
    extending somebody else's sweep."""
    callers = {name: token(database, name, Role.submitter) for name in ("ada", "bob")}
    callers["root"] = token(database, "root", Role.admin)
    sweep_id = api.post(SWEEPS, json=small_sweep(), headers=callers["ada"]).json()["id"]
    before = api.get(f"{SWEEPS}/{sweep_id}", headers=callers["bob"]).json()
    found = change(api, sweep_id, callers[who])
    if may:
        assert found == [200] * (len(CHANGES) - 1) + [204]
    else:
        assert found == [403] * len(CHANGES)
        assert api.get(f"{SWEEPS}/{sweep_id}", headers=callers["bob"]).json() == before


def test_what_nobody_owns_only_an_admin_changes(api: TestClient, database: Database) -> None:
    sweep_id = seed(database, small_sweep())
    ada, root = token(database, "ada", Role.submitter), token(database, "root", Role.admin)
    path = f"{SWEEPS}/{sweep_id}"
    assert api.patch(path, json={"priority": 3}, headers=ada).status_code == 403
    assert api.patch(path, json={"priority": 3}, headers=root).status_code == 200


def test_everybody_clones_and_owns_the_clone(api: TestClient, database: Database) -> None:
    ada, bob = (token(database, name, Role.submitter) for name in ("ada", "bob"))
    sweep_id = api.post(SWEEPS, json=small_sweep(), headers=ada).json()["id"]
    clone = api.post(f"{SWEEPS}/{sweep_id}/clone", headers=bob)
    assert (clone.status_code, clone.json()["owner"]) == (201, "bob")
    assert api.post(f"{SWEEPS}/{clone.json()['id']}/pause", headers=bob).status_code == 200
