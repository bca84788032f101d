"""Input that breaks such a stack by default: each has its answer, and the service goes on."""

import contextlib
import json
import select
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn
from fastapi.testclient import TestClient

from service import heads
from service.app import create_app
from service.serve import listen, server_config
from service.settings import Settings
from service.store.session import Database
from tests.conftest import small_sweep
from tests.seeded import seed
from tests.waiting import until

SWEEPS = "/api/v1/sweeps"
PROBLEM = "application/problem+json"
JSON, YAML = "application/json", "application/yaml"


def spec(old: str = "", new: str = "") -> bytes:
    """A sweep as JSON, a piece of it replaced."""
    written = json.dumps(small_sweep())
    assert old in written
    return written.replace(old, new, 1).encode()


BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{b}: &{b} [*{a},*{a},*{a},*{a},*{a},*{a},*{a},*{a}]\n"
    for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)
BODIES: dict[str, tuple[bytes, str, int]] = {
    "NaN": (spec('"seeds": 2', '"seeds": NaN'), JSON, 422),
    "Infinity": (spec("1.0, 0.5", "1.0, Infinity"), JSON, 422),
    "1e999": (spec("1.0, 0.5", "1.0, 1e999"), JSON, 422),
    "a seed of 2^63": (spec('"seeds": 2', f'"seeds": [{2**63}]'), JSON, 422),
    "2^63 epochs": (spec('"epochs": 2', f'"epochs": {2**63}'), JSON, 422),
    "an integer of 5,000 digits": (spec('"seeds": 2', '"seeds": ' + "9" * 5000), JSON, 422),
    "a string for a number": (spec('"epochs": 2', '"epochs": "2"'), JSON, 422),
    "true for a number": (spec('"epochs": 2', '"epochs": true'), JSON, 422),
    "a lone surrogate": (spec('"name": "small"', '"name": "\\ud800"'), JSON, 422),
    "a lone surrogate for a key": (spec('"seeds": 2', '"\\ud800": 2'), JSON, 422),
    "NUL": (spec('"name": "small"', '"name": "a\\u0000b"'), JSON, 422),
    "NUL in an override": (spec("optimizer.keep_prob", "optimizer\\u0000"), JSON, 422),
    "a duplicate key": (spec('"seeds": 2', '"seeds": 2, "seeds": 3'), JSON, 422),
    "100,000 levels": (b"[" * 100_000 + b"]" * 100_000, JSON, 422),
    "100,000 levels of objects": (b'{"a":' * 100_000, JSON, 422),
    "not UTF-8": (b'{"name": "\xff\xfe"}', JSON, 422),
    "UTF-16": (json.dumps(small_sweep()).encode("utf-16"), JSON, 422),
    "compressed without saying so": (b"\x1f\x8b\x08\x00\x00\x00\x00\x00", JSON, 422),
    "nothing": (b"", JSON, 422),
    "null": (b"null", JSON, 422),
    "a list": (b"[]", JSON, 422),
    "a text": (b'"sweep"', JSON, 422),
    "30 MB": (b'{"name": "' + b"a" * (30 << 20) + b'"}', JSON, 413),
    "a YAML bomb": (BOMB.encode(), YAML, 422),
    "a YAML tag": (b"!!python/object/apply:os.system ['true']", YAML, 422),
    "a YAML tag inside": (b"name: !!binary aGk=", YAML, 422),
    "YAML of 100,000 levels": (b"[" * 100_000, YAML, 422),
    "two YAML documents": (b"name: a\n---\nname: b\n", YAML, 422),
    "a YAML merge": (b"<<: {name: a}\n", YAML, 422),
    "XML": (b"<sweep/>", "application/xml", 415),
    "a form": (b"name=a", "application/x-www-form-urlencoded", 415),
    "a form of files": (b"--x--", "multipart/form-data; boundary=x", 415),
}


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("path", [SWEEPS, f"{SWEEPS}?validate_only=true"])
def test_a_body_that_is_no_sweep_is_refused(api: TestClient, name: str, path: str) -> None:
    content, kind, status = BODIES[name]
    answer = api.post(path, content=content, headers={"Content-Type": kind})
    assert answer.status_code == status, answer.text[:500]
    assert answer.headers["content-type"] == PROBLEM
    problem = answer.json()
    assert problem["status"] == status
    assert len(answer.content) < 20_000
    assert api.get(SWEEPS).json()["items"] == []


