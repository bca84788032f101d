"""The service in threads of this process, for what asks it from outside: a browser, a shell."""

import contextlib
import socket
import threading
from collections.abc import Iterator

import uvicorn
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from service.app import create_app
from service.dispatcher import Dispatcher
from service.settings import Settings
from service.store.session import Database
from tests.inline import InlineExecutor


@contextlib.contextmanager
def serving(
    settings: Settings, database: Database, port: int = 0, below: str = ""
) -> Iterator[str]:
    """The API, at the address that is given; `below` a path such as `/lrd`, as a proxy shows it."""
    app = Below(below, create_app(settings, database))
    with socket.create_server(("127.0.0.1", port)) as listener:
        config = uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=5)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}{below}"
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


class Below:
    """A proxy that takes a prefix away: the application behind it does not know it."""

    def __init__(self, prefix: str, app: ASGIApp) -> None:
        self._prefix, self._app = prefix, app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            if not scope["path"].startswith(f"{self._prefix}/"):
                await PlainTextResponse("not of the service", 404)(scope, receive, send)
                return
            scope = {**scope, "path": scope["path"].removeprefix(self._prefix)}
            scope["raw_path"] = scope["raw_path"].removeprefix(self._prefix.encode())
        await self._app(scope, receive, send)
