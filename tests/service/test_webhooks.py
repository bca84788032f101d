"""Who is told when a sweep has ended: once, signed, again until it arrives, and nobody inside."""

import contextlib
import hashlib
import hmac
import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select, update
from typer.testing import CliRunner

from service import cli
from service import webhooks as sending
from service.dispatcher import Dispatcher
from service.lifecycle import Reason
from service.settings import Settings
from service.store import settling, tokens, webhooks
from service.store.models import Delivery
from service.store.session import Database
from service.store.tokens import Role
from service.webhooks import NotAllowed, Sender
from tests.conftest import small_sweep
from tests.inline import InlineExecutor

SWEEPS, HOOKS = "/api/v1/sweeps", "/api/v1/webhooks"


class Receiver:
    """A server that answers as it is told, and remembers what it was told."""

    def __init__(self) -> None:
        self.answers: list[int] = []
        self.heard: list[tuple[dict[str, str], bytes]] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.heard.append((dict(self.headers), body))
                status = receiver.answers.pop(0) if receiver.answers else 204
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", "/elsewhere")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/lrd?from=here"

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"webhook_private": True})


@pytest.fixture
def api(settings: Settings, database: Database) -> TestClient:
    """Without the application's own sender: the tests send step by step."""
    from service.app import create_app

    return TestClient(create_app(settings, database), base_url="http://127.0.0.1")


def hook(api: TestClient, url: str) -> dict[str, Any]:
    answer = api.post(HOOKS, json={"url": url})
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def ended(api: TestClient, **changes: Any) -> str:
    sweep_id = str(api.post(SWEEPS, json=small_sweep(**changes)).json()["id"])
    api.post(f"{SWEEPS}/{sweep_id}/cancel")
    return sweep_id


def stored(database: Database) -> list[Delivery]:
    with database.read() as session:
        return list(session.scalars(select(Delivery).order_by(Delivery.id)))


def due_now(database: Database) -> None:
    with database.write() as session:
        waiting = Delivery.next_at.is_not(None)
        session.execute(update(Delivery).where(waiting).values(next_at=1.0))


# --- what is written ------------------------------------------------------------------------------


def test_a_sweep_that_runs_to_its_end_is_announced_once(
    api: TestClient, settings: Settings, database: Database
) -> None:
    hook(api, "https://example.com/a")
    hook(api, "https://example.com/b")
    sweep_id = api.post(SWEEPS, json=small_sweep()).json()["id"]
    dispatcher = Dispatcher(database, InlineExecutor(settings.trials), lease_seconds=60)
    for _ in range(30):
        dispatcher.step(0)
    assert api.get(f"{SWEEPS}/{sweep_id}").json()["state"] == "succeeded"
    assert [(each.webhook_id, each.event, each.sweep_id) for each in stored(database)] == [
        (1, "sweep.succeeded", sweep_id), (2, "sweep.succeeded", sweep_id),
    ]  # fmt: skip


def test_each_way_of_ending_has_its_name_and_each_ending_its_message(
    api: TestClient, settings: Settings, database: Database
) -> None:
    hook(api, "https://example.com/")
    sweep_id = ended(api)
    assert [each.event for each in stored(database)] == ["sweep.cancelled"]
    api.post(f"{SWEEPS}/{sweep_id}/cancel")  # asked twice is told once
    assert len(stored(database)) == 1
    api.post(f"{SWEEPS}/{sweep_id}/retry?cancelled=true")
    executor = InlineExecutor(settings.trials)
    dispatcher = Dispatcher(database, executor, lease_seconds=60)
    dispatcher.step(0)
    trial_id, attempt = executor.running()[0]
    with database.write() as session:
        settling.settle(session, trial_id, attempt, Reason.error, "as the test wants it")
    executor.cancel(trial_id, attempt)
    for _ in range(40):
        dispatcher.step(0)
    assert [each.event for each in stored(database)] == ["sweep.cancelled", "sweep.failed"]


def test_a_sweep_of_reused_results_ends_when_it_comes(
    api: TestClient, settings: Settings, database: Database
) -> None:
    api.post(SWEEPS, json=small_sweep())
    dispatcher = Dispatcher(database, InlineExecutor(settings.trials), lease_seconds=60)
    for _ in range(30):
        dispatcher.step(0)
    hook(api, "https://example.com/")
    assert stored(database) == []  # what had ended before is not told
    again = api.post(SWEEPS, json=small_sweep(reuse=True)).json()
    assert again["state"] == "succeeded"
    (message,) = stored(database)
    assert (message.sweep_id, message.event) == (again["id"], "sweep.succeeded")


def test_a_change_that_fails_announces_nothing(api: TestClient, database: Database) -> None:
    hook(api, "https://example.com/")
    sweep_id = api.post(SWEEPS, json=small_sweep()).json()["id"]
    with contextlib.suppress(ZeroDivisionError), database.write() as session:
        from service.store import requests

        requests.cancel_sweep(session, sweep_id)
        raise ZeroDivisionError
    assert stored(database) == []


