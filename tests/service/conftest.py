"""A dispatcher over an executor in this process, for whoever lets trials run; an address and a
client, for what asks the service from outside."""

from collections.abc import Iterator

import httpx2
import pytest
from fastapi.testclient import TestClient

from lrd_core.models import fcnet
from service.client import Client, connection
from service.dispatcher import Dispatcher
from service.settings import Settings
from service.store import leases
from service.store.session import Database
from tests.inline import InlineExecutor
from tests.serving import serving
from tests.wire import Wire


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """The service does not care how wide a network is, and one of 1,000 takes five times as long
    to train and to save. What trials in other processes run is as it is."""
    monkeypatch.setattr(fcnet, "HIDDEN", 50)


@pytest.fixture
def executor(settings: Settings) -> InlineExecutor:
    return InlineExecutor(settings.trials)


@pytest.fixture
def dispatcher(database: Database, executor: InlineExecutor) -> Dispatcher:
    return Dispatcher(database, executor, lease_seconds=60)


@pytest.fixture
def url(settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Of the service, where `lrd` looks for it."""
    with serving(settings, database) as url:
        monkeypatch.setenv("LRD_URL", url)
        yield url


@pytest.fixture
def led(database: Database) -> None:
    """A dispatcher leads, as far as anybody can see, and starts nothing."""
    with database.write() as session:
        leases.take(session, "one", host="node-1", pid=1, seconds=3600)


@pytest.fixture
def wire(api: TestClient, monkeypatch: pytest.MonkeyPatch) -> Wire:
    """Waits take no time, and are noted."""
    made = Wire(api)
    monkeypatch.setattr(connection.time, "sleep", made.waited.append)
    return made


@pytest.fixture
def client(wire: Wire) -> Iterator[Client]:
    with Client("http://127.0.0.1", transport=httpx2.MockTransport(wire)) as made:
        yield made
