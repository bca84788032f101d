"""Who may ask: tokens and their roles; without any, this machine alone."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from fastapi.testclient import TestClient
from sqlalchemy import select, update
from typer.testing import CliRunner

from lrd_core.errors import LRDError
from service import cli
from service.access import FORWARDED, is_loopback
from service.app import _note_uses, create_app
from service.choices import Role
from service.client import Client, ServiceAnswered
from service.pages import PLOTLY
from service.serve import serve
from service.settings import Settings
from service.store import tokens
from service.store.models import Token
from service.store.session import Database
from tests.conftest import small_sweep

SWEEPS = "/api/v1/sweeps"


def made(database: Database, role: Role, **options: Any) -> tuple[int, dict[str, str]]:
    """A token's id, and the header that carries it."""
    with database.write() as session:
        token, secret = tokens.create(session, f"a {role}", role, **options)
        return token.id, {"Authorization": f"Bearer {secret}"}


def routes(app: FastAPI) -> Iterator[tuple[str, str]]:
    """Every method and path that is not the page's: found in the app, not listed here."""
    for path, methods in app.openapi()["paths"].items():
        for method in methods:
            yield method.upper(), path.replace("{", "").replace("}", "")


@pytest.fixture
def app(settings: Settings, database: Database) -> FastAPI:
    return create_app(settings, database)


def test_every_route_of_the_api_refuses_who_has_no_token(
    app: FastAPI, database: Database, api: TestClient
) -> None:
    """Catches: a new route that forgets to ask."""
    made(database, Role.viewer)
    walked = list(routes(app))
    assert len(walked) > 25
    for method, path in walked:
        answer = api.request(method, path)
        assert answer.status_code == 401, (method, path)
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.json()["type"] == "/errors#unauthorized"


FOR_ALL = {
    "/", "/sweeps", "/new", "/cluster", "/sweeps/{sweep_id}", "/trials/{trial_id}", PLOTLY, "/web",
    "/healthz", "/readyz", "/errors", "/openapi.json", "/docs", "/docs/files",
}  # fmt: skip
"""What anybody may read: it holds nothing of anybody's."""


def test_every_path_that_is_not_for_all_refuses_who_has_no_token(
    app: FastAPI, database: Database, api: TestClient
) -> None:
    """Catches: a route beside the API that nobody thought of."""
    made(database, Role.viewer)
    walked = {str(each.path) for each in iter_route_contexts(app.routes)}
    assert walked >= FOR_ALL
    assert len(walked - FOR_ALL) > 25
    for path in walked - FOR_ALL:
        answer = api.get(path.replace("{", "").replace("}", ""))
        assert answer.status_code in (401, 405), path


def test_with_a_token_a_proxy_may_ask(api: TestClient, database: Database) -> None:
    _, viewer = made(database, Role.viewer)
    assert api.get(SWEEPS, headers=viewer | {"X-Forwarded-For": "203.0.113.7"}).status_code == 200


def test_a_role_includes_those_before_it(api: TestClient, database: Database) -> None:
    _, viewer = made(database, Role.viewer)
    _, submitter = made(database, Role.submitter)
    _, admin = made(database, Role.admin)
    owners: list[str] = []
    refused = api.post(SWEEPS, json=small_sweep(), headers=viewer)
    assert (refused.status_code, refused.json()["type"]) == (403, "/errors#forbidden")
    assert "submitter" in refused.json()["detail"]
    for headers in (submitter, admin):
        answer = api.post(SWEEPS, json=small_sweep(), headers=headers)
        assert answer.status_code == 201
        owners.append(answer.json()["owner"])
    assert owners == ["a submitter", "a admin"]
    for headers in (viewer, submitter, admin):
        assert len(api.get(SWEEPS, headers=headers).json()["items"]) == 2


@pytest.mark.parametrize("header", ["Bearer lrd_guessed", "Bearer ", "Basic bHJkOmxyZA==", "x"])
def test_what_is_no_token_is_refused(api: TestClient, database: Database, header: str) -> None:
    made(database, Role.admin)
    assert api.get(SWEEPS, headers={"Authorization": header}).status_code == 401


def test_a_wrong_token_is_refused_even_while_none_is_made(api: TestClient) -> None:
    assert api.get(SWEEPS, headers={"Authorization": "Bearer lrd_guessed"}).status_code == 401


def test_a_token_ends_when_it_is_revoked_or_expires(api: TestClient, database: Database) -> None:
    number, revoked = made(database, Role.viewer)
    old, expired = made(database, Role.viewer, expires_days=1)
    assert api.get(SWEEPS, headers=expired).status_code == 200
    with database.write() as session:
        tokens.revoke(session, number)
        session.execute(update(Token).where(Token.id == old).values(expires_at=1.0))
    assert api.get(SWEEPS, headers=revoked).status_code == 401
    assert api.get(SWEEPS, headers=expired).status_code == 401
    # The expired one was not revoked: nothing opens by itself.
    assert api.get(SWEEPS).status_code == 401


