"""How requests reach the service: what is sent again, what is waited for, what is said."""

import re

import httpx2
import pytest
from fastapi.testclient import TestClient

from lrd_core.errors import LRDError
from service.client import Client, NoAnswer, ServiceAnswered, connection
from service.store.session import Database
from tests.conftest import small_sweep
from tests.seeded import seed
from tests.wire import Wire


def test_an_answer_that_is_lost_is_asked_for_again_and_the_sweep_is_one(
    client: Client, wire: Wire
) -> None:
    """Catches: a new key for the second try."""
    wire.faults = ["lost", "proxy", "busy 3"]
    sweep = client.submit(small_sweep())
    assert [each["id"] for each in client.sweeps()] == [sweep.id]
    keys = {each.headers["Idempotency-Key"] for each in wire.asked[:4]}
    assert len(keys) == 1
    assert len(wire.waited) == 3
    assert wire.waited[2] >= 3


def test_a_long_wait_is_told_and_a_short_one_is_not(
    client: Client, wire: Wire, caplog: pytest.LogCaptureFixture
) -> None:
    """Catches: `lrd ls`, silent for 35 s, of a token whose requests of this minute are used up."""
    wire.faults = ["lost", "busy 35"]
    client.sweeps()
    said = [record.message for record in caplog.records if record.name.startswith("service.client")]
    assert len(wire.waited) == 2
    assert len(said) == 1
    assert said[0].endswith("(trying again in 35 s)")


def test_what_was_done_is_not_done_again_when_asked_anew(client: Client, wire: Wire) -> None:
    sweep = client.submit(small_sweep())
    for _ in range(2):
        sweep.clone()
    assert len(client.sweeps()) == 3
    keys = [each.headers.get("Idempotency-Key") for each in wire.asked if each.method == "POST"]
    assert len(set(keys)) == 3


def test_patience_ends(api: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(connection.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(
        connection.time, "sleep", lambda pause: clock.__setitem__(0, clock[0] + pause)
    )
    wire = Wire(api)
    wire.faults = ["", *["refused"] * 100]
    with Client("http://127.0.0.1", patience=30, transport=httpx2.MockTransport(wire)) as client:
        client.sweeps()
        with pytest.raises(NoAnswer, match="is `lrd serve` up"):
            client.sweeps()
    assert 20 < clock[0] <= 30
    assert 5 < len(wire.asked) < 20


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("127.0.0.1:8000", "begins with neither http:// nor https://: write http://127.0.0.1:8000"),
        ("localhost:8000", "begins with neither http:// nor https://: write http://localhost:8000"),
        ("ftp://node-1", "begins with neither http:// nor https://: write http://node-1"),
        ("http://node-1:port", "'http://node-1:port' is no URL of a service: Invalid port"),
    ],
)
def test_an_address_that_is_no_url_is_told_how_to_write_it(url: str, said: str) -> None:
    """Catches: `is lrd serve up?`, of an address at which it was never looked."""
    with pytest.raises(LRDError, match=re.escape(said)):
        Client(url)


def test_an_address_where_nobody_is_is_said_at_once(client: Client, wire: Wire) -> None:
    wire.faults = ["refused"]
    with pytest.raises(NoAnswer, match=r"no service answers at http://127\.0\.0\.1"):
        client.sweeps()
    assert wire.waited == []


def test_what_takes_minutes_to_make_is_waited_for(
    client: Client, wire: Wire, database: Database
) -> None:
    """Catches: a bundle of a minute that can never be fetched."""
    sweep = client.sweep(seed(database, small_sweep()))
    sweep.export("bundle")
    sweep.table_text()
    sweep.figure("forest")
    with pytest.raises(ServiceAnswered, match="this is no bundle"):
        client.import_bundle(b"")
    waited = [each.extensions["timeout"]["read"] for each in wire.asked]
    assert waited == [60, 900, 900, 900, 900]
    assert {each.extensions["timeout"]["connect"] for each in wire.asked} == {60}


def test_a_service_that_is_too_slow_is_not_said_to_be_away(client: Client, wire: Wire) -> None:
    """Catches: `is lrd serve up?`, of a service that is at work."""
    sweep = client.submit(small_sweep())
    client.connection._patience = 0
    wire.faults = ["silent"]
    with pytest.raises(
        NoAnswer, match=f"did not answer GET /sweeps/{sweep.id}/export within 900 s"
    ):
        sweep.export("bundle")


def test_refusals_are_final_and_say_their_kind(client: Client, wire: Wire) -> None:
    with pytest.raises(ServiceAnswered, match="there is no sweep 'none'") as refused:
        client.sweep("none")
    assert (refused.value.status, refused.value.type) == (404, "not-found")
    assert wire.waited == []


def test_something_else_that_listens_there_is_said_in_words(client: Client, wire: Wire) -> None:
    wire.faults = ["proxy"] * 1000
    client.connection._patience = 0
    with pytest.raises(ServiceAnswered, match=r"502 Bad Gateway.* does a proxy stand between"):
        client.sweeps()


def test_it_says_its_version(client: Client, wire: Wire) -> None:
    client.sweeps()
    assert wire.asked[0].headers["LRD-Version"] == "0.1.0"
    client.connection._http.headers["LRD-Version"] = "0.0.1"
    with pytest.raises(ServiceAnswered, match="too old for the service") as refused:
        client.sweeps()
    assert refused.value.type == "client-version"
