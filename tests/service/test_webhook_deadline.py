"""A webhook's receiver cannot hold its sender for longer than its time, nor what waits behind."""

import socket
import threading
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from service import app, webhooks
from service.settings import Settings
from service.store.session import Database
from service.webhooks import NotAllowed, Sender
from tests.conftest import small_sweep

SILENT, QUICK = "https://silent.example/", "https://quick.example/"


@pytest.fixture
def trickling() -> Iterator[str]:
    """The address of a server whose answer's head comes byte by byte, and never ends."""
    listening = socket.create_server(("127.0.0.1", 0))
    listening.settimeout(30)

    def answer() -> None:
        connection, _ = listening.accept()
        with connection:
            connection.sendall(b"HTTP/1.1 200 OK\r\n")
            gone = threading.Event()
            while not gone.wait(0.02):
                try:
                    connection.sendall(b"X: y\r\n")
                except OSError:
                    gone.set()

    thread = threading.Thread(target=answer)
    thread.start()
    yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
    thread.join()
    listening.close()


def test_an_answer_that_trickles_is_given_up(
    trickling: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Catches: a limit for each byte, by which one receiver kept all other messages waiting.
    monkeypatch.setattr(webhooks, "TIMEOUT", 0.3)
    with pytest.raises(NotAllowed, match=r"has not answered within 0\.3 s"):
        webhooks.post(trickling, b"{}", {}, private=True)


def three_endings(api: TestClient, *urls: str) -> None:
    """Three sweeps that have ended, of which each of these is to be told."""
    for url in urls:
        assert api.post("/api/v1/webhooks", json={"url": url}).status_code == 201
    for name in "abc":
        sweep_id = api.post("/api/v1/sweeps", json=small_sweep(name=name)).json()["id"]
        api.post(f"/api/v1/sweeps/{sweep_id}/cancel")


def test_a_receiver_that_does_not_answer_holds_up_others_once_a_step(
    idle_api: TestClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: everybody's messages, ten seconds later for each that a dead receiver is due."""
    three_endings(idle_api, SILENT, QUICK)
    asked: list[str] = []

    def post(url: str, *_: object, **__: object) -> None:
        asked.append(url)
        if url == SILENT:
            raise NotAllowed("silent.example has not answered within 10 s")

    monkeypatch.setattr(webhooks, "post", post)
    sender = Sender(database, private=True)
    assert sender.step() == 4
    assert (asked.count(SILENT), asked.count(QUICK)) == (1, 3)
    assert sender.step() == 1  # its own wait no longer for that
    assert asked.count(SILENT) == 2


def test_the_end_of_the_service_waits_for_one_message_at_most(
    settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: a service that is asked to stop, and waits ten seconds for each of ten messages."""
    begun, closed, asked = threading.Event(), threading.Event(), list[str]()

    class Watched(Sender):
        def close(self) -> None:
            super().close()
            closed.set()

    def post(url: str, *_: object, **__: object) -> None:
        asked.append(url)
        begun.set()
        closed.wait(5)

    monkeypatch.setattr(webhooks, "post", post)
    monkeypatch.setattr(app, "Sender", Watched)
    with TestClient(app.create_app(settings, database), base_url="http://127.0.0.1") as api:
        three_endings(api, QUICK)
        assert begun.wait(60)
    assert len(asked) == 1
