"""What every Executor owes the dispatcher: order, a last word, equal numbers, an end on request."""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from lrd_core.trial_folder import trial_folder
from service.executor import Executor, Message
from tests.conftest import small_sweep
from tests.inline import InlineExecutor

Key = tuple[int, int]


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
    checkpoints: Sequence[tuple[int, str, str]] = (),
) -> None:
    """On a CPU of the first node."""
    place = {"node": executor.nodes()[0].get("id", ""), "cpus": 1, "gpus": 0, "memory_gib": 0}
    executor.start(trial_id, attempt, spec, list(checkpoints), place)


def follow(
    executor: Executor, keys: set[Key], until: Callable[[dict[Key, list[Message]]], bool]
) -> dict[Key, list[Message]]:
    heard: dict[Key, list[Message]] = {key: [] for key in keys}
    deadline = time.monotonic() + 120
    while not until(heard):
        assert time.monotonic() < deadline, heard
        for trial_id, attempt, message in executor.poll(0.2):
            heard[trial_id, attempt].append(message)
    return heard


def ended(heard: dict[Key, list[Message]]) -> bool:
    return all(messages and messages[-1][0] == "ended" for messages in heard.values())


def numbers(messages: list[Message]) -> list[dict[str, float]]:
    reports = [message[1] for message in messages if message[0] == "epoch"]
    return [{k: v for k, v in report.items() if k != "seconds"} for report in reports]


def test_it_has_room(executor: Executor) -> None:
    assert executor.nodes()[0]["CPU"] >= 1
    assert executor.poll(0) == []


def test_a_trial_tells_where_it_runs_then_each_epoch_then_its_end(executor: Executor) -> None:
    start(executor, 1, 1, spec())
    messages = follow(executor, {(1, 1)}, ended)[1, 1]
    assert [message[0] for message in messages] == ["started", "epoch", "epoch", "ended"]
    assert {"torch", "device", "threads", "node"} <= messages[0][1].keys()
    assert [message[1]["epoch"] for message in messages[1:3]] == [1, 2]
    assert messages[-1][:3] == ("ended", None, None)
    assert len(messages[-1][3]) == 64
    assert executor.poll(0.2) == []


def test_two_trials_at_a_time_keep_their_own_words(executor: Executor) -> None:
    start(executor, 2, 1, spec(seed=2))
    start(executor, 3, 1, spec(seed=3))
    heard = follow(executor, {(2, 1), (3, 1)}, ended)
    assert numbers(heard[2, 1]) != numbers(heard[3, 1])


def test_an_attempt_goes_on_from_the_checkpoint_of_the_one_before(executor: Executor) -> None:
    start(executor, 4, 1, spec(epochs=3))
    first = follow(executor, {(4, 1)}, ended)[4, 1]
    _, report, saved = first[2]
    assert saved is not None
    start(executor, 4, 2, spec(epochs=3), [(report["epoch"], *saved)])
    second = follow(executor, {(4, 2)}, ended)[4, 2]
    assert numbers(second) == numbers(first)[2:]


def test_a_checkpoint_that_is_discarded_is_gone_soon(executor: Executor) -> None:
    start(executor, 8, 1, spec())
    _, first, second, _ = follow(executor, {(8, 1)}, ended)[8, 1]
    executor.discard(8, [first[2][0]])
    folder = trial_folder(executor._trials, 8)  # type: ignore[attr-defined]
    deadline = time.monotonic() + 60
    while folder.exists(first[2][0]):
        assert time.monotonic() < deadline
    assert folder.exists(second[2][0])


def test_a_faulty_trial_ends_with_its_reason_and_a_sentence(executor: Executor) -> None:
    start(executor, 5, 1, spec(optimizer={"name": "sgdm", "lr": 1e6}))
    kind, reason, text, _ = follow(executor, {(5, 1)}, ended)[5, 1][-1]
    assert (kind, reason) == ("ended", "diverged")
    assert "loss" in text


def test_a_cancelled_trial_says_that_it_was(executor: Executor) -> None:
    start(executor, 6, 1, spec(epochs=10_000))
    follow(executor, {(6, 1)}, lambda heard: any(m[0] == "epoch" for m in heard[6, 1]))
    executor.cancel(6, 1)
    kind, reason, _, _ = follow(executor, {(6, 1)}, ended)[6, 1][-1]
    assert (kind, reason) == ("ended", "user")
    assert executor.poll(0.2) == []


def test_a_trial_that_is_asked_to_stop_saves_its_epoch_first(executor: Executor) -> None:
    start(executor, 7, 1, spec(epochs=10_000))
    follow(executor, {(7, 1)}, lambda heard: any(m[0] == "epoch" for m in heard[7, 1]))
    executor.stop(7, 1)
    *_, last, end = follow(executor, {(7, 1)}, ended)[7, 1]
    assert end == ("ended", "user", "asked to stop", None)
    assert last[0] == "epoch"
    assert last[2] is not None
    assert executor.poll(0.2) == []
