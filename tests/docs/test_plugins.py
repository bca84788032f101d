"""docs/plugins.md: its package, installed as it stands, is trained by its sweep."""

import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from lrd_core import repeats
from lrd_core.spec import SweepSpec, TrialSpec, expand
from lrd_core.training import TrainState, train
from tests.docs.pages import block
from tests.installed import install


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The package as pip leaves it, and images where the guide looks for them."""
    project = tomllib.loads(block("docs/plugins.md", "toml").text)["project"]
    lines = []
    for group, entries in project["entry-points"].items():
        lines += [f"[{group}]", *(f"{name} = {value}" for name, value in entries.items())]
    source = block("docs/plugins.md", "python").text
    install(tmp_path, "my_lab", "\n".join(lines), source, project["version"])
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "my_lab", raising=False)
    images = np.zeros((64, 1, 6, 6), dtype=np.uint8)
    images[::2, :, ::2] = 255
    part = {"images": images, "labels": np.arange(64) % 2}
    np.savez(
        tmp_path / "mine.npz",
        **{f"{of}_{name}": array for of in ("train", "test") for name, array in part.items()},
    )
    return tmp_path


def test_its_sweep_trains(lab: Path) -> None:
    sweep = SweepSpec.parse(yaml.safe_load(block("docs/plugins.md", "yaml").text))
    trials = expand(sweep)
    assert len(trials) == 4
    for trial in trials[::2]:  # one without, one with learning-rate dropout
        state = TrainState.create(trial, data_dir=lab)
        assert state.optimizer.param_groups[0]["momentum"] == 0.95
        reports = list(train(trial, state))
        assert reports[-1].metrics["test_accuracy"] == 1


def test_its_network_has_room_for_standard_dropout(lab: Path) -> None:
    import my_lab  # type: ignore[import-not-found]

    asked: list[torch.nn.Module] = []

    def dropout() -> torch.nn.Module:
        asked.append(torch.nn.Identity())
        return asked[-1]

    net = my_lab.my_net((1, 6, 6), 2, dropout)
    assert len(asked) == 1
    assert asked[0] in list(net.modules())


def test_its_task_learns(lab: Path) -> None:
    sweep = SweepSpec.parse(yaml.safe_load(block("docs/plugins.md", "yaml", 1).text))
    trials = expand(sweep)
    assert len(trials) == 4
    for trial in trials[::2]:
        reports = list(train(trial, TrainState.create(trial, data_dir=lab)))
        assert reports[-1].metrics[str(sweep.table.metric)] < 0.01


def test_it_says_what_lrd_check_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repeats, "_apart", repeats._tried)
    trial = yaml.safe_load(block("docs/user-guide.md", "yaml", 1).text)
    found = list(repeats.findings(TrialSpec.parse(trial)))
    command, *lines = block("docs/plugins.md", "").text.splitlines()
    assert command == "$ lrd check trial.yaml"
    assert [line[5:].partition(": ")[0] for line in lines] == [each.what for each in found]
    assert lines[0].partition("weights ")[0] == f"yes  {found[0].what}: 3 epochs to the bit, "
    assert {line[:5] for line in lines} == {"yes  ", "NO   "}
