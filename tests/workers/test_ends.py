"""Real Ray: how a trial's own code can end it, and what it does when it is cancelled."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from lrd_core.messages import Ended, EpochDone, Outcome, Started
from lrd_core.trial_folder import log_name, trial_folder
from tests.conftest import small_sweep
from tests.installed import install
from tests.waiting import until

pytestmark = pytest.mark.ray

LAB = r"""
import json
import os
import signal
import sys
import threading

from torch import nn


class Base:
    def __init__(self, spec, device, data_dir):
        pass

    def model(self):
        return nn.Linear(1, 1)

    def train_epoch(self, model, optimizer, epoch):
        self.do()
        return {"train_loss": 0.0}

    def evaluate(self, model):
        return {"test_loss": 0.0}

    def do(self):
        pass


class Stubborn(Base):
    def do(self):
        word = "begins"  # printed where an interruption is caught: it may come as it is read
        while True:
            try:
                print(word, flush=True)
                word = "goes on"
                threading.Event().wait(1)
            except BaseException:
                word = "no"


class Interrupts(Base):
    def do(self):
        raise KeyboardInterrupt


class Exits(Base):
    def do(self):
        sys.exit(3)


class Leaves(Base):
    def do(self):
        raise GeneratorExit


class Stops(Base):
    def do(self):
        next(iter([]))


class Surrogate(Base):
    def do(self):
        raise ValueError("no file caf\udce9")


class Mute(Base):
    def do(self):
        class MuteError(Exception):
            def __str__(self):
                raise RuntimeError("no words")

        raise MuteError


class Strange(Base):
    def do(self):
        class Strange(BaseException):
            pass

        raise Strange("as libraries have them")


class Paints(Base):
    def do(self):
        raise ValueError("\x1b]0;owned\x07\x1b[2J\x1b[31mred\x1b[0m\x08")


class Misreads(Base):
    def do(self):
        json.loads("[")


class Verbose(Base):
    def do(self):
        raise ValueError("begin" + "x" * 3_000_000 + "end")


class Terminated(Base):
    def do(self):
        os.kill(os.getpid(), signal.SIGTERM)
        threading.Event().wait(30)
"""
TASKS = (
    "Base", "Stubborn", "Interrupts", "Exits", "Leaves", "Stops", "Surrogate", "Mute", "Strange",
    "Paints", "Misreads", "Verbose", "Terminated",
)  # fmt: skip


@pytest.fixture(scope="module")
def executor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from workers.executor import RayExecutor

    folder = tmp_path_factory.mktemp("lab")
    points = "".join(f"ends_{name.lower()} = lab_ends:{name}\n" for name in TASKS)
    install(folder, "lab_ends", f"[lrd.tasks]\n{points}", LAB)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        patch.setenv("PYTHONPATH", str(folder), prepend=":")
        made = RayExecutor("local", str(tmp_path_factory.mktemp("trials")), checkpoint_seconds=0)
        yield made
        made.close()


def start(executor: Any, trial_id: int, task: str, epochs: int = 1) -> None:
    spec = small_sweep()["base"] | {
        "task": f"ends_{task}",
        "epochs": epochs,
        "seed": 0,
        "resources": {"num_cpus": 1, "num_gpus": 0},
    }
    place = {"node": executor.nodes()[0]["id"], "cpus": 0.5, "gpus": 0}
    executor.start(trial_id, 1, spec, [], place)


def follow(executor: Any, met: Callable[[list[Any]], bool], what: str) -> list[Any]:
    """What the trials say until that is met: (trial, attempt, message)."""
    heard: list[Any] = []

    def listen() -> bool:
        heard.extend(executor.poll(0.2))
        return met(heard)

    until(listen, what)
    return heard


def end_of(executor: Any, trial_id: int) -> Callable[[list[Any]], bool]:
    return lambda heard: any(of == trial_id and isinstance(said, Ended) for of, _, said in heard)


def log_of(executor: Any, trial_id: int) -> str:
    folder = trial_folder(executor._trials, trial_id)
    return folder.read(log_name(1)).decode() if folder.exists(log_name(1)) else ""


def test_a_trial_that_ignores_its_cancellation_holds_nobody_up_and_can_be_killed(
    executor: Any,
) -> None:
    """Catches: a dispatcher that waited in Ray for the end of such a task, lost its lease, and
    never came to kill it."""
    start(executor, 1, "stubborn")
    follow(executor, lambda heard: "begins" in log_of(executor, 1), "it does not begin")
    executor.cancel(1, 1)  # Python may drop the interruption: the task may never see it
    began = time.monotonic()
    for _ in range(10):
        assert executor.poll(0.05) == []
    assert 0.4 < time.monotonic() - began < 5  # it neither hangs nor spins
    start(executor, 2, "base", epochs=3)
    heard = follow(executor, end_of(executor, 2), "the other trial does not end")
    kinds = [type(said) for of, _, said in heard if of == 2]
    assert kinds == [Started, *[EpochDone] * 3, Ended]
    assert not end_of(executor, 1)(heard)
    executor.cancel(1, 1, force=True)
    *_, (of, _, said) = follow(executor, end_of(executor, 1), "it cannot be killed")
    assert (of, said) == (1, Ended(Outcome.user, "cancelled"))
    assert executor.poll(0.1) == []


@pytest.mark.parametrize(
    ("task", "text"),
    [
        ("interrupts", "KeyboardInterrupt (lab_ends.py:"),
        ("exits", "SystemExit: 3 (lab_ends.py:"),
        ("leaves", "RuntimeError: the trial raised GeneratorExit (lab_ends.py:"),
        ("stops", "StopIteration (lab_ends.py:"),
        ("surrogate", "ValueError: no file caf\ufffd (lab_ends.py:"),
        ("mute", "MuteError (lab_ends.py:"),
        ("strange", "Strange: as libraries have them (lab_ends.py:"),
        ("paints", "ValueError: red\ufffd (lab_ends.py:"),
        ("misreads", "JSONDecodeError: Expecting value: line 1 column 2 (char 1) (lab_ends.py:"),
    ],
)
def test_whatever_a_trial_raises_is_its_error_at_once_with_its_text(
    executor: Any, task: str, text: str
) -> None:
    """Catches: twenty attempts, each lost, at what the same code raises each time; and for ever,
    without a pause, where it is KeyboardInterrupt, which Ray reports as a cancellation."""
    trial_id = 10 + TASKS.index(task.capitalize())
    start(executor, trial_id, task)
    *_, (_, _, said) = follow(executor, end_of(executor, trial_id), "it does not end")
    assert said.outcome is Outcome.error
    assert said.text.startswith(text)
    log = log_of(executor, trial_id)
    assert "Traceback" in log
    assert "\x1b" not in log


def test_an_endless_text_is_cut_in_the_message_and_in_the_log(executor: Any) -> None:
    start(executor, 30, "verbose")
    *_, (_, _, said) = follow(executor, end_of(executor, 30), "it does not end")
    assert said.text.startswith("ValueError: beginxxx")
    assert "xend (lab_ends.py:" in said.text
    assert len(said.text) < 2_000
    log = log_of(executor, 30)
    assert "Traceback" in log
    assert log.rstrip().endswith("xend")
    assert len(log) < 150_000


def test_a_process_that_is_told_to_end_loses_its_trial_which_is_tried_again(executor: Any) -> None:
    """Catches: a trial that failed for good because its node was shut down."""
    start(executor, 31, "terminated")
    *_, (_, _, said) = follow(executor, end_of(executor, 31), "it does not end")
    assert said.outcome is Outcome.lost
