"""Which GPU a trial has, by Ray's own count: a real Ray that believes to have some."""

import json
import os
import subprocess
import sys

import pytest

SCRIPT = """
import ray
from workers import gpus

assert gpus.given() == []
ray.init("local", include_dashboard=False, num_cpus=4, num_gpus=3, log_to_driver=False,
         _node_ip_address="127.0.0.1")
assert gpus.given() == []


@ray.remote(num_cpus=1)
class Holder:
    def has(self):
        return gpus.given()


holders = [Holder.options(num_gpus=gpus).remote() for gpus in (0.5, 2, 0.25, 0)]
print([ray.get(each.has.remote()) for each in holders], flush=True)
"""


@pytest.mark.ray
def test_a_task_knows_which_gpus_it_was_given() -> None:
    shown = {"CUDA_VISIBLE_DEVICES": "5,6,7", "RAY_AUTH_MODE": "disabled"}  # CUDA's names for them
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SCRIPT], env=os.environ | shown,
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr[-2000:]
    half, two, quarter, none = json.loads(ran.stdout)
    assert len(half) == 1
    assert sorted(half + two) == [0, 1, 2]  # which one Ray takes first is its own affair
    assert quarter == half  # the only one with room
    assert none == []
