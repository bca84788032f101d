"""`python -m lrd_core`: what it says where it cannot run a trial. test_serve runs one."""

import sys
from pathlib import Path

import pytest

from lrd_core.__main__ import main


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