# --- what is sent ---------------------------------------------------------------------------------


def test_a_message_is_signed_and_says_what_has_ended(
    api: TestClient, database: Database, receiver: Receiver
) -> None:
    made = hook(api, receiver.url)
    sweep_id = ended(api)
    sender = Sender(database, private=True)
    assert (sender.step(), sender.step()) == (1, 0)
    ((headers, body),) = receiver.heard
    mac = hmac.new(made["secret"].encode(), body, hashlib.sha256).hexdigest()
    assert headers["LRD-Signature"] == f"sha256={mac}"
    assert headers["Host"] == f"127.0.0.1:{receiver.port}"
    content = json.loads(body)
    assert content["event"] == headers["LRD-Event"] == "sweep.cancelled"
    assert str(content["id"]) == headers["LRD-Delivery"]
    assert content["sweep"] == api.get(f"{SWEEPS}/{sweep_id}").json()
    (seen,) = api.get(f"{HOOKS}/{made['id']}/deliveries").json()["items"]
    assert seen["delivered_at"] is not None
    assert (seen["next_at"], seen["error"], seen["tries"]) == (None, None, 1)


def test_what_does_not_arrive_is_sent_again_after_growing_pauses_and_given_up(
    api: TestClient, database: Database, receiver: Receiver
) -> None:
    hook(api, receiver.url)
    ended(api)
    receiver.answers = [500, 302, 404]
    sender = Sender(database, private=True)
    waits = []
    for _ in range(3):
        sender.step()
        (message,) = stored(database)
        assert message.error is not None
        assert message.next_at is not None
        waits.append(message.next_at)
        due_now(database)
    assert len(receiver.heard) == 3  # the redirect was not followed
    assert waits[1] - waits[0] > 25
    assert waits[2] - waits[1] > 100
    assert "404" in str(stored(database)[0].error)
    sender.step()
    assert stored(database)[0].delivered_at is not None
    assert stored(database)[0].error is None

    ended(api, name="another")
    receiver.answers = [500] * 20
    for _ in range(20):
        sender.step()
        due_now(database)
    last = stored(database)[-1]
    assert (last.tries, last.next_at, last.delivered_at) == (sending.TRIES, None, None)


def test_nobody_there_is_an_error_and_no_crash(api: TestClient, database: Database) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    hook(api, f"http://127.0.0.1:{port}/")
    hook(api, "http://no.such.name.invalid/")
    ended(api)
    assert Sender(database, private=True).step() == 2
    assert all(each.error and each.next_at for each in stored(database))


def test_a_message_that_its_sender_left_behind_is_sent_by_another(
    api: TestClient, database: Database, receiver: Receiver
) -> None:
    hook(api, receiver.url)
    ended(api)
    with database.write() as session:
        claimed = webhooks.claim(session)  # and its process is killed here
    second = Sender(database, private=True)
    assert second.step() == 0
    due_now(database)  # the claim has lapsed
    assert second.step() == 1
    assert len(receiver.heard) == 1
    with database.write() as session:
        webhooks.failed(session, claimed, "too late", 1.0)  # the first was only slow
    assert stored(database)[0].delivered_at is not None


def test_two_senders_send_each_message_once(
    api: TestClient, database: Database, receiver: Receiver
) -> None:
    hook(api, receiver.url)
    for number in range(6):
        ended(api, name=f"sweep {number}")
    senders = [threading.Thread(target=Sender(database, private=True).step) for _ in range(4)]
    for each in senders:
        each.start()
    for each in senders:
        each.join()
    assert sorted(headers["LRD-Delivery"] for headers, _ in receiver.heard) == [*"123456"]


# --- where nothing is sent ------------------------------------------------------------------------

PRIVATE = [
    "127.0.0.1", "10.0.0.1", "192.168.1.1", "172.16.0.1", "169.254.169.254", "0.0.0.0",
    "100.64.0.1", "224.0.0.1", "[::1]", "[fe80::1]", "[fd00::1]", "[::ffff:127.0.0.1]", "[::]",
    "[64:ff9b::a9fe:a9fe]", "[2002:7f00:1::]", "[::127.0.0.1]", "[fec0::1]", "[2001:0:7f00:1::]",
]  # fmt: skip


@pytest.mark.parametrize("host", PRIVATE)
def test_a_private_address_is_refused(settings: Settings, database: Database, host: str) -> None:
    from service.app import create_app

    careful = settings.model_copy(update={"webhook_private": False})
    api = TestClient(create_app(careful, database), base_url="http://127.0.0.1")
    answer = api.post(HOOKS, json={"url": f"http://{host}:8080/"})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "/url"
    with pytest.raises(NotAllowed, match="no public address"):
        sending.post(f"http://{host}:8080/", b"", {}, private=False)


