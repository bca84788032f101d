"""HEAD is answered wherever GET is, with the same headers and without a body."""

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import func, select

from service.pages import PLOTLY
from service.store import tokens
from service.store.models import AuditEntry
from service.store.session import Database
from service.store.tokens import Role
from tests.conftest import small_sweep
from tests.seeded import seed

SWEEPS = "/api/v1/sweeps"
OTHER = {"x-request-id", "date"}
"""Headers that no two answers share."""


@pytest.mark.parametrize(
    "path",
    [
        "/", "/healthz", "/readyz", "/metrics", "/docs", "/openapi.json", "/errors", PLOTLY,
        "/web/api.js", "/web/none.js", SWEEPS, f"{SWEEPS}?page_size=none", f"{SWEEPS}/none",
        f"{SWEEPS}/{{sweep}}", f"{SWEEPS}/{{sweep}}/table", f"{SWEEPS}/{{sweep}}/export",
        f"{SWEEPS}/{{sweep}}/figures/forest.svg", "/api/v1/nothing",
    ],
)  # fmt: skip
def test_head_is_get_without_its_body(api: TestClient, database: Database, path: str) -> None:
    """Catches: 405 to a load balancer or a link checker."""
    path = path.format(sweep=seed(database, small_sweep()))
    asked, got = api.head(path), api.get(path)
    assert (asked.status_code, asked.content) == (got.status_code, b"")
    assert got.content
    same = [{name: each.headers[name] for name in each.headers if name not in OTHER}
            for each in (asked, got)]  # fmt: skip
    if path != "/metrics":  # its length grows with what was asked
        assert same[0] == same[1]
        assert got.headers.get("content-length", "0") == asked.headers.get("content-length", "0")


def test_head_is_reading(api: TestClient, database: Database) -> None:
    """Catches: HEAD that needs a submitter, is not counted, or stands in the audit log."""
    sweep_id = seed(database, small_sweep())
    with database.write() as session:
        _, secret = tokens.create(session, "Ada", Role.viewer, requests_per_minute=2)
    header = {"Authorization": f"Bearer {secret}"}
    assert api.head(SWEEPS).status_code == 401
    tag = api.head(f"{SWEEPS}/{sweep_id}", headers=header).headers["etag"]
    known = api.head(f"{SWEEPS}/{sweep_id}", headers={**header, "If-None-Match": tag})
    assert known.status_code == 304
    assert api.head(SWEEPS, headers=header).status_code == 429
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(AuditEntry)) == 0


def test_head_of_what_is_only_changed_names_other_methods(
    api: TestClient, database: Database
) -> None:
    """Catches: a HEAD that pauses a sweep, or 404 where there is something."""
    answer = api.head(f"{SWEEPS}/{seed(database, small_sweep())}/pause")
    assert (answer.status_code, answer.content, answer.headers["allow"]) == (405, b"", "POST")


def test_head_is_counted_as_itself(api: TestClient) -> None:
    """Catches: requests of a load balancer among the readers'."""
    api.head(SWEEPS)
    found = api.get("/metrics").text
    line = 'lrd_http_requests_total{method="HEAD",route="/api/v1/sweeps",status="200"} 1.0'
    assert line in found
