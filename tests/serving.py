"""The service in threads of this process, for what asks it from outside: a browser, a shell."""

import contextlib
import socket
import threading
from collections.abc import Iterator

import uvicorn

from service.app import create_app
from service.dispatcher import Dispatcher
from service.settings import Settings
from service.store.session import Database
from tests.inline import InlineExecutor


@contextlib.contextmanager
def serving(settings: Settings, database: Database, port: int = 0) -> Iterator[str]:
    """The API, at the address that is given."""
    with socket.create_server(("127.0.0.1", port)) as listener:
        config = uvicorn.Config(
            create_app(settings, database), log_config=None, timeout_graceful_shutdown=5
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


@contextlib.contextmanager
def dispatching(settings: Settings, database: Database) -> Iterator[None]:
    """A dispatcher that trains here whatever is submitted."""
    ended = threading.Event()
    dispatcher = Dispatcher(database, InlineExecutor(settings.trials), lease_seconds=60)
    thread = threading.Thread(target=dispatcher.run, args=[ended.is_set])
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