@pytest.mark.parametrize(
    "url",
    ["ftp://example.com/", "file:///etc/passwd", "https://", "https://ada:secret@example.com/",
     "https://example.com/\n", "javascript:alert(1)", "https://exämple.com/", "http://[::1", ""],
)  # fmt: skip
def test_what_is_no_plain_address_is_refused(api: TestClient, url: str) -> None:
    answer = api.post(HOOKS, json={"url": url})
    assert answer.status_code == 422, answer.text


def resolving(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[str]:
    """Have names resolve to these, one list after the other; the names that were asked for."""
    asked: list[str] = []
    left, real = list(answers), socket.getaddrinfo

    def getaddrinfo(host: str, port: int, *more: Any, **named: Any) -> list[Any]:
        if host[:1].isdigit():  # an address means itself
            return list(real(host, port, *more, **named))
        asked.append(host)
        found = left.pop(0) if len(left) > 1 else left[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in found]

    monkeypatch.setattr(sending.socket, "getaddrinfo", getaddrinfo)
    return asked


def test_a_name_of_a_private_address_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    resolving(monkeypatch, ["93.184.215.14", "127.0.0.1"])
    with pytest.raises(NotAllowed, match=r"inside\.example is at 127\.0\.0\.1"):
        sending.post("http://inside.example/", b"", {}, private=False)


def test_the_connection_goes_to_the_address_that_was_looked_at(
    monkeypatch: pytest.MonkeyPatch, receiver: Receiver
) -> None:
    """Catches: resolving again to connect, by when the name may mean something else."""
    asked = resolving(monkeypatch, ["127.0.0.1"], ["10.0.0.1"])
    monkeypatch.setattr(sending, "_is_public", lambda address: address == "127.0.0.1")
    url = f"http://rebinding.example:{receiver.port}/x"
    sending.post(url, b"hello", {"Content-Type": "text/plain"}, private=False)
    ((headers, body),) = receiver.heard
    assert (headers["Host"], body) == (f"rebinding.example:{receiver.port}", b"hello")
    assert asked.count("rebinding.example") == 1


# --- who may --------------------------------------------------------------------------------------


def test_webhooks_and_the_audit_log_are_for_admins(api: TestClient, database: Database) -> None:
    with database.write() as session:
        made = {role: tokens.create(session, role, role)[1] for role in Role}
    for role, secret in made.items():
        headers = {"Authorization": f"Bearer {secret}"}
        codes = [
            api.get(HOOKS, headers=headers).status_code,
            api.get("/api/v1/audit", headers=headers).status_code,
            api.post(HOOKS, json={"url": "https://example.com/"}, headers=headers).status_code,
        ]
        assert codes == ([200, 200, 201] if role is Role.admin else [403, 403, 403]), role


def test_a_webhook_is_shown_without_its_secret_and_removed(
    api: TestClient, database: Database
) -> None:
    made = hook(api, "https://example.com/")
    ended(api)
    secret = made.pop("secret")
    assert api.get(HOOKS).json()["items"] == [made]
    assert secret not in api.get(f"{HOOKS}/{made['id']}").text + api.get("/api/v1/audit").text
    assert api.delete(f"{HOOKS}/{made['id']}").json() == made
    assert api.delete(f"{HOOKS}/{made['id']}").status_code == 404
    assert stored(database) == []
    actions = [each["action"] for each in api.get("/api/v1/audit").json()["items"]]
    assert actions == ["DELETE", "POST", "POST", "POST"]


def test_the_audit_log_comes_in_pages(api: TestClient) -> None:
    for number in range(5):
        api.post(SWEEPS, json=small_sweep(name=f"{number}"))
    first = api.get("/api/v1/audit?page_size=3").json()
    rest = api.get(f"/api/v1/audit?page_token={first['next_page_token']}").json()
    assert [each["id"] for each in first["items"] + rest["items"]] == [5, 4, 3, 2, 1]


def test_the_receiver_of_the_guide_knows_what_is_genuine() -> None:
    guide = Path(__file__).parents[2] / "docs" / "webhooks.md"
    names: dict[str, Any] = {}
    exec(guide.read_text().split("```python")[1].split("```")[0], names)
    signed = sending.signature("secret", b"body")
    assert names["is_genuine"]("secret", b"body", signed)
    assert not names["is_genuine"]("secret", b"other", signed)


def test_from_the_shell(sqlite: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LRD_DATABASE_URL", sqlite(tmp_path))
    run = CliRunner()
    secret = run.invoke(cli.app, ["webhook", "add", "https://example.com/"]).stdout.split()[0]
    assert len(secret) == 64
    listed = run.invoke(cli.app, ["webhook", "ls"]).stdout
    assert "https://example.com/" in listed
    assert secret not in listed
    assert run.invoke(cli.app, ["webhook", "rm", "1"]).exit_code == 0
    assert "no webhook 1" in str(run.invoke(cli.app, ["webhook", "rm", "1"]).exception)
    log = run.invoke(cli.app, ["audit"]).stdout
    assert "webhook add" in log
    assert "webhook rm" in log