@pytest.mark.parametrize("verb", ["extend", "clone"])
@pytest.mark.parametrize("name", ["NaN", "1e999", "NUL", "100,000 levels", "30 MB", "a list"])
def test_a_body_that_changes_a_sweep_is_refused_alike(
    api: TestClient, name: str, verb: str
) -> None:
    sweep_id = api.post(SWEEPS, json=small_sweep()).json()["id"]
    content, kind, status = BODIES[name]
    answer = api.post(
        f"{SWEEPS}/{sweep_id}/{verb}", content=content, headers={"Content-Type": kind}
    )
    assert answer.status_code == status, answer.text[:500]
    assert len(api.get(SWEEPS).json()["items"]) == 1


@pytest.mark.parametrize(
    "body",
    [b'{"priority": 1e999}', b'{"priority": NaN}', b'{"priority": 9223372036854775808}',
     b'{"priority": true}', b'{"max_concurrent": 1.5}', b"[" * 100_000, b"\xff", b'{"id": "a"}'],
)  # fmt: skip
def test_a_change_that_is_none_is_refused(api: TestClient, body: bytes) -> None:
    sweep_id = api.post(SWEEPS, json=small_sweep()).json()["id"]
    headers = {"Content-Type": JSON}
    answer = api.patch(f"{SWEEPS}/{sweep_id}", content=body, headers=headers)
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == PROBLEM


NAMES = [
    "..", "%2e%2e%2f%2e%2e%2fetc%2fpasswd", "..%5c..%5c", "a%00b", "%ed%a0%80", "%F0%9F%92%A9",
    "-1", "0", str(2**63), str(2**200), "1e3", "nan", "%20", "'%3b%20drop%20table%20sweeps%3b--",
    "a" * 4000, "%23", "null",
]  # fmt: skip


def test_a_body_of_unknown_fields_without_end_is_told_of_the_first_hundred(
    api: TestClient,
) -> None:
    """Catches: minutes of looking for what each of them was meant to be."""
    unknown = {f"field {number}": 1 for number in range(20_000)}
    grid = {"optimizer": [{"name": "adam"} | unknown]}
    for body in (unknown | {"preset": "digits"}, unknown, small_sweep(grid=grid)):
        assert len(api.post(SWEEPS, json=body).json()["errors"]) == 100


@pytest.mark.parametrize("name", NAMES)
def test_an_address_that_names_nothing_is_not_found(api: TestClient, name: str) -> None:
    for path in (f"{SWEEPS}/{name}", f"{SWEEPS}/{name}/table", f"/api/v1/trials/{name}",
                 f"/api/v1/trials/{name}/logs", f"/api/v1/presets/{name}"):  # fmt: skip
        answer = api.get(path, follow_redirects=False)
        assert answer.status_code in (404, 422), (path, answer.text)
    for path in (f"{SWEEPS}/{name}/cancel", f"/api/v1/trials/{name}/retry"):
        assert api.post(path).status_code in (404, 405, 422), path


@pytest.mark.parametrize("path", ["/api/v1/sweeps/", "/api/v1/cluster/", "/readyz/", "/sweeps/"])
def test_an_address_with_a_slash_too_many_is_not_found(api: TestClient, path: str) -> None:
    """Catches: a bare 307 that leads out of the path at which a proxy shows the service."""
    for method in ("GET", "POST"):
        answer = api.request(method, path, follow_redirects=False)
        assert answer.status_code == 404
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["detail"].startswith(f"there is no {method} {path};")
    shown = api.get(path, headers={"Accept": "text/html"}, follow_redirects=False)
    assert shown.status_code == 404


