"""python -m service.dispatch: the dispatcher's process, where the service meets Ray.

This is the composition root, the only file that imports `workers`.
"""

import contextlib
import gc
import logging
import os
import secrets
import signal
import sys
import threading
import time
from types import FrameType

import migrations
from lrd_core.errors import LRDError, first_line
from service import logs, storage
from service.dispatcher import Dispatcher
from service.formatting import trouble
from service.settings import Settings
from service.store.away import AWAY, in_words
from service.store.session import Database

log = logging.getLogger("service.dispatch")  # it runs as __main__


def main() -> None:
    """Dispatch until SIGTERM or SIGINT, or until the Ray node next to this process is gone, or the
    parent process that asked to be watched."""
    logs.to_stderr()
    try:
        settings = Settings()
        database = Database(settings.database)
        authenticate(settings)
        keep_to_itself()
        with in_words():
            await_schema(database)
            storage.own(database, settings.trials)
    except (LRDError, OSError) as error:
        sys.exit(trouble(error))
    from workers.executor import RayExecutor  # after `authenticate`, which Ray reads on import

    stop = threading.Event()

    def asked(signum: int, frame: FrameType | None) -> None:
        stop.set()

    executor = RayExecutor(settings.ray_address, settings.trials, settings.checkpoint_seconds)
    # After ray.init(), which installs handlers of its own.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, asked)
    parent = int(os.environ.get("LRD_WITH_PARENT", 0))  # it may be gone by now
    # Imported objects stay. The collector would walk them all, for 0.2 s, now and then between a
    # report and its record.
    gc.freeze()
    try:
        seconds = settings.lease_seconds, settings.stall_seconds, settings.drain_seconds
        Dispatcher(database, executor, *seconds).run(
            lambda: stop.is_set() or executor.cut_off or (parent != 0 and os.getppid() != parent)
        )
        if executor.cut_off:  # logged first: leaving Ray may end this process
            log.error(
                "the Ray node next to this dispatcher is gone, and nothing starts without one: "
                "running trials are queued again, and resume when both are restarted"
            )
    finally:
        executor.close()
        database.close()
    if executor.cut_off:
        sys.exit(1)


def authenticate(settings: Settings) -> None:
    """Have Ray admit only processes with its token, because whoever reaches its ports can run code.

    A Ray on this machine gets a token of its own, in a file that only this user can read. For a
    cluster, the environment must name the cluster's token.

    Raises:
        LRDError: the environment does not name it, or the address is that of a Ray client.
    """
    if settings.ray_address.startswith("ray://"):
        raise LRDError(
            f"LRD_RAY_ADDRESS is {settings.ray_address}: streams do not pass through a Ray client. "
            "Run the dispatcher on a node of the cluster (`ray start --address=…`), and give the "
            "address of its head, HOST:6379"
        )
    if settings.ray_address != "local":
        if "RAY_AUTH_MODE" not in os.environ:
            raise LRDError(
                "say how the Ray cluster admits processes: RAY_AUTH_MODE=token and "
                "RAY_AUTH_TOKEN_PATH=FILE, as on each of its nodes; or RAY_AUTH_MODE=disabled, if "
                "nobody else can reach its ports"
            )
        return
    path = settings.storage / "ray-token"
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and not path.stat().st_size:
        path.unlink()  # its writer was killed, or the disk full; Ray starts with no empty one
    with contextlib.suppress(FileExistsError):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(32))
    os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(path)}


def keep_to_itself() -> None:
    """Remove from the environment the credentials of the database and the service: Ray's processes
    inherit it, and run other people's code, from plugins."""
    for name in ("LRD_DATABASE_URL", "LRD_DATABASE_PASSWORD_FILE", "LRD_TOKEN"):
        os.environ.pop(name, None)


def await_schema(database: Database) -> None:
    """Wait until the database answers.

    Raises:
        LRDError: it has another schema than this version works with.
    """
    while True:
        try:
            migrations.refuse_another(database.engine)
        except AWAY as error:
            log.warning("the database does not answer (%s)", first_line(error))
            time.sleep(storage.PAUSE_SECONDS)
        else:
            return


if __name__ == "__main__":
    main()
