"""A webhook's receiver cannot hold its sender for longer than its time."""

import socket
import threading
from collections.abc import Iterator

import pytest

from service import webhooks
from service.webhooks import NotAllowed


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
