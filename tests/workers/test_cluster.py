"""A real Ray cluster of several nodes: each trial lands where it is to, with what it is to have.

Ray believes in GPUs that it is told of; what a trial would measure on one is put in its place.
"""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from lrd_core.spec import SweepSpec, expand_arms
from service.dispatcher import Dispatcher
from service.placement import Node
from service.store import submission
from service.store.models import Sweep, Trial
from service.store.session import Database
from tests.conftest import small_sweep
from tests.installed import install
from tests.waiting import until

pytestmark = [pytest.mark.ray, pytest.mark.slow]

GIB = 2**30
ADDRESS = "127.0.0.2"
"""Loopback, but not what Ray takes for localhost and replaces by the machine's outer address."""

LAB = f'''
"""A task that tells where it runs, and that runs out of memory where it is not alone."""
import ray
import torch
import workers.gpus
from lrd_core.messages import MemoryPeak
from torch import nn

workers.gpus._peak = lambda device: MemoryPeak(12 * {GIB}, 80 * {GIB})


class Telling:
    def __init__(self, spec, device, data_dir):
        self.spec = spec
        self.has = ray.get_runtime_context().get_assigned_resources()

    def model(self):
        return nn.Linear(1, 1)

    def train_epoch(self, model, optimizer, epoch):
        if self.spec.seed >= 100 and self.has["CPU"] < 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return {{"train_loss": float(epoch)}}

    def evaluate(self, model):
        node = ray.get_runtime_context().get_node_id()
        return {{"cpus": self.has["CPU"], "gpus": self.has.get("GPU", 0.0),
                 "memory": self.has.get("memory", 0.0), "node": float(int(node[:10], 16))}}
'''


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A package with that task, installed here and on every node."""
    folder = tmp_path_factory.mktemp("lab")
    install(folder, "lab_tells", "[lrd.tasks]\nlab_telling = lab_tells:Telling\n", LAB)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        patch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
        yield


@pytest.fixture(scope="module")
def executor(lab: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Two nodes in zone a, one of them with a GPU, and a large one in zone b."""
    from ray.cluster_utils import Cluster

    from workers.executor import RayExecutor

    plain: dict[str, Any] = {"num_cpus": 2, "memory": 2 * GIB, "node_ip_address": ADDRESS}
    cluster = Cluster(
        initialize_head=True,
        head_node_args={**plain, "num_cpus": 0, "include_dashboard": False},
    )
    cluster.add_node(**plain, labels={"zone": "a"})
    cluster.add_node(
        **plain, labels={"zone": "a"}, num_gpus=1, resources={"accelerator_type:H100": 1}
    )
    cluster.add_node(**{**plain, "memory": 8 * GIB}, labels={"zone": "b"})
    made = RayExecutor(cluster.address, str(tmp_path_factory.mktemp("trials")), 0)
    yield made
    made.close()
    cluster.shutdown()


@pytest.fixture
def database(sqlite: Callable[[Path], str], tmp_path: Path) -> Iterator[Database]:
    made = Database(sqlite(tmp_path))
    yield made
    made.close()


def submit(database: Database, seeds: list[int], **resources: Any) -> str:
    base = small_sweep()["base"] | {"task": "lab_telling", "epochs": 1}
    changes = {"base": base, "grid": {}, "baseline": {}, "seeds": seeds, "resources": resources}
    spec = SweepSpec.parse(small_sweep(**changes))
    with database.write() as session:
        return submission.create(session, spec, expand_arms(spec), code_version="test").id


def finish(database: Database, executor: Any, waits: int = 0) -> None:
    """Until no trial runs and only so many are queued."""
    dispatcher = Dispatcher(database, executor, lease_seconds=60)
    deadline = time.monotonic() + 300
    while True:
        dispatcher.step()
        with database.read() as session:
            states = list(session.scalars(select(Trial.state)))
        if states.count("running") == 0 and states.count("queued") == waits:  # type: ignore[comparison-overlap]
            break
        assert time.monotonic() < deadline, states
    dispatcher._watch_at = 0
    dispatcher.step()
    dispatcher.drain()


