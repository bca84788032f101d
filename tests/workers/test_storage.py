"""What a trial does while its storage does not answer, and of which epochs it keeps checkpoints."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lrd_core.messages import Ended, EpochDone, Message, Outcome
from lrd_core.tasks.classification import Classification
from lrd_core.training import TrainState
from lrd_core.trial_folder import Checkpoint, LocalFolder, log_name, stop_name
from tests.conftest import small_sweep
from workers import tasks


def run(
    trials: Path, attempt: int = 1, known: list[Checkpoint] | None = None, epochs: int = 3
) -> list[Message]:
    trial = small_sweep()["base"] | {"execution": {"compile": "off"}, "seed": 0, "epochs": epochs}
    return list(tasks.run_trial(trial, str(trials), 1, attempt, known or [], 0))


def epochs(messages: list[Message]) -> list[EpochDone]:
    return [message for message in messages if isinstance(message, EpochDone)]


def saved(messages: list[Message]) -> list[Checkpoint]:
    return [epoch.checkpoint for epoch in epochs(messages) if epoch.checkpoint]


def end_of(messages: list[Message]) -> Ended:
    assert isinstance(messages[-1], Ended)
    return messages[-1]


def without_times(messages: list[Message]) -> list[dict[str, Any]]:
    return [
        {name: value for name, value in epoch.report.items() if name != "seconds"}
        for epoch in epochs(messages)
    ]


class Away:
    """A storage that fails some of its calls."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **failing: set[int]) -> None:
        """`failing`: of each kind of call those, counted from 0, that raise."""
        for name, calls in failing.items():
            monkeypatch.setattr(LocalFolder, name, self._broken(getattr(LocalFolder, name), calls))

    def _broken(self, real: Any, failing: set[int]) -> Any:
        calls = iter(range(1_000_000))

        def call(*arguments: Any) -> Any:
            if next(calls) in failing:
                raise OSError("503 Slow Down")
            return real(*arguments)

        return call


@pytest.mark.parametrize("failing", [{"write": {0}}, {"exists": {1}}, {"names": {0}}])
def test_a_call_that_fails_costs_a_checkpoint_and_not_the_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: dict[str, set[int]]
) -> None:
    """Catches: one answer of 503, and the trial has failed for good."""
    undisturbed = run(tmp_path / "one", epochs=6)
    Away(monkeypatch, **failing)
    messages = run(tmp_path / "two", epochs=6)
    assert end_of(messages).outcome is Outcome.done
    assert without_times(messages) == without_times(undisturbed)
    assert saved(messages)


def test_it_does_not_stop_before_its_state_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = LocalFolder(tmp_path / "1")
    folder.write(stop_name(1), b"")
    Away(monkeypatch, write={0})
    messages = run(tmp_path)
    assert [epoch.checkpoint is not None for epoch in epochs(messages)] == [False, True]
    assert end_of(messages) == Ended(Outcome.user, "asked to stop")


def test_checkpoints_that_cannot_be_read_now_are_not_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: training anew from the first epoch, beside three good checkpoints."""
    known = saved(run(tmp_path))
    with monkeypatch.context() as away:
        Away(away, read=set(range(9)))
        last = end_of(run(tmp_path, 2, known))
    assert last.outcome is Outcome.lost
    assert "its folder cannot be read: 503 Slow Down" in last.text
    with monkeypatch.context() as away:
        Away(away, read={0})  # the newest alone
        assert [epoch.report["epoch"] for epoch in epochs(run(tmp_path, 3, known))] == [3]
    for each in known:
        (tmp_path / "1" / each.name).unlink()
    assert len(epochs(run(tmp_path, 4, known))) == 3


def test_why_there_is_no_checkpoint_stands_in_the_log(tmp_path: Path) -> None:
    """Catches: hours that a crash costs where nothing may be deleted, and nobody was told."""
    assert len(saved(run(tmp_path, epochs=6))) == 4
    log = LocalFolder(tmp_path / "1").read(log_name(1)).decode()
    for epoch in (5, 6):
        assert f"no checkpoint after epoch {epoch}: the earlier ones are not recorded yet" in log


def test_an_epoch_that_diverged_has_no_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: a worker lost after its last epoch's report, whose next attempt goes on from there,
    finds nothing to do, and has succeeded."""
    evaluate = Classification.train_epoch

    def diverging(self: Any, model: Any, optimizer: Any, epoch: int) -> Any:
        trained = evaluate(self, model, optimizer, epoch)
        return {**trained, "train_loss": math.nan} if epoch == 3 else trained

    monkeypatch.setattr(Classification, "train_epoch", diverging)
    lost = []
    for message in tasks.run_trial(
        small_sweep()["base"] | {"execution": {"compile": "off"}, "seed": 0, "epochs": 3},
        str(tmp_path), 1, 1, [], 0,
    ):  # fmt: skip
        lost.append(message)
        if isinstance(message, EpochDone) and message.report["epoch"] == 3:
            break  # the worker is gone, and the report was recorded
    known = saved(lost)
    assert [each.epoch for each in known] == [1, 2]
    again = run(tmp_path, 2, known)
    assert [epoch.report["epoch"] for epoch in epochs(again)] == [3]
    assert end_of(again).outcome is Outcome.diverged


def test_a_trial_whose_state_could_not_be_loaded_ends_with_its_first_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: a trial that never gets further than its machine lives, with a wrong reason."""
    real = TrainState.state_dict
    monkeypatch.setattr(TrainState, "state_dict", lambda self: real(self) | {"x": np.float64(1)})
    last = end_of(run(tmp_path))
    assert last.outcome is Outcome.error
    assert last.text.startswith("its state holds something other than tensors and plain data")


def test_why_a_checkpoint_is_passed_over_stands_in_the_log(tmp_path: Path) -> None:
    known = saved(run(tmp_path))
    folder = LocalFolder(tmp_path / "1")
    folder.write(known[-1].name, b"")
    run(tmp_path, attempt=2, known=known)
    log = folder.read(log_name(2)).decode()
    assert f"{known[-1].name} is torn or was changed" in log
    assert f"from {known[-2].name}" in log