def test_a_token_is_kept_as_a_hash_and_its_use_is_noted(
    api: TestClient, database: Database
) -> None:
    number, headers = made(database, Role.viewer)
    secret = headers["Authorization"].removeprefix("Bearer ")
    assert len(secret) == len("lrd_") + 43  # 256 bits in base64
    assert api.get(SWEEPS, headers=headers).status_code == 200
    with database.read() as session:
        token = session.get_one(Token, number)
        assert token.sha256 == hashlib.sha256(secret.encode()).hexdigest()
        assert token.last_used_at is None  # who reads does not wait for who writes
        row = session.execute(select(Token.__table__)).one()
    assert secret not in str(row)
    uses = api.app.state.uses  # type: ignore[attr-defined]
    _note_uses(database, uses)
    _note_uses(database, uses)  # once: nobody asked in between
    with database.read() as session:
        assert session.get_one(Token, number).last_used_at is not None


# --- without any token ----------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost:8000", "[::1]:8000", "127.0.0.1"])
def test_this_machine_may_ask(api: TestClient, host: str) -> None:
    assert api.get(SWEEPS, headers={"Host": host}).status_code == 200
    same = {"Host": host, "Origin": f"http://{host}"}
    assert api.post(SWEEPS, json=small_sweep(), headers=same).status_code == 201


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "10.0.0.1", "[::1", ""])
def test_a_name_that_is_made_to_point_here_is_refused(api: TestClient, host: str) -> None:
    assert api.get(SWEEPS, headers={"Host": host}).status_code == 403


@pytest.mark.parametrize("header", FORWARDED)
def test_a_proxy_may_not_ask_for_somebody_else(api: TestClient, header: str) -> None:
    """Catches: a proxy on this machine that lets everybody in, as if they were here."""
    answer = api.get(SWEEPS, headers={header: "203.0.113.7"})
    assert answer.status_code == 403
    assert "lrd token create" in answer.json()["detail"]


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:9999"])
def test_another_page_may_not_ask(api: TestClient, origin: str) -> None:
    answer = api.post(SWEEPS, json=small_sweep(), headers={"Origin": origin})
    assert answer.status_code == 403
    assert api.get(SWEEPS).json()["items"] == []


def test_where_others_reach_it_a_token_is_needed_from_the_first(
    settings: Settings, database: Database
) -> None:
    exposed = settings.model_copy(update={"host": "0.0.0.0"})
    with TestClient(create_app(exposed, database), base_url="http://127.0.0.1") as api:
        assert api.get(SWEEPS).status_code == 401
        assert api.get("/healthz").status_code == 200


def test_the_service_does_not_listen_to_others_without_a_token(settings: Settings) -> None:
    with pytest.raises(LRDError, match="lrd token create"):
        serve(settings.model_copy(update={"host": "0.0.0.0"}), dispatch=False)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True),
     ("0.0.0.0", False), ("::", False), ("10.1.1.1", False), ("localhost.evil.example", False)],
)  # fmt: skip
def test_only_loopback_is_this_machine(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


# --- lrd token ------------------------------------------------------------------------------------


def test_a_token_is_made_listed_and_revoked(
    sqlite: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LRD_DATABASE_URL", sqlite(tmp_path))
    run = CliRunner()
    answer = run.invoke(cli.app, ["token", "create", "Ada", "--role", "viewer"])
    secret = answer.stdout.strip()
    assert secret.startswith("lrd_")
    listed = run.invoke(cli.app, ["token", "ls"]).stdout
    assert "viewer" in listed
    assert "Ada" in listed
    assert secret not in listed
    run.invoke(cli.app, ["token", "create", "Bob"])
    assert run.invoke(cli.app, ["token", "revoke", "1"]).exit_code == 0
    assert "revoked" in run.invoke(cli.app, ["token", "ls"]).stdout
    missing = run.invoke(cli.app, ["token", "revoke", "9"])
    assert "no token 9" in str(missing.exception)
    wrong = run.invoke(cli.app, ["token", "create", "Ada", "--role", "king"])
    assert wrong.exit_code == 2
    assert "'king' is not one of" in wrong.output


def test_the_last_token_is_revoked_with_a_word_alone(
    settings: Settings, database: Database, api: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: a service that was to answer to tokens alone, and opens when a leaked one ends."""
    monkeypatch.setenv("LRD_DATABASE_URL", settings.database)
    number, _ = made(database, Role.admin)
    run = CliRunner()
    refused = run.invoke(cli.app, ["token", "revoke", str(number)])
    assert str(refused.exception).startswith(f"token {number} is the last one: without it the ser")
    assert api.get(SWEEPS).status_code == 401
    opened = run.invoke(cli.app, ["token", "revoke", str(number), "--open"])
    assert "answers this machine without one" in opened.stderr
    assert api.get(SWEEPS).status_code == 200
    again = run.invoke(cli.app, ["token", "revoke", str(number)])  # it changes nothing more
    assert "no token is left" not in again.stderr


def test_the_client_sends_its_token(
    settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, headers = made(database, Role.viewer)
    with TestClient(create_app(settings, database), base_url="http://127.0.0.1") as http:
        wire = httpx2.MockTransport(
            lambda request: httpx2.Response(
                (answer := http.get(str(request.url), headers=request.headers)).status_code,
                json=answer.json(),
            )
        )
        secret = headers["Authorization"].removeprefix("Bearer ")
        with Client("http://127.0.0.1", secret, transport=wire) as client:
            assert client.sweeps() == []
        monkeypatch.setenv("LRD_TOKEN", secret)
        with Client("http://127.0.0.1", transport=wire) as client:
            assert client.sweeps() == []
        monkeypatch.delenv("LRD_TOKEN")
        with (
            Client("http://127.0.0.1", transport=wire) as client,
            pytest.raises(ServiceAnswered, match="LRD_TOKEN"),
        ):
            client.sweeps()
