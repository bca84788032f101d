"""`lrd serve`: API, dispatcher, SQLite and a local Ray on this machine, with one command.

The dispatcher is a child process in a session of its own, so that Ctrl-C reaches only this process,
which then shuts the child down. A child that dies is started again.
"""

import contextlib
import errno
import gc
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import uvicorn
from fastapi import FastAPI

import migrations
from lrd_core.errors import LRDError
from service.access import is_loopback
from service.app import create_app
from service.heads import TimelyHead
from service.settings import Settings
from service.store import tokens
from service.store.away import in_words
from service.store.session import Database

log = logging.getLogger(__name__)

AGAIN_SECONDS = 1.0
"""The pause before a dispatcher that has ended is started again."""
STOP_SECONDS = 12
"""Time the dispatcher has to stop, after its drain, before it is killed."""
FINISH_SECONDS = 8
"""Time for sending unfinished answers during shutdown: a client that has stopped reading would
otherwise keep the process alive for ever. Docker kills after 10 s."""
GIVE_UP_AFTER, SETTLED_SECONDS = 5, 30
"""A dispatcher that ends this often in a row, each time this soon, has a lasting reason."""


def serve(settings: Settings, *, dispatch: bool = True) -> None:
    """Run until Ctrl-C or SIGTERM, and leave none of the processes behind.

    Raises:
        LRDError: the database does not answer, or belongs to a newer version; or the service would
            be open to other machines without a token having been made.
    """
    with contextlib.closing(Database(settings.database)) as database:
        with in_words():
            migrations.upgrade(database.engine)
            _refuse_to_be_open(settings, database)
        _serve(settings, database, dispatch=dispatch)


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; a `host` with a colon is an IPv6 address.

    Nagle's algorithm is switched off, which asyncio does only for sockets of its own: the body of
    an answer would wait 40 ms for the acknowledgement of its head.

    Raises:
        LRDError: the port is in use, not permitted or not available.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host.strip("[]"), port), family=family)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise LRDError(
                f"port {port} of {host} is in use, perhaps by another `lrd serve`: name another "
                "with `--port`; 0 takes any free one"
            ) from None
        raise LRDError(
            f"{host} port {port} cannot be listened on ({error.strerror}): name others with "
            "`--host` and `--port`"
        ) from None
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def url_of(host: str, port: int) -> str:
    """The URL for a browser: `http://[::1]:8000`, with brackets around an IPv6 address."""
    name = host.strip("[]")
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"


def server_config(app: FastAPI) -> uvicorn.Config:
    """uvicorn's configuration, on h11: httptools would accept an endless head."""
    return uvicorn.Config(
        app,
        http=TimelyHead,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=FINISH_SECONDS,
    )


def _serve(settings: Settings, database: Database, *, dispatch: bool) -> None:
    listener = listen(settings.host, settings.port)
    address = url_of(settings.host, listener.getsockname()[1])
    log.info("listening on %s; storage in %s", address, settings.storage)
    sys.stdout.write(f"{address}\n")
    sys.stdout.flush()
    server = uvicorn.Server(server_config(create_app(settings, database)))
    gc.freeze()  # or Python would walk everything imported so far in the middle of requests
    supervisor = _Supervisor(settings, server) if dispatch else None
    # uvicorn raises the signal again once it has stopped; that SIGTERM must not end this process.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        server.run(sockets=[listener])
    except KeyboardInterrupt:
        log.info("stopping")
    finally:
        if supervisor is not None:
            supervisor.stop()
    if supervisor is not None and supervisor.gave_up:
        raise LRDError(
            f"the dispatcher ended {GIVE_UP_AFTER} times within {SETTLED_SECONDS} s of its start; "
            "the lines above say why"
        )


def _refuse_to_be_open(settings: Settings, database: Database) -> None:
    if is_loopback(settings.host):
        return
    with database.read() as session:
        if tokens.any_made(session):
            return
    raise LRDError(
        f"{settings.host} is reached by other machines, and no token has been made: anybody could "
        "use the service. Make one with `lrd token create NAME --role admin` on the same "
        "LRD_DATABASE_URL, or listen on 127.0.0.1"
    )


class _Supervisor:
    """Keeps one dispatcher running; if it keeps ending, stops the server and reports that."""

    def __init__(self, settings: Settings, server: uvicorn.Server) -> None:
        watched = {"LRD_WITH_PARENT": str(os.getpid())}
        self._environment = {**os.environ, **settings.environment(), **watched}
        self._server = server
        self._patience = settings.drain_seconds + STOP_SECONDS
        self._stopping = threading.Event()
        self._starting = threading.Lock()  # or a child could start just after `stop`
        self.gave_up = False
        self._child = self._start()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "service.dispatch"]
        self._started = time.monotonic()
        return subprocess.Popen(command, env=self._environment, start_new_session=True)  # noqa: S603

    def _watch(self) -> None:
        early = 0
        while True:
            code = self._child.wait()
            early = early + 1 if time.monotonic() - self._started < SETTLED_SECONDS else 0
            if self._stopping.wait(AGAIN_SECONDS):
                return
            if early == GIVE_UP_AFTER:
                self.gave_up = self._server.should_exit = True
                return
            with self._starting:
                if self._stopping.is_set():
                    return
                log.error("the dispatcher ended with code %d; starting it again", code)
                try:
                    self._child = self._start()
                except OSError as error:  # no memory, or no process more: the next turn tries again
                    log.error("it cannot be started: %s", error)

    def stop(self) -> None:
        """Drain the dispatcher and stop it."""
        with self._starting:
            self._stopping.set()
            self._child.send_signal(signal.SIGTERM)
        try:
            self._child.wait(self._patience)
        except subprocess.TimeoutExpired:
            os.killpg(self._child.pid, signal.SIGKILL)