def test_a_body_where_none_is_taken_is_refused(api: TestClient, database: Database) -> None:
    """Catches: `{"cancelled": true}`, of which the answer is `retry it with cancelled=true`."""
    sweep_id = seed(database, small_sweep(), states=("cancelled",))
    routes = [
        (method.upper(), path.format(sweep_id=sweep_id, trial_id=1, webhook_id=1))
        for path, methods in api.app.openapi()["paths"].items()  # type: ignore[attr-defined]
        for method, route in methods.items()
        if method != "get" and "requestBody" not in route
    ]
    assert len(routes) == 8, routes
    for method, path in routes:
        answer = api.request(method, path, json={"cancelled": True})
        assert answer.status_code == 422, path
        assert answer.json()["detail"].startswith(f"{method} {path} takes no body; ")
    said = api.post(f"{SWEEPS}/{sweep_id}/retry", json={"cancelled": True}).json()["detail"]
    assert said.endswith("its parameters go into the address: ?cancelled=…")
    again = api.post(f"{SWEEPS}/{sweep_id}/retry?cancelled=true", json={})  # asks for nothing
    assert again.json()["trials"]["queued"] == 4


def token(*key: Any) -> str:
    from service.api.context import encode_token

    return encode_token(list(key))


@pytest.mark.parametrize(
    "given",
    ["x", "====", token(), token("x"), token(1.5), token(True), token(None), token(2**70),
     token(1, 2), token([1]), token({"a": 1}), token("x", "y"), token(1.0, "a\0"),
     token(1.0, "\ud800"), "W05hTl0=", "é"],
)  # fmt: skip
def test_a_page_token_of_ones_own_making_is_refused(api: TestClient, given: str) -> None:
    sweep_id = api.post(SWEEPS, json=small_sweep()).json()["id"]
    for path in (SWEEPS, f"{SWEEPS}/{sweep_id}/trials", f"{SWEEPS}/{sweep_id}/events",
                 "/api/v1/trials/1/reports", "/api/v1/trials/1/events"):  # fmt: skip
        answer = api.get(path, params={"page_token": given})
        assert answer.status_code == 422, (path, answer.text)


@pytest.mark.parametrize("search", ["%00", "%ed%a0%80", "a%0a%00"])
def test_a_search_for_what_is_no_text_is_refused(api: TestClient, search: str) -> None:
    assert api.get(f"{SWEEPS}?search={search}").status_code in (200, 422)
    assert api.get(f"{SWEEPS}?search=%25_").json()["items"] == []


# --- over a real connection -----------------------------------------------------------------------


@pytest.fixture
def port(settings: Settings, database: Database) -> Iterator[int]:
    """Of a real server that waits half a second for bodies."""
    hasty = settings.model_copy(update={"body_seconds": 0.5})
    config = server_config(create_app(hasty, database))
    server = uvicorn.Server(config)
    listener = listen("127.0.0.1", 0)
    thread = threading.Thread(target=lambda: server.run(sockets=[listener]))
    thread.start()
    number = int(listener.getsockname()[1])
    until(lambda: server.started, "the server does not start")
    yield number
    server.should_exit = server.force_exit = True
    thread.join(20)
    listener.close()


def ask(port: int, head: str, *, timeout: float = 20) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=timeout)
    connection.sendall(head.replace("\n", "\r\n").encode())
    return connection


def answer_of(connection: socket.socket) -> bytes:
    with connection, contextlib.suppress(ConnectionError):
        found = b""
        while part := connection.recv(65_536):
            found += part
            if b"\r\n\r\n" in found:
                return found
    return found


HEAD = f"POST {SWEEPS} HTTP/1.1\nHost: 127.0.0.1\nContent-Type: application/json\n"


def healthy(port: int) -> bool:
    asked = time.perf_counter()
    answer = answer_of(ask(port, "GET /healthz HTTP/1.1\nHost: 127.0.0.1\nConnection: close\n\n"))
    return b" 200 " in answer and time.perf_counter() - asked < 10


