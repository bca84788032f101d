"""`lrd check`: a trial that does not repeat itself is found out, whatever the reason."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lrd_core import repeats
from lrd_core.errors import LRDError
from lrd_core.repeats import Finding, findings
from lrd_core.spec import TrialSpec
from tests.installed import install

TASK = """
import random
import numpy as np
import torch
from torch import nn

chances = random.SystemRandom()


class Learning:
    data_sha256 = None

    def __init__(self, spec, device, data_dir):
        self.spec, self.seen = spec, 0

    def model(self):
        {model}
        return nn.Linear(2, 1)

    def train_epoch(self, model, optimizer, epoch):
        self.seen += 1
        {draw}
        optimizer.zero_grad()
        loss = (model(torch.randn(4, 2)) - drawn).square().mean()
        loss.backward()
        optimizer.step()
        return {{"train_loss": loss.detach()}}

    def evaluate(self, model):
        return {{"test_loss": {tested}}}
"""
GOOD = {"model": "pass", "draw": "drawn = torch.rand(())", "tested": "model.weight.abs().sum()"}
Lab = Callable[..., list[Finding]]


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """Looks at a trial of another package's task, one line of which is another; all in this
    process, for each of its own would import torch once more."""
    monkeypatch.setattr(repeats, "_apart", repeats._tried)

    def found(*, epochs: int = 4, **lines: str) -> list[Finding]:
        source = TASK.format(**GOOD | lines)
        install(
            tmp_path, "lab_repeats", "[lrd.tasks]\nlab_repeats = lab_repeats:Learning\n", source
        )
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.delitem(sys.modules, "lab_repeats", raising=False)
        return list(findings(trial(task="lab_repeats", dataset="", model="", epochs=9), epochs))

    return found


def trial(**changes: Any) -> TrialSpec:
    document = {
        "dataset": "digits", "model": "fcnet", "optimizer": {"name": "adam", "keep_prob": 0.5},
        "epochs": 2, "batch_size": 512,
    }  # fmt: skip
    return TrialSpec.parse(document | changes)


@pytest.mark.slow
def test_a_trial_of_lrd_alone_repeats_itself() -> None:
    """In processes of their own, as a worker is after another was killed."""
    again, resumed, begun = findings(trial())
    assert [each.holds for each in (again, resumed, begun)] == [True] * 3
    assert again.detail.startswith("2 epochs to the bit, weights ")
    assert resumed.what == "on from its checkpoint after epoch 1"
    assert resumed.detail.startswith("1 epoch to the bit")
    assert again.detail[-12:] == resumed.detail[-12:]
    assert begun.what == "begins with the same weights without LRD"


@pytest.mark.parametrize(
    "draw", [GOOD["draw"], "drawn = random.random()", "drawn = float(np.random.rand())"]
)
def test_a_task_that_takes_its_chances_from_global_generators_does_too(lab: Lab, draw: str) -> None:
    found = lab(draw=draw)
    assert [each.holds for each in found] == [True] * 3
    assert found[0].detail.startswith("4 epochs")  # and not the nine that the trial has
    assert found[1].what == "on from its checkpoint after epoch 2"


@pytest.mark.parametrize(
    ("lines", "wrong", "detail"),
    [
        # Its chances come from where no seed of lrd reaches.
        ({"draw": "drawn = chances.random()"}, [0, 1], "train_loss of epoch 1 was "),
        # It remembers what no checkpoint holds.
        ({"draw": "drawn = float(self.seen)"}, [1], "train_loss of epoch 3 was "),
        ({"tested": "float(self.seen)"}, [1], "test_loss of epoch 3 was 3.0, and is 1.0"),
        # What it saves cannot be loaded.
        (
            {"draw": "drawn = 0.0; model.register_buffer(f'seen_{epoch}', torch.ones(()))"},
            [1],
            "RuntimeError: Error(s) in loading state_dict",
        ),
        # Its pairs begin elsewhere.
        ({"model": "torch.rand(1 if self.spec.optimizer.keep_prob == 1 else 2)"}, [2], " and "),
    ],
)
def test_what_does_not_repeat_itself_is_found(
    lab: Lab, lines: dict[str, str], wrong: list[int], detail: str
) -> None:
    found = lab(**lines)
    assert [at for at, each in enumerate(found) if not each.holds] == wrong
    assert detail in found[wrong[0]].detail


def test_numbers_that_are_none_are_equal_to_themselves(lab: Lab) -> None:
    assert all(each.holds for each in lab(tested="float('nan')"))


def test_a_metric_that_only_one_run_has_is_seen(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    mark = "__import__('pathlib').Path('ran')"
    first = f"(lambda here: (here.touch(), not here.stat().st_mtime))({mark})[1] or 0.0"
    again, *_ = lab(
        tested=f"0.0, **({{'more': 1.0}} if {mark}.exists() else {{}}), 'touched': {first}"
    )
    assert not again.holds
    assert again.detail == "more of epoch 1 was None, and is 1.0"


def test_divergence_may_repeat_itself(lab: Lab) -> None:
    late = lab(draw="drawn = torch.tensor(float('nan') if epoch == 3 else 0.0)")
    assert [each.holds for each in late] == [True] * 3
    assert late[0].detail.startswith("3 epochs to the bit")
    at_once = lab(draw="drawn = torch.tensor(float('nan'))")
    assert [each.what for each in at_once][1:] == ["begins with the same weights without LRD"]


def test_what_cannot_be_looked_at_is_said(lab: Lab) -> None:
    with pytest.raises(LRDError, match="one epoch is too few"):
        next(findings(trial(epochs=1)))
    with pytest.raises(
        LRDError, match=r"cannot be run: .* as the metric 'test_loss'; each must be"
    ):
        lab(tested="'much'")
    with pytest.raises(LRDError, match=r"cannot be run: SystemExit: 3 \(lab_repeats.py:"):
        lab(draw="raise SystemExit(3)")
    with pytest.raises(LRDError, match=r"cannot be run: StopIteration \(lab_repeats.py:"):
        lab(draw="next(iter([]))")
    with pytest.raises(LRDError, match=r"cannot be run: ZeroDivisionError: .* \(lab_repeats.py:"):
        lab(tested="1 / 0")
    # The line of the plugin, not the library's deeper one.
    with pytest.raises(LRDError, match=r"cannot be run: JSONDecodeError: .* \(lab_repeats.py:"):
        lab(tested="__import__('json').loads('')")


@pytest.mark.slow
def test_a_process_that_dies_is_told() -> None:
    assert repeats._apart(os._exit, 1) == repeats._Failed("its process died; was it out of memory?")


def test_what_a_plugin_prints_does_not_stand_between_the_findings(
    lab: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    """Catches: standard output that no program can read."""
    assert all(finding.holds for finding in lab(draw="print('drawn'); drawn = 1"))
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "drawn\n" in printed.err
