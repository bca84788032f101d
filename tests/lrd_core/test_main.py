"""`python -m lrd_core`: what it says where it cannot run a trial. test_serve runs one."""

import sys
from pathlib import Path

import pytest
import torch

from lrd_core.__main__ import main, run_file
from lrd_core.training import TrainState
from tests.installed import install


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ([], 2, "usage: python -m lrd_core TRIAL.yaml"),
        (["missing.yaml"], 1, "No such file"),
        (["wrong.yaml"], 1, "/epochs: missing; this field is required"),
        (["torn.yaml"], 1, "not valid YAML"),
    ],
)
def test_it_says_what_is_wrong(
    words: list[str],
    code: int,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("wrong.yaml").write_text("{dataset: digits, model: fcnet, optimizer: {name: adam}}")
    Path("torn.yaml").write_text("a: [")
    monkeypatch.setattr(sys, "argv", ["lrd_core", *words])
    assert main() == code
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(("asked", "used"), [("0", "cpu"), ("auto", "cuda")])
def test_who_asks_for_no_gpu_gets_none(
    asked: str, used: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: a trial on the GPU that a worker would run on the CPU, with other numbers."""
    file = tmp_path / "trial.yaml"
    file.write_text(
        "{dataset: digits, model: fcnet, optimizer: {name: adam}, epochs: 1, "
        f"resources: {{num_gpus: {asked}}}}}"
    )
    made: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)

    class Made(Exception):
        """Far enough: there may be no GPU here."""

    def create(_: object, device: torch.device) -> TrainState:
        made.append(device)
        raise Made

    monkeypatch.setattr(TrainState, "create", create)
    with pytest.raises(Made):
        next(run_file(file))
    assert made == [torch.device(used)]


def test_a_trial_that_exits_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Catches: exit status 0 and no word, at a `sys.exit()` of another package."""
    install(
        tmp_path,
        "lab_exits",
        "[lrd.tasks]\nexits = lab_exits:exits\n",
        "import sys\n\n\ndef exits(spec, device, data_dir):\n    sys.exit()\n",
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    file = tmp_path / "trial.yaml"
    file.write_text("{task: exits, optimizer: {name: adam}, epochs: 1}")
    monkeypatch.setattr(sys, "argv", ["lrd_core", str(file)])
    assert main() == 1
    said = capsys.readouterr().err
    assert said == "the trial's own code ended its process: SystemExit (lab_exits.py:5)\n"
