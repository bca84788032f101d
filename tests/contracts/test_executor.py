"""What every Executor owes the dispatcher: order, a last word, equal numbers, an end on request."""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from lrd_core.messages import Ended, EpochDone, Key, Message, Outcome, Started
from lrd_core.trial_folder import Checkpoint, trial_folder
from service.executor import Executor
from tests.conftest import small_sweep
from tests.inline import InlineExecutor


@pytest.fixture(scope="module", params=["inline", pytest.param("ray", marks=pytest.mark.ray)])
def executor(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Executor]:
    trials = str(tmp_path_factory.mktemp("trials"))
    if request.param == "inline":
        made: Executor = InlineExecutor(trials)
    else:
        from workers.executor import RayExecutor

        made = RayExecutor("local", trials, checkpoint_seconds=0)
    yield made
    made.close()


def spec(**changes: Any) -> dict[str, Any]:
    document: dict[str, Any] = small_sweep()["base"] | {
        "seed": 0,
        "resources": {"num_cpus": 1, "num_gpus": 0},
    }
    return document | changes


def start(
    executor: Executor,
    trial_id: int,
    attempt: int,
    spec: dict[str, Any],
    checkpoints: Sequence[Checkpoint] = (),
) -> None:
    """On a CPU of the first node."""
    place = {"node": executor.nodes()[0].get("id", ""), "cpus": 1, "gpus": 0, "memory_gib": 0}
    executor.start(trial_id, attempt, spec, list(checkpoints), place)


def follow(
    executor: Executor, keys: set[Key], until: Callable[[dict[Key, list[Message]]], bool]
) -> dict[Key, list[Message]]:
    heard: dict[Key, list[Message]] = {key: [] for key in keys}
    deadline = time.monotonic() + 300
    while not until(heard):
        assert time.monotonic() < deadline, heard
        for trial_id, attempt, message in executor.poll(0.2):
            heard[trial_id, attempt].append(message)
    return heard


def ended(heard: dict[Key, list[Message]]) -> bool:
    return all(messages and isinstance(messages[-1], Ended) for messages in heard.values())


def epochs(messages: list[Message]) -> list[EpochDone]:
    return [message for message in messages if isinstance(message, EpochDone)]


def numbers(messages: list[Message]) -> list[dict[str, float]]:
    reports = [epoch.report for epoch in epochs(messages)]
    return [{k: v for k, v in report.items() if k != "seconds"} for report in reports]


def end_of(messages: list[Message]) -> Ended:
    assert isinstance(messages[-1], Ended)
    return messages[-1]


def test_it_has_room(executor: Executor) -> None:
    assert executor.nodes()[0]["CPU"] >= 1
    assert executor.poll(0) == []


def test_a_trial_tells_where_it_runs_then_each_epoch_then_its_end(executor: Executor) -> None:
    start(executor, 1, 1, spec())
    started, *rest, end = follow(executor, {(1, 1)}, ended)[1, 1]
    assert isinstance(started, Started)
    assert {"torch", "device", "threads", "node"} <= started.environment.keys()
    assert [epoch.report["epoch"] for epoch in epochs(rest)] == [1, 2]
    assert len(rest) == 2
    assert isinstance(end, Ended)
    assert (end.outcome, end.text) == (Outcome.done, "")
    assert len(end.weights_sha256 or "") == 64
    assert executor.poll(0.2) == []


def test_two_trials_at_a_time_keep_their_own_words(executor: Executor) -> None:
    start(executor, 2, 1, spec(seed=2))
    start(executor, 3, 1, spec(seed=3))
    heard = follow(executor, {(2, 1), (3, 1)}, ended)
    assert numbers(heard[2, 1]) != numbers(heard[3, 1])


def test_an_attempt_goes_on_from_the_checkpoint_of_the_one_before(executor: Executor) -> None:
    start(executor, 4, 1, spec(epochs=3))
    first = follow(executor, {(4, 1)}, ended)[4, 1]
    saved = epochs(first)[1].checkpoint
    assert saved is not None
    assert saved.epoch == 2
    start(executor, 4, 2, spec(epochs=3), [saved])
    second = follow(executor, {(4, 2)}, ended)[4, 2]
    assert numbers(second) == numbers(first)[2:]


def test_a_checkpoint_that_is_discarded_is_gone_soon(executor: Executor) -> None:
    start(executor, 8, 1, spec())
    first, second = (each.checkpoint for each in epochs(follow(executor, {(8, 1)}, ended)[8, 1]))
    assert first is not None
    assert second is not None
    executor.discard(8, [first.name])
    folder = trial_folder(executor._trials, 8)  # type: ignore[attr-defined]
    deadline = time.monotonic() + 300
    while folder.exists(first.name):
        assert time.monotonic() < deadline
    assert folder.exists(second.name)


def test_a_faulty_trial_ends_with_its_reason_and_a_sentence(executor: Executor) -> None:
    start(executor, 5, 1, spec(optimizer={"name": "sgdm", "lr": 1e6}))
    end = end_of(follow(executor, {(5, 1)}, ended)[5, 1])
    assert end.outcome is Outcome.diverged
    assert "loss" in end.text


def test_a_cancelled_trial_says_that_it_was(executor: Executor) -> None:
    start(executor, 6, 1, spec(epochs=10_000))
    follow(executor, {(6, 1)}, lambda heard: bool(epochs(heard[6, 1])))
    executor.cancel(6, 1)
    assert end_of(follow(executor, {(6, 1)}, ended)[6, 1]).outcome is Outcome.user
    assert executor.poll(0.2) == []


def test_a_trial_that_is_asked_to_stop_saves_its_epoch_first(executor: Executor) -> None:
    start(executor, 7, 1, spec(epochs=10_000))
    follow(executor, {(7, 1)}, lambda heard: bool(epochs(heard[7, 1])))
    executor.stop(7, 1)
    *_, last, end = follow(executor, {(7, 1)}, ended)[7, 1]
    assert end == Ended(Outcome.user, "asked to stop")
    assert isinstance(last, EpochDone)
    assert last.checkpoint is not None
    assert executor.poll(0.2) == []
