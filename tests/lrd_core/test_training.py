"""The trainer: the same trial gives the same numbers, straight or with a kill between."""

import math
from collections import deque
from pathlib import Path
from typing import Any

import pytest
import torch

from lrd_core import checkpoint, training
from lrd_core.errors import CheckpointError, DataNotFound, Diverged
from lrd_core.report import EpochReport, decode_number
from lrd_core.spec import TrialSpec
from lrd_core.training import TrainState, train
from lrd_core.trial_folder import LocalFolder
from tests.lrd_core.freed import trained_and_freed


def spec(**changes: Any) -> TrialSpec:
    document: dict[str, Any] = {
        "dataset": "digits",
        "model": "fcnet",
        "optimizer": {"name": "adam", "keep_prob": 0.5},
        "regularizers": ["SD", "NL", "NG", "DG"],
        "epochs": 3,
        "batch_size": 512,
        "schedule": {"milestones": [2]},
    }
    return TrialSpec.parse(document | changes)


def numbers(reports: list[EpochReport]) -> list[dict[str, float]]:
    return [report.metrics | {"lr": report.lr} for report in reports]


def test_the_same_trial_twice_gives_the_same_numbers() -> None:
    runs = [numbers(list(train(spec(), TrainState.create(spec())))) for _ in range(2)]
    assert runs[0] == runs[1]
    assert runs[0] != numbers(list(train(spec(seed=1), TrainState.create(spec(seed=1)))))


def test_a_checkpoint_between_two_epochs_changes_no_bit(tmp_path: Path) -> None:
    straight = TrainState.create(spec())
    expected = numbers(list(train(spec(), straight)))
    first = TrainState.create(spec())
    report = next(train(spec(), first))
    saved = checkpoint.save(LocalFolder(tmp_path), first.epoch, first.state_dict())
    torch.rand(3)  # nothing global matters
    second = TrainState.create(spec())
    second.load_state_dict(checkpoint.load(LocalFolder(tmp_path), saved))
    assert numbers([report, *train(spec(), second)]) == expected
    for ours, theirs in zip(straight.model.parameters(), second.model.parameters(), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("name", ["adam", "nadam"], ids=["fused", "universal"])
def test_what_a_trial_holds_is_free_when_it_is_done(name: str) -> None:
    """Catches: hooks that know their optimizer: a kept process has the memory of several trials."""
    assert trained_and_freed(spec(optimizer={"name": name, "keep_prob": 0.5}))


def test_learning_happens() -> None:
    trial = spec(regularizers=[], epochs=8, batch_size=128)
    reports = list(train(trial, TrainState.create(trial)))
    assert reports[-1].metrics["test_accuracy"] > 0.85


def test_a_diverged_trial_reports_its_epoch_and_stops() -> None:
    trial = spec(optimizer={"name": "sgdm", "lr": 1e6}, regularizers=[])
    reports: list[EpochReport] = []
    with pytest.raises(Diverged):
        deque(map(reports.append, train(trial, TrainState.create(trial))))
    assert reports
    loss = reports[-1].to_json()["train_loss"]
    assert loss in ("NaN", "Infinity")
    assert not math.isfinite(decode_number(loss))


def test_a_torn_checkpoint_is_refused_and_the_one_before_is_used(tmp_path: Path) -> None:
    folder = LocalFolder(tmp_path)
    saved = [checkpoint.save(folder, epoch, {"epoch": epoch}) for epoch in (1, 2, 3)]
    torn = tmp_path / saved[-1].name
    torn.write_bytes(torn.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match="torn"):
        checkpoint.load(folder, saved[-1])
    newest = checkpoint.load_newest(folder, saved)
    assert newest is not None
    assert newest[1] == {"epoch": 2}


def test_a_checkpoint_of_another_trial_is_refused() -> None:
    other = TrainState.create(spec(seed=1)).state_dict()
    with pytest.raises(CheckpointError, match="seed 1"):
        TrainState.create(spec()).load_state_dict(other)


def test_an_absent_data_set_says_where_it_was_looked_for(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataNotFound, match="LRD_DATA_DIR"):
        # below a file nothing can be downloaded, with or without a network
        TrainState.create(spec(dataset="mnist"), data_dir=tmp_path / "file")


def test_metrics_of_two_devices_are_brought_over_one_device_after_the_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Catches: a loss on the GPU and an accuracy on the CPU, which no torch.stack takes."""
    together: list[list[str]] = []

    def stack(parts: list[torch.Tensor]) -> torch.Tensor:
        together.append([part.device.type for part in parts])
        return torch.full((len(parts),), float(len(together)))

    monkeypatch.setattr(torch, "stack", stack)
    there = torch.zeros((), device="meta")  # a device that is everywhere
    metrics = {"train_loss": there, "test_loss": torch.tensor(0.5), "hits": there, "count": 7}
    found = training._to_floats(metrics)
    assert sorted(together) == [["cpu"], ["meta", "meta"]]
    assert found["train_loss"] == found["hits"] != found["test_loss"]
    assert found["count"] == 7.0