def told(database: Database, sweep_id: str) -> dict[int, dict[str, Any]]:
    """Seed -> what the trial said of where it ran."""
    with database.read() as session:
        found = session.scalars(select(Trial).where(Trial.sweep_id == sweep_id))
        return {trial.seed: trial.last_report or {} for trial in found}


def test_trials_land_on_the_node_that_they_ask_for(database: Database, executor: Any) -> None:
    nodes = [Node.reported(each) for each in executor.nodes()]
    number = {float(int(node.id[:10], 16)): node for node in nodes}
    assert sorted((node.cpus, node.memory_gib, node.labels.get("zone", "")) for node in nodes) == [
        (0, 2, ""), (2, 2, "a"), (2, 2, "a"), (2, 8, "b"),
    ]  # fmt: skip
    zone = submit(database, [1, 2, 3], num_gpus=0, labels={"zone": "b"})
    kind = submit(database, [1, 2], num_gpus=0, accelerator_type="H100")
    large = submit(database, [1, 2, 3], num_gpus=0, memory_gib=3)
    nowhere = submit(database, [1], num_gpus=0, labels={"zone": "b"}, accelerator_type="H100")
    finish(database, executor, waits=1)
    for sweep_id, count in ((zone, 3), (kind, 2), (large, 3)):
        assert len(told(database, sweep_id)) == count
    ran = {
        sweep_id: [number[report["node"]] for report in told(database, sweep_id).values()]
        for sweep_id in (zone, kind, large)
    }
    assert {node.labels["zone"] for node in ran[zone]} == {"b"}
    assert {node.accelerator_type for node in ran[kind]} == {"H100"}
    assert {node.memory_gib for node in ran[large]} == {8}
    assert {report["memory"] for report in told(database, large).values()} == {3 * GIB}
    with database.read() as session:
        assert session.get_one(Sweep, nowhere).waiting_for == (
            "a trial needs a node with the labels zone=b and an accelerator H100; no node has them"
        )


def test_a_gpu_is_shared_and_what_runs_out_of_memory_has_a_node_to_itself(
    database: Database, executor: Any
) -> None:
    sweep_id = submit(database, [1, 2, 3, 4, 100], num_gpus="shared", num_cpus=0.4)
    finish(database, executor)
    with database.read() as session:
        assert session.get_one(Sweep, sweep_id).gpu_share == 3 / 16
        last = session.scalars(select(Trial).where(Trial.seed == 100)).one()
    assert (last.state, last.attempt, last.alone) == ("succeeded", 2, True)
    reports = told(database, sweep_id)
    held = {seed: (report["cpus"], report["gpus"]) for seed, report in reports.items()}
    assert held == {1: (0.4, 1), **dict.fromkeys([2, 3, 4], (0.4, 3 / 16)), 100: (2, 1)}


def test_gpus_that_torch_cannot_use_count_for_none(
    executor: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Catches: a laptop with an old driver, on which no trial ever starts."""
    import ray

    (before,) = (node for node in executor.nodes() if node.get("GPU"))
    seen = lambda: executor.nodes() and executor._looks == {before["id"]: None}  # noqa: E731
    until(seen, "nobody looks at the GPU")
    monkeypatch.setattr(executor, "_looks", {})
    monkeypatch.setattr(executor, "_unusable", set())
    monkeypatch.setattr(executor, "_look", ray.remote(num_cpus=0)(lambda: "the driver is too old"))
    until(
        lambda: not any("GPU" in node for node in executor.nodes()), "they count all the same", 60
    )
    assert f"{before['id']} has a GPU that torch cannot use: the driver is too old" in caplog.text
    (after,) = (node for node in executor.nodes() if node["id"] == before["id"])
    assert after == {name: has for name, has in before.items() if name != "GPU"} | {
        "accelerator_type": None
    }
    assert executor._looks == {before["id"]: None}  # one look a node
