"""Waiting for what another process does: asked again and again, and no longer than needed."""

import threading
import time
from collections.abc import Callable


def until(met: Callable[[], object], what: str, seconds: float = 300, pause: float = 0.05) -> None:
    """Return once `met()` is true; fail with `what` where that takes longer than `seconds`.

    It is asked each `pause` seconds, seldom if the answer costs much. The one place where tests
    wait by the clock. Where there is an event to wait for, they do that.
    """
    deadline = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < deadline, f"after {seconds:g} s: {what}"
        threading.Event().wait(pause)
