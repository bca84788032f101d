"""A worker process is kept for later trials: each uses its own GPU, and leaves nothing behind."""

import logging
import os
import random
import subprocess
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from lrd_core import environment, sources
from lrd_core.messages import Ended, Outcome
from lrd_core.trial_folder import log_name, trial_folder
from tests.conftest import small_sweep
from tests.installed import install
from workers import gpus, kept, tasks


@pytest.fixture
def chosen(monkeypatch: pytest.MonkeyPatch) -> list[torch.device]:
    """A machine with GPUs, as far as torch is asked; which of them became the current one."""
    found: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(torch.cuda, "set_device", found.append)
    return found


def test_each_trial_uses_the_gpu_that_ray_gave_it(
    chosen: list[torch.device], monkeypatch: pytest.MonkeyPatch
) -> None:
    for given in ("0", "3"):  # Ray sets it anew for each task
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
        assert gpus.pick() == torch.device("cuda", int(given[0]))
        assert "CUDA_VISIBLE_DEVICES" not in os.environ  # CUDA is to see them all
    assert [each.index for each in chosen] == [0, 3]


def test_of_several_a_task_is_told_all_and_cuda_still_sees_each(
    chosen: list[torch.device], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: a task with two GPUs that was not told which the other is; and, were CUDA to begin
    with the two alone, a kept process whose next trial runs on another's GPU."""
    seen: list[str | None] = []
    monkeypatch.setattr(
        torch.cuda, "init", lambda: seen.append(os.environ.get("CUDA_VISIBLE_DEVICES"))
    )
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,2")
    assert gpus.pick() == torch.device("cuda", 1)
    assert seen == [None]
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "1,2"
    assert [each.index for each in chosen] == [1]


def test_so_it_does_where_gpus_are_told_by_their_uuids(
    chosen: list[torch.device], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Catches: a kept process whose trials all run on the GPU of the first one.
    uuids = ["aaaa-1", "bbbb-2", "bbcc-3"]
    monkeypatch.setattr(torch.cuda, "init", lambda: None)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(uuids))
    monkeypatch.setattr(
        torch.cuda, "get_device_properties", lambda at: SimpleNamespace(uuid=uuids[at])
    )
    for given, number in (("GPU-bbcc-3", 2), ("GPU-aaaa-1,GPU-bbbb-2", 0), ("GPU-bbbb", 1)):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
        assert gpus.pick() == torch.device("cuda", number)
    assert [each.index for each in chosen] == [2, 0, 1]


@pytest.mark.parametrize("name", ["7", "GPU-aaaa-1"])
def test_a_gpu_that_is_not_there_is_not_replaced_by_another_trials(
    chosen: list[torch.device], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    """Catches: two trials on GPU 0, since one of the others fell off its bus."""
    there = SimpleNamespace(uuid="bbbb-2")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda at: there)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", name)
    trial = small_sweep()["base"] | {"seed": 0, "resources": {"num_gpus": 1.0}}
    (only,) = tasks.run_trial(trial, str(tmp_path), 1, 1, [], 0)
    assert only == Ended(
        Outcome.lost,
        f"torch cannot use its node's GPU: it is called {name}, and none of the 4 that "
        "torch finds is that",
    )
    assert not chosen


def test_a_part_of_a_gpu_is_taken_by_its_name(
    chosen: list[torch.device], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-7a1")
    assert gpus.pick() == torch.device("cuda")
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "MIG-7a1"
    assert not chosen


def test_without_any_it_is_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")  # Ray was told of one that is not there
    assert gpus.pick() == torch.device("cpu")


LEAVES = """
import gc, os, torch, weakref
from lrd_core.training import TrainState
from workers import kept, tasks

left, create = [], TrainState.create


def with_a_cycle(*args):
    state = create(*args)
    state.optimizer.itself = state.optimizer  # as that of another package may have
    left.append(weakref.ref(state.optimizer))
    return state


TrainState.create = with_a_cycle
torch.cuda.is_initialized = lambda: True
torch.cuda.synchronize = lambda: None
torch.cuda.empty_cache = lambda: print([each() for each in left], gc.get_freeze_count() > 100_000)
os.environ[kept._CODE] = "as Ray's processes have it"
gc.disable()
for trial_id in (1, 2):
    *_, last = tasks.run_trial({trial}, {folder}, trial_id, 1, [], 0)
"""


def test_a_kept_process_gives_back_what_a_trial_had(tmp_path: Path) -> None:
    """Catches: a network in memory, or on the GPU, until Python's next look at all that there is;
    and such a look after each trial at all that was imported, for longer than some trials take."""
    trial = small_sweep()["base"] | {"seed": 0}
    program = LEAVES.format(trial=trial, folder=repr(str(tmp_path)))
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.stdout.splitlines() == ["[None] True", "[None, None] True"], done.stderr
    assert "leaked" not in done.stderr


BROKEN = """
import os, threading, torch
from workers import kept, tasks

torch.cuda.is_initialized = lambda: True


def synchronize():
    raise RuntimeError("CUDA error: device-side assert triggered")


torch.cuda.synchronize = synchronize
os.environ[kept._CODE] = "as Ray's processes have it"
for trial_id in range({trials}):
    *_, last = tasks.run_trial({trial}, {folder}, trial_id, 1, [], 0)
    print(last.outcome, flush=True)
threading.Event().wait()
"""


@pytest.mark.parametrize(("trials", "code"), [(1, 0), (2, 1)])
def test_a_process_in_which_cuda_failed_takes_no_other_trial(
    tmp_path: Path, trials: int, code: int
) -> None:
    """Catches: a process that is kept, the emptiest one, in which every later trial fails."""
    trial = small_sweep()["base"] | {"seed": 0}
    program = BROKEN.format(trials=trials, trial=trial, folder=repr(str(tmp_path)))
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == code, done.stderr
    assert done.stdout == "done\n"


def test_a_trial_that_finds_lrd_edited_as_it_began_is_for_another_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: a trial of one file of the old code and one of the new, as of the old."""
    trial = small_sweep()["base"] | {"seed": 0}
    monkeypatch.setattr(sources, "on_disk", lambda: "0.1.0+cd34cd34cd34")
    assert not kept.was_edited()  # a test's process or a dispatcher's
    monkeypatch.setattr(kept, "_is_kept", lambda: True)
    monkeypatch.setattr(tasks, "collect", lambda: None)  # nothing of pytest's is to stay for good
    assert kept.was_edited()
    monkeypatch.setattr(kept, "_watchers", ["one that ends this process"])
    (only,) = tasks.run_trial(trial, str(tmp_path), 1, 1, [], 0)
    assert only == Ended(Outcome.lost, "lrd was edited as it began")
    monkeypatch.setattr(sources, "on_disk", lambda: sources.IMPORTED)
    *_, last = tasks.run_trial(trial, str(tmp_path), 1, 2, [], 0)
    assert isinstance(last, Ended)
    assert last.outcome is Outcome.done


@pytest.mark.parametrize(
    ("built_for", "why"),
    [("13.2", "Found no NVIDIA driver"), (None, "is built for CPUs only")],
)
def test_a_gpu_that_torch_cannot_use_is_not_replaced_by_the_cpu(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    built_for: str | None,
    why: str,
) -> None:
    """Catches: a driver that has broken, or the wrong torch, and weeks of training on a CPU."""
    if torch.cuda.is_available():
        pytest.skip("torch can use the GPU here")
    trial = small_sweep()["base"] | {"seed": 0, "resources": {"num_gpus": 1.0}}
    monkeypatch.delenv(environment.PRETENDED)
    monkeypatch.setattr(torch.version, "cuda", built_for)
    (only,) = tasks.run_trial(trial, str(tmp_path), 1, 1, [], 0)
    assert isinstance(only, Ended)
    assert only.outcome is Outcome.lost
    assert only.text.startswith("torch cannot use its node's GPU: ")
    assert why in only.text
    assert why in trial_folder(str(tmp_path), 1).read(log_name(1)).decode()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # Ray's word to a task that asks for no GPU
    assert why in str(gpus.fault())
    assert "CUDA_VISIBLE_DEVICES" not in os.environ
    # Asked for no GPU, or where GPUs are pretended, the CPU is meant.
    *_, last = tasks.run_trial(trial | {"resources": {"num_gpus": 0.0}}, str(tmp_path), 1, 2, [], 0)
    assert isinstance(last, Ended)
    assert last.outcome is Outcome.done
    monkeypatch.setenv(environment.PRETENDED, "1")
    assert gpus.fault() is None
    *_, last = tasks.run_trial(trial, str(tmp_path), 1, 3, [], 0)
    assert isinstance(last, Ended)
    assert last.outcome is Outcome.done


CHANGES = """
import logging, os, random, sys, tempfile, warnings
from torch import nn

os.environ["LAB_IMPORTED"] = "yes"


class Task:
    def __init__(self, spec, device, data_dir):
        assert os.environ["LAB_IMPORTED"] == "yes"

    def model(self):
        return nn.Linear(1, 1)

    def train_epoch(self, model, optimizer, epoch):
        os.environ["LAB_ADDED"] = "by the trial"
        os.environ["LAB_THERE"] = "changed"
        os.environ.pop("LAB_ALSO", None)
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
        sys.path.insert(0, folder)
        warnings.simplefilter("ignore")
        logging.getLogger().setLevel(logging.DEBUG)
        logging.getLogger().addHandler(logging.NullHandler())
        random.seed(0)
        if epoch == 2:
            raise ValueError
        return {"train_loss": 0.0}

    def evaluate(self, model):
        return {}
"""


def test_what_a_trial_changes_for_its_whole_process_ends_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: a trial that reads another arm's variable, or works in a folder that is gone."""

    def shared() -> Any:
        root = logging.getLogger()
        return (
            dict(os.environ), Path.cwd(), [*sys.path], [*warnings.filters], root.level,
            [*root.handlers], random.getstate(),
        )  # fmt: skip

    lab = tmp_path / "lab"
    install(lab, "lab_changes", "[lrd.tasks]\nlab_changes = lab_changes:Task\n", CHANGES)
    monkeypatch.syspath_prepend(str(lab))
    for name in ("LAB_THERE", "LAB_ALSO"):
        monkeypatch.setenv(name, "as it was")
    monkeypatch.setenv("LAB_IMPORTED", "no")
    before = shared()
    # The module's own changes stay: it will not be imported again.
    before[0]["LAB_IMPORTED"] = "yes"
    for attempt, (epochs, outcome) in enumerate(((1, Outcome.done), (2, Outcome.error)), 1):
        trial = small_sweep()["base"] | {"task": "lab_changes", "epochs": epochs, "seed": 0}
        *_, last = tasks.run_trial(trial, str(tmp_path), 1, attempt, [], 0)
        assert isinstance(last, Ended)
        assert last.outcome is outcome, last
        assert shared() == before