def test_an_endless_body_is_cut_off(port: int) -> None:
    connection = ask(port, HEAD + "Transfer-Encoding: chunked\n\n")
    chunk = b"10000\r\n" + b" " * 65_536 + b"\r\n"
    sent = 0
    with contextlib.suppress(OSError):
        while sent < 64 << 20:  # the limit is 1 MiB
            connection.sendall(chunk)
            sent += len(chunk)
            connection.settimeout(0.001)
            with contextlib.suppress(TimeoutError):
                if connection.recv(1, socket.MSG_PEEK):
                    break
            connection.settimeout(20)
    connection.settimeout(20)
    assert b" 413 " in answer_of(connection)
    assert sent < 64 << 20


def test_a_body_that_does_not_come_ends(port: int) -> None:
    connection = ask(port, HEAD + 'Content-Length: 100\n\n{"name": ')
    answer = answer_of(connection)
    assert b" 408 " in answer
    assert b"x-request-id" in answer
    assert healthy(port)


def test_who_never_ends_the_head_keeps_nobody_waiting(port: int) -> None:
    slow = [ask(port, "GET /healthz HTTP/1.1\nHost: 127") for _ in range(200)]
    assert healthy(port)
    for each in slow:
        each.close()


def test_a_head_that_does_not_come_ends_its_connection(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: connections of half a request that stay open for ever, one descriptor each."""
    monkeypatch.setattr(heads, "HEAD_SECONDS", 0.3)
    for sent in ("", "GET /healthz HTTP/1.1\nHost: 127"):
        assert answer_of(ask(port, sent, timeout=10)) == b""
    # On a connection that is used again, the time begins anew with each head.
    again = ask(port, 2 * "GET /healthz HTTP/1.1\nHost: 127.0.0.1\n\n", timeout=10)
    found = b""
    while found.count(b'{"status":"ok"}') < 2:
        found += again.recv(65_536)
    again.sendall(b"GET /healthz")
    assert answer_of(again) == b""


def test_a_slow_answer_is_not_taken_for_a_slow_head(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heads, "HEAD_SECONDS", 0.1)
    answer = answer_of(ask(port, HEAD + 'Content-Length: 100\n\n{"name": '))  # after 0.5 s
    assert b" 408 " in answer


def test_one_large_body_keeps_nobody_waiting(port: int) -> None:
    """Catches: YAML that is parsed where every other request is answered."""
    body = "[" + "{}," * 300_000 + "a]"
    yaml = HEAD.replace("json", "yaml") + f"Content-Length: {len(body)}\n\n"
    large = ask(port, yaml + body, timeout=60)
    answered = 0
    while not select.select([large], [], [], 0)[0]:
        assert healthy(port)
        answered += 1
    assert b" 422 " in answer_of(large)
    assert answered > 2


def test_who_never_reads_keeps_nobody_waiting(port: int) -> None:
    big = "GET /docs/files/swagger-ui-bundle.js HTTP/1.1\nHost: 127.0.0.1\n\n"
    slow = [ask(port, big) for _ in range(50)]
    assert healthy(port)
    for each in slow:
        each.close()


@pytest.mark.parametrize(
    "head",
    ["GET / HTTP/nine\n\n", "\0\0\0\n\n", "GET\n\n", f"{HEAD}Content-Length: -1\n\n",
     f"{HEAD}Content-Length: 5\nTransfer-Encoding: chunked\n\n0\n\n",
     f"GET /{'a' * 1_000_000} HTTP/1.1\nHost: 127.0.0.1\n\n",
     "GET / HTTP/1.1\nHost: 127.0.0.1\n" + f"X-Long: {'a' * 1_000_000}\n\n",
     "GET / HTTP/1.1\nHost: 127.0.0.1\n" + 20_000 * "X-More: of the same kind\n"],
)  # fmt: skip
def test_what_is_no_http_is_turned_away(port: int, head: str) -> None:
    with contextlib.suppress(ConnectionError):  # turned away while it still sends
        answer = answer_of(ask(port, head))
        assert answer == b"" or answer.startswith(b"HTTP/1.1 4")
    assert healthy(port)
