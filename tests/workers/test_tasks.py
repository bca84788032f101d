"""A worker process is kept for later trials: each must use the GPU that it was given."""

import os

import pytest
import torch

from workers import tasks


@pytest.fixture
def chosen(monkeypatch: pytest.MonkeyPatch) -> list[torch.device]:
    """A machine with GPUs, as far as torch is asked; which of them became the current one."""
    found: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "set_device", found.append)
    return found


def test_each_trial_uses_the_gpu_that_ray_gave_it(
    chosen: list[torch.device], monkeypatch: pytest.MonkeyPatch
) -> None:
    for given in ("0", "3", "1,2"):  # Ray sets it anew for each task
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
        assert tasks._gpu() == torch.device("cuda", int(given[0]))
        assert "CUDA_VISIBLE_DEVICES" not in os.environ  # CUDA is to see them all
    assert [each.index for each in chosen] == [0, 3, 1]


def test_a_part_of_a_gpu_is_taken_by_its_name(
    chosen: list[torch.device], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-7a1")
    assert tasks._gpu() == torch.device("cuda")
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "MIG-7a1"
    assert not chosen


def test_without_any_it_is_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")  # Ray was told of one that is not there
    assert tasks._gpu() == torch.device("cpu")
