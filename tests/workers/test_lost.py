"""A worker that dies: what is said of it, by whoever cannot ask it any more."""

import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import small_sweep

pytestmark = pytest.mark.ray


@pytest.fixture(scope="module")
def executor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from workers.executor import RayExecutor

    made = RayExecutor("local", str(tmp_path_factory.mktemp("trials")), checkpoint_seconds=0)
    yield made
    made.close()


def test_a_worker_that_dies_is_told_with_its_node_and_where_its_logs_lie(executor: Any) -> None:
    """Catches: `check python-core-worker-*.log`, on one of a hundred nodes, in whatever folder."""
    spec = small_sweep()["base"] | {
        "seed": 0,
        "epochs": 500,
        "resources": {"num_cpus": 1, "num_gpus": 0},
    }
    place = {"node": executor.nodes()[0]["id"], "cpus": 1, "gpus": 0, "memory_gib": 0}
    executor.start(1, 1, spec, [], place)
    heard: list[Any] = []
    deadline = time.monotonic() + 120
    while not heard or heard[-1][0] != "ended":
        assert time.monotonic() < deadline, heard
        for _, _, message in executor.poll(0.2):
            heard.append(message)
            if message[0] == "started":
                os.kill(message[1]["pid"], signal.SIGKILL)
    _, reason, text, _ = heard[-1]
    assert reason == "lost"
    host, _, logs = text.rpartition(" (node ")[2].rstrip(")").partition("; there its logs lie in ")
    assert host == socket.gethostname()
    assert list(Path(logs).glob("python-core-worker-*.log"))
