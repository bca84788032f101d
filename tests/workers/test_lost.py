"""A worker or a node that dies: what is said of it, and what is still placed there."""

import gc
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from lrd_core.messages import Ended, EpochDone, Message, Outcome, Started
from tests.conftest import small_sweep

pytestmark = pytest.mark.ray


ADDRESS = "127.0.0.2"
"""Loopback, but not what Ray takes for localhost and replaces by the machine's outer address."""


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Any]:
    """One of one CPU, of a cluster that has no other."""
    from ray.cluster_utils import Cluster

    plain: dict[str, Any] = {"include_dashboard": False, "node_ip_address": ADDRESS}
    cluster = Cluster(initialize_head=True, head_node_args=plain | {"num_cpus": 0})
    yield cluster.add_node(num_cpus=1, node_ip_address=ADDRESS)
    cluster.shutdown()


@pytest.fixture
def executor(node: Any, tmp_path: Path) -> Iterator[Any]:
    from workers.executor import RayExecutor

    made = RayExecutor(node.address, str(tmp_path), checkpoint_seconds=0)
    yield made
    made.close()


def start(executor: Any) -> None:
    """A trial that would run for long."""
    spec = small_sweep()["base"] | {
        "seed": 0,
        "epochs": 5000,
        "resources": {"num_cpus": 1, "num_gpus": 0},
    }
    (found,) = with_cpus(executor)
    executor.start(1, 1, spec, [], {"node": found, "cpus": 1, "gpus": 0, "memory_gib": 0})


def with_cpus(executor: Any) -> list[str]:
    return [each["id"] for each in executor.nodes() if each.get("CPU")]


def follow(executor: Any, at: type[Message], then: Callable[[Any], None]) -> Ended:
    """Its last word; what is to be done at its first message of a kind."""
    heard: list[Any] = []
    deadline = time.monotonic() + 300
    while not heard or not isinstance(heard[-1], Ended):
        assert time.monotonic() < deadline, heard
        for _, _, message in executor.poll(0.2):
            if isinstance(message, at) and not any(isinstance(each, at) for each in heard):
                then(message)
            heard.append(message)
    return heard[-1]


def kill(started: Started) -> None:
    os.kill(started.environment["pid"], signal.SIGKILL)


def test_a_worker_that_dies_is_told_with_its_node_and_where_its_logs_lie(executor: Any) -> None:
    """Catches: `check python-core-worker-*.log`, on one of a hundred nodes, in whatever folder."""
    start(executor)
    end = follow(executor, Started, kill)
    assert end.outcome is Outcome.lost
    place = end.text.rpartition(" (node ")[2].rstrip(")")
    host, _, logs = place.partition("; its logs are there in ")
    assert host == socket.gethostname()
    assert list(Path(logs).glob("python-core-worker-*.log"))
    assert len(with_cpus(executor)) == 1  # a process died, and no node


def test_what_ray_has_raised_is_gone_before_it_is_left(
    executor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: a process that Ray ended on the spot while it left Ray, before it had said what
    became of its trials: a thread had collected the error of a lost one, and thus an ObjectRef."""
    from ray import ObjectRefGenerator

    held: list[Any] = []

    def shutdown() -> None:
        held.extend(each for each in gc.get_objects() if type(each) is ObjectRefGenerator)

    gc.disable()  # as if none were due
    try:
        start(executor)
        follow(executor, Started, kill)
        with monkeypatch.context() as patch:
            patch.setattr("workers.executor.ray.shutdown", shutdown)
            executor.close()
    finally:
        gc.enable()
    assert held == []


def test_a_node_that_took_a_trial_along_is_not_counted_on_while_ray_lists_it(
    executor: Any, node: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: 14 s in which all that waits is placed there, and lost."""
    from workers.executor import DOUBT_SECONDS

    start(executor)
    (raylet,) = node.all_processes["raylet"]

    def power_off(_: Any) -> None:
        first = psutil.Process(raylet.process.pid)
        # It goes first: it could still tell of a process of its own that died before it.
        for process in [first, *first.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):  # they end without it, too
                process.kill()

    assert follow(executor, EpochDone, power_off).outcome is Outcome.lost
    assert with_cpus(executor) == []
    now = time.monotonic()
    later = SimpleNamespace(monotonic=lambda: now + DOUBT_SECONDS)
    with monkeypatch.context() as patch:
        patch.setattr("workers.executor.time", later)
        assert len(with_cpus(executor)) == 1  # Ray does list it
