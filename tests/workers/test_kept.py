"""Real Ray: a trial runs the code that lies on disk when it starts, in a process kept for that."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lrd_core.messages import Ended, Outcome
from tests.conftest import small_sweep
from tests.installed import install
from tests.waiting import until

pytestmark = [pytest.mark.ray, pytest.mark.slow]

TASK = """
from torch import nn


class Saying:
    def __init__(self, spec, device, data_dir):
        print("saying", {said})

    def model(self):
        return nn.Linear(1, 1)

    def train_epoch(self, model, optimizer, epoch):
        return {{"train_loss": 0.0}}

    def evaluate(self, model):
        return {{"said": {said}}}
"""


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The module of a package with one task, installed for this process and Ray's."""
    folder = tmp_path_factory.mktemp("lab")
    made = install(folder, "lab_says", "[lrd.tasks]\nlab_saying = lab_says:Saying\n", "")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        patch.setenv("PYTHONPATH", str(folder), prepend=":")
        yield made


@pytest.fixture(scope="module")
def executor(file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from workers.executor import RayExecutor

    made = RayExecutor("local", str(tmp_path_factory.mktemp("trials")), checkpoint_seconds=0)
    yield made
    made.close()


def run(executor: Any, trial_id: int) -> tuple[dict[str, Any], float]:
    """The environment of a trial, and what its task said."""
    trial = small_sweep()["base"] | {
        "task": "lab_saying",
        "epochs": 1,
        "seed": 0,
        "resources": {"num_cpus": 1, "num_gpus": 0},
    }
    place = {"node": executor.nodes()[0]["id"], "cpus": 1, "gpus": 0}
    executor.start(trial_id, 1, trial, [], place)
    heard: list[Any] = []

    def has_ended() -> bool:
        heard.extend(message for _, _, message in executor.poll(1))
        return bool(heard) and isinstance(heard[-1], Ended)

    until(has_ended, "the trial has not ended")
    started, epoch, end = heard
    assert end.outcome is Outcome.done, heard
    return started.environment, epoch.report["said"]


def is_there(process: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False


def test_code_that_was_edited_runs_as_it_is_now(executor: Any, file: Path) -> None:
    """Catches: seeds of one arm by the old code and by the new, as kept processes had imported it;
    a bug that was mended and fails again in each retry."""
    file.write_text(TASK.format(said=1))
    old = [run(executor, trial_id) for trial_id in (1, 2, 3, 4)]
    assert {said for _, said in old} == {1}
    assert "| saying 1\n" in (Path(executor._trials) / "1" / "attempt-1.log").read_text()
    processes = {environment["pid"] for environment, _ in old}
    assert len(processes) < len(old)  # equal code: they are kept
    (plugins,) = {environment["plugins"] for environment, _ in old}
    assert plugins.startswith("lab-says 1.0 ")

    file.write_text(TASK.format(said=2))
    new, said = run(executor, 5)
    assert said == 2
    assert new["plugins"] != plugins
    assert new["pid"] not in processes
    # Nothing will be started there any more.
    until(lambda: not any(map(is_there, processes)), "processes have the old code")
    assert is_there(new["pid"])
