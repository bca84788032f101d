"""The dispatcher over a real database and real training, one process, one epoch at a time."""

import contextlib
import itertools
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from fastapi.testclient import TestClient
from sqlalchemy import update
from sqlalchemy.exc import OperationalError

from lrd_core import training
from lrd_core.messages import (
    Ended,
    Envelope,
    EpochDone,
    GpusGiven,
    MemoryPeak,
    Message,
    Outcome,
)
from lrd_core.trial_folder import trial_folder
from service.dispatcher import Dispatcher
from service.settings import Settings
from service.store.models import Lease, Trial
from service.store.session import Database
from tests.conftest import small_sweep
from tests.inline import InlineExecutor
from workers import gpus


def submit(api: TestClient, **changes: Any) -> str:
    answer = api.post("/api/v1/sweeps", json=small_sweep(**changes))
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def finish(api: TestClient, dispatcher: Dispatcher, sweep_id: str) -> dict[str, Any]:
    for _ in range(100):
        dispatcher.step(0)
        sweep: dict[str, Any] = api.get(f"/api/v1/sweeps/{sweep_id}").json()
        if sweep["state"] in ("succeeded", "failed", "cancelled"):
            return sweep
    raise AssertionError(f"not finished after 100 steps: {sweep}")


def results(api: TestClient, sweep_id: str) -> list[list[dict[str, Any]]]:
    """The reports of each trial, without what a clock had a part in."""
    trials = api.get(f"/api/v1/sweeps/{sweep_id}/trials").json()["items"]
    found = [api.get(f"/api/v1/trials/{trial['id']}/reports").json()["items"] for trial in trials]
    clocks = {"seconds", "recorded_at", "attempt"}
    return [[{k: v for k, v in r.items() if k not in clocks} for r in trial] for trial in found]


def test_a_sweep_becomes_a_table(api: TestClient, dispatcher: Dispatcher) -> None:
    sweep_id = submit(api)
    sweep = finish(api, dispatcher, sweep_id)
    assert sweep["state"] == "succeeded"
    assert sweep["trials"]["succeeded"] == 4
    assert [[r["epoch"] for r in trial] for trial in results(api, sweep_id)] == [[1, 2]] * 4
    trials = api.get(f"/api/v1/sweeps/{sweep_id}/trials").json()["items"]
    assert [trial["message"] for trial in trials] == [None] * 4

    arms = api.get(f"/api/v1/sweeps/{sweep_id}/arms").json()["items"]
    for arm in arms:
        last = [
            trial["last_report"]["test_accuracy"]
            for trial in trials
            if trial["arm_id"] == arm["id"]
        ]
        assert arm["n"] == 2
        assert arm["failed"] == 0
        assert arm["metrics"]["test_accuracy"]["mean"] == pytest.approx(sum(last) / 2)
        assert arm["metrics"]["test_accuracy"]["std"] == pytest.approx(
            abs(last[0] - last[1]) / 2**0.5
        )
    table = api.get(f"/api/v1/sweeps/{sweep_id}/table?format=markdown").text
    for arm in arms:
        assert f"{100 * arm['metrics']['test_accuracy']['mean']:.2f} ± " in table
    curves = api.get(f"/api/v1/sweeps/{sweep_id}/curves").json()["items"]
    assert [curve["epochs"] for curve in curves] == [[1, 2], [1, 2]]


def test_a_trial_that_vanished_ends_with_the_numbers_it_would_have_had(
    api: TestClient, database: Database, dispatcher: Dispatcher, executor: InlineExecutor
) -> None:
    undisturbed = submit(api, seeds=1)
    finish(api, dispatcher, undisturbed)
    killed = submit(api, seeds=1)
    while not any(trial[:1] for trial in results(api, killed)):
        dispatcher.step(0)
    for key in executor.running():
        executor.vanish(*key)
    with database.write() as session:  # the dispatcher that would know of them is gone as well
        session.execute(update(Lease).values(expires_at=1.0))
    successor = Dispatcher(database, executor, lease_seconds=60)
    successor.step(0)
    with database.write() as session:
        session.execute(update(Trial).values(not_before=None))
    finish(api, successor, killed)
    assert results(api, killed) == results(api, undisturbed)
    attempts = {t["attempt"] for t in api.get(f"/api/v1/sweeps/{killed}/trials").json()["items"]}
    assert attempts == {2}


