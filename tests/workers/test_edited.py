"""Real Ray: lrd itself is edited between two trials, in a copy that driver and workers import."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.copied import ROOT, copy_of

pytestmark = [pytest.mark.ray, pytest.mark.slow]

SWEEP = """
import json, os, sys
from pathlib import Path
import lrd_core
from lrd_core.messages import Ended
from tests.copied import edit
from tests.waiting import until
from tests.workers.test_kept import is_there
from workers.executor import RayExecutor

folder = Path(sys.argv[1])
assert Path(lrd_core.__file__).is_relative_to(folder)
executor = RayExecutor("local", str(folder / "trials"), checkpoint_seconds=0)
place = {"node": executor.nodes()[0]["id"], "cpus": 1, "gpus": 0}

def run(trial_id):
    trial = {"dataset": "digits", "model": "fcnet", "optimizer": {"name": "adam"}, "epochs": 1,
             "batch_size": 512, "seed": 0, "resources": {"num_cpus": 1, "num_gpus": 0}}
    executor.start(trial_id, 1, trial, [], place)
    heard = []
    while not heard or not isinstance(heard[-1], Ended):
        heard += [message for _, _, message in executor.poll(1)]
    here, weights = heard[0].environment, heard[-1].weights_sha256
    return {"lrd": here["lrd"], "pid": here["pid"], "weights": weights}

old = [run(trial_id) for trial_id in (1, 2, 3, 4)]
edit(folder)
new = [run(trial_id) for trial_id in (5, 6, 7)]
kept = {each["pid"] for each in old}
until(lambda: not any(map(is_there, kept)), "processes have the old code")
still = [is_there(each["pid"]) for each in new]
executor.close()
print(json.dumps([old, new, still]))
"""


def test_an_edit_of_lrd_itself_runs_from_the_next_trial_on(tmp_path: Path) -> None:
    """Catches: half of an arm's seeds by the old network, of kept processes, and half by the new,
    as one sample."""
    folder = copy_of(tmp_path / "copied", "lrd_core", "workers")
    done = subprocess.run(
        [sys.executable, "-c", SWEEP, str(folder)], cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"},
        capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    old, new, still_there = json.loads(done.stdout.splitlines()[-1])
    (before,) = {(each["lrd"], each["weights"]) for each in old}
    (after,) = {(each["lrd"], each["weights"]) for each in new}
    assert before[0] != after[0]
    assert before[1] != after[1]
    processes = {each["pid"] for each in old}
    assert len(processes) < len(old)  # equal code: they are kept
    assert processes.isdisjoint(each["pid"] for each in new)
    assert all(still_there)
