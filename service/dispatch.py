"""python -m service.dispatch: the dispatcher's process, where the service meets Ray.

The composition root: the one file that imports `workers`.
"""

import logging
import os
import signal
import threading
from types import FrameType

from service.dispatcher import Dispatcher
from service.settings import Settings
from service.store.session import Database
from workers.executor import RayExecutor


def main() -> None:
    """Dispatch until SIGTERM or SIGINT, or until the parent that asked to be watched is gone."""
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    settings = Settings()
    stop = threading.Event()

    def asked(signum: int, frame: FrameType | None) -> None:
        stop.set()

    executor = RayExecutor(settings.ray_address, settings.trials, settings.checkpoint_seconds)
    # After ray.init(), which installs handlers of its own.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, asked)
    parent = os.getppid() if os.environ.get("LRD_WITH_PARENT") else None
    database = Database(settings.database)
    try:
        Dispatcher(database, executor, settings.lease_seconds, settings.stall_seconds).run(
            lambda: stop.is_set() or (parent is not None and os.getppid() != parent)
        )
    finally:
        executor.close()
        database.close()


if __name__ == "__main__":
    main()