def test_a_dispatcher_that_dies_in_an_outage_costs_no_recorded_epoch(
    api: TestClient,
    database: Database,
    dispatcher: Dispatcher,
    executor: InlineExecutor,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Catches: recorded checkpoints deleted by a worker that goes on while the database is away.
    base = small_sweep()["base"] | {"epochs": 20}
    sweep_id = submit(api, base=base, seeds=1)
    while any(len(trial) < 3 for trial in results(api, sweep_id)):
        dispatcher.step(0)
    recorded = [len(trial) for trial in results(api, sweep_id)]
    with monkeypatch.context() as outage:
        outage.setattr(database, "write", broken)
        for _ in range(12):
            with contextlib.suppress(OperationalError):
                dispatcher.step(0)
    for key in executor.running():
        executor.vanish(*key)
    with database.write() as session:
        session.execute(update(Lease).values(expires_at=1.0))
    successor = Dispatcher(database, executor, lease_seconds=60)
    successor.step(0)
    with database.write() as session:
        session.execute(update(Trial).values(not_before=None))
    finish(api, successor, sweep_id)
    trials = api.get(f"/api/v1/sweeps/{sweep_id}/trials").json()["items"]
    for trial, epoch in zip(trials, recorded, strict=True):
        folder = trial_folder(settings.trials, trial["id"])
        assert f"goes on after epoch {epoch}, from" in folder.read("attempt-2.log").decode()
        # Catches: gigabytes that nothing goes on from, of trials that have succeeded.
        assert [name for name in folder.names() if name.startswith("epoch-")] == []


def broken() -> None:
    raise OperationalError("begin", None, Exception("no route to host"))


def test_words_that_no_database_takes_end_their_trial_and_no_other(
    api: TestClient, dispatcher: Dispatcher, executor: InlineExecutor
) -> None:
    # Catches: a dispatcher that dies of one trial's words, and of the same again when it is back.
    sweep_id = submit(api, seeds=1)
    dispatcher.step(0)
    poisoned, _ = executor.running()[0]
    real = executor.poll

    def poison(message: Message) -> Message:
        match message:
            case EpochDone(report, checkpoint):
                return EpochDone({**report, "epoch": object()}, checkpoint)
        return message

    def poll(timeout: float) -> list[Envelope]:
        return [
            (trial, attempt, poison(message) if trial == poisoned else message)
            for trial, attempt, message in real(timeout)
        ]

    executor.poll = poll  # type: ignore[method-assign]
    finish(api, dispatcher, sweep_id)
    trials = api.get(f"/api/v1/sweeps/{sweep_id}/trials").json()["items"]
    assert {each["id"]: each["state"] for each in trials if each["id"] != poisoned} == {
        each["id"]: "succeeded" for each in trials if each["id"] != poisoned
    }
    (ended,) = [each for each in trials if each["id"] == poisoned]
    assert (ended["state"], ended["reason"]) == ("failed", "error")
    assert "cannot be recorded" in ended["message"]


def test_an_end_makes_room_at_once_though_plans_are_rare(
    api: TestClient, dispatcher: Dispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.dispatcher.PLAN_SECONDS", 1e9)
    assert finish(api, dispatcher, submit(api, seeds=4))["state"] == "succeeded"


def test_a_drained_dispatcher_costs_no_trial_a_loss(
    api: TestClient,
    database: Database,
    dispatcher: Dispatcher,
    executor: InlineExecutor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("service.dispatcher.SETTLED_TOGETHER", 1)
    sweep_id = submit(api, seeds=1)
    dispatcher.step(0)
    dispatcher.drain()
    executor.close()
    trials = api.get(f"/api/v1/sweeps/{sweep_id}/trials").json()["items"]
    assert {trial["state"] for trial in trials} == {"queued"}
    with database.read() as session:
        assert session.query(Trial).filter(Trial.losses > 0).count() == 0
    assert finish(api, Dispatcher(database, executor, 60), sweep_id)["state"] == "succeeded"


def test_a_dispatcher_that_drains_keeps_its_lease(
    api: TestClient, database: Database, executor: InlineExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: trials lost to a standby, in a drain that outlasts the lease for a long epoch."""
    submit(api, seeds=1)
    leader = Dispatcher(database, executor, 1, drain_seconds=2.5)
    standby = Dispatcher(database, executor, 1)
    assert leader.step(0)
    taken = []

    def long_epoch(timeout: float) -> None:
        threading.Event().wait(timeout)
        taken.append(standby.step(0))

    monkeypatch.setattr(leader, "_follow", long_epoch)
    leader.drain()
    assert len(taken) > 2
    assert not any(taken)
    executor.close()
    standby._renew_at = 0
    assert standby.step(0)


def test_cancel_reaches_a_running_trial(api: TestClient, dispatcher: Dispatcher) -> None:
    sweep_id = submit(api)
    dispatcher.step(0)
    answer = api.post(f"/api/v1/sweeps/{sweep_id}/cancel").json()
    assert answer["trials"]["running"] == 2
    dispatcher._watch_at = 0  # what a second's passing would do
    assert finish(api, dispatcher, sweep_id)["trials"]["cancelled"] == 4


def test_a_standby_starts_nothing(
    api: TestClient, database: Database, dispatcher: Dispatcher, executor: InlineExecutor
) -> None:
    assert not dispatcher.step(0)
    submit(api)
    standby = InlineExecutor(executor._trials)
    assert not Dispatcher(database, standby, 60).step(0)
    assert standby.running() == []


def test_a_missing_data_set_fails_its_trials_with_the_place_and_the_way(
    api: TestClient,
    dispatcher: Dispatcher,
    tmp_path: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from torchvision.datasets import MNIST

    monkeypatch.setenv("LRD_DATA_DIR", str(tmp_path))
    monkeypatch.setattr(MNIST, "mirrors", [])
    document = small_sweep(seeds=1)
    base = document["base"] | {"dataset": "mnist"}
    sweep_id = submit(api, seeds=1, base=base)
    assert finish(api, dispatcher, sweep_id)["state"] == "failed"
    trial = api.get(f"/api/v1/sweeps/{sweep_id}/trials").json()["items"][0]
    assert trial["reason"] == "error"
    assert str(tmp_path) in trial["message"]
    assert "LRD_DATA_DIR" in trial["message"]


def test_a_diverged_trial_is_a_finding(api: TestClient, dispatcher: Dispatcher) -> None:
    base = small_sweep()["base"] | {"optimizer": {"name": "sgdm", "lr": 1e6}}
    sweep_id = submit(api, seeds=1, base=base)
    finish(api, dispatcher, sweep_id)
    trials = api.get(f"/api/v1/sweeps/{sweep_id}/trials").json()["items"]
    assert {(trial["state"], trial["reason"]) for trial in trials} == {("failed", "diverged")}
    assert "diverged" in api.get(f"/api/v1/sweeps/{sweep_id}/table?format=markdown").text
    assert api.get(f"/api/v1/sweeps/{sweep_id}/arms").status_code == 200
    assert api.get(f"/api/v1/sweeps/{sweep_id}/curves").status_code == 200


def test_trials_share_a_gpu_once_their_memory_is_known(
    api: TestClient, database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    peaks = itertools.cycle([10 * 2**30, 12 * 2**30])
    monkeypatch.setattr(gpus, "_peak", lambda device: MemoryPeak(next(peaks), 80 * 2**30))
    executor = InlineExecutor(settings.trials, cpus=8, gpus=1)
    sweep_id = submit(api, seeds=4, resources={"num_gpus": "shared"})
    sweep = finish(api, Dispatcher(database, executor, 60), sweep_id)
    assert (sweep["state"], sweep["gpu_share"]) == ("succeeded", 3 / 16)
    assert [place["gpus"] for place in executor.places.values()] == [1] + [3 / 16] * 7
    assert [place["on"] for place in executor.places.values()] == [(0,)] * 8


def test_a_trial_is_counted_on_the_gpu_that_ray_gave_it(
    api: TestClient, database: Database, settings: Settings
) -> None:
    # Catches: a trial for a whole GPU that waits in Ray, until it counts as stalled.
    executor = InlineExecutor(settings.trials, cpus=8, gpus=2)
    submit(api, seeds=1, resources={"num_gpus": 0.5})
    dispatcher = Dispatcher(database, executor, 60)
    dispatcher.step(0)
    assert [place["on"] for place in executor.places.values()] == [(0,)] * 2
    first, second = executor.running()
    told = [(*first, GpusGiven((0,))), (*second, GpusGiven((1,)))]
    executor.poll = lambda _: [told.pop()] if told else []  # type: ignore[method-assign]
    submit(api, seeds=1, resources={"num_gpus": 1}, priority=9)
    while told:
        dispatcher._plan_at = 1e18
        dispatcher.step(0)
    dispatcher._plan_at = 0
    dispatcher.step(0)
    assert executor.running() == [first, second]
    with database.read() as session:
        assert session.query(Trial).filter(Trial.state == "running").count() == 2


def test_nothing_is_placed_on_a_node_that_took_a_trial_along(
    api: TestClient, database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: trial after trial that is started on a node until it is next looked at, and lost."""
    gone, left = {"id": "gone", "CPU": 2}, {"id": "left", "CPU": 1}
    executor = InlineExecutor(settings.trials, nodes=[gone, left])
    dispatcher = Dispatcher(database, executor, 60)
    sweep_id = submit(api, seeds=3)
    dispatcher.step(0)
    before = dict(executor.places)
    lost = [key for key, place in before.items() if place["node"] == "gone"]
    for key in lost:
        executor.vanish(*key)
    executor._nodes.remove(gone)
    words = [(*key, Ended(Outcome.lost, "its node is gone")) for key in lost]
    with monkeypatch.context() as patch:
        patch.setattr(executor, "poll", lambda timeout: words)
        dispatcher.step(0)
    for _ in range(20):
        dispatcher.step(0)
    after = [place["node"] for key, place in executor.places.items() if key not in before]
    assert (len(lost), set(after)) == (2, {"left"})
    assert api.get(f"/api/v1/sweeps/{sweep_id}").json()["trials"]["failed"] == 0


def test_out_of_memory_it_has_a_node_to_itself_and_the_same_numbers(
    api: TestClient, database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = submit(api)
    finish(api, Dispatcher(database, InlineExecutor(settings.trials), 60), undisturbed)
    crowded = {0}
    seen: list[tuple[int, int]] = []
    train = training.train

    def full(spec: Any, state: Any) -> Iterator[Any]:
        seen.append((spec.seed, torch.get_num_threads()))
        for report in train(spec, state):
            yield report
            if spec.seed in crowded:
                crowded.discard(spec.seed)
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr(training, "train", full)
    executor = InlineExecutor(settings.trials, cpus=3)
    with database.write() as session:
        session.execute(update(Lease).values(expires_at=1.0))
    sweep_id = submit(api)
    dispatcher = Dispatcher(database, executor, 60)
    while not executor.running() or crowded:
        dispatcher.step(0)
    dispatcher.step(0)
    (waits,) = api.get("/api/v1/cluster").json()["waiting"]
    assert (
        waits["why"] == "a node that empties: a trial of it ran out of memory, and is to run alone"
    )
    assert finish(api, dispatcher, sweep_id)["state"] == "succeeded"
    assert results(api, sweep_id) == results(api, undisturbed)
    trials = api.get(f"/api/v1/sweeps/{sweep_id}/trials").json()["items"]
    assert sorted((t["attempt"], t["alone"], t["cpus"]) for t in trials) == [
        (1, False, 1), (1, False, 1), (1, False, 1), (2, True, 3),
    ]  # fmt: skip
    assert {threads for _, threads in seen} == {1}
    again = next(t for t in trials if t["alone"])
    events = api.get(f"/api/v1/trials/{again['id']}/events").json()["items"]
    assert ("running", "queued", "oom") in {
        (event["from_state"], event["to_state"], event["reason"]) for event in events
    }
    attempts = api.get(f"/api/v1/trials/{again['id']}/attempts").json()["items"]
    assert [each["outcome"] for each in attempts] == ["oom", "succeeded"]
    assert attempts[0]["message"].endswith("2.00 GiB; it runs once more, alone on a node")
