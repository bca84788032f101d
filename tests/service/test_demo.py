"""`make demo`: from POST to table and figures, with Ray, and nothing left running."""

import csv
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest


@pytest.mark.slow
@pytest.mark.ray
def test_the_demo_leaves_its_table_and_figures_and_nothing_running(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    # Not in pytest's folder: Ray's sockets must have short names.
    scratch = Path(tempfile.mkdtemp(prefix="lrd-test-"))
    request.addfinalizer(lambda: shutil.rmtree(scratch, ignore_errors=True))
    done = subprocess.run(
        [sys.executable, "-m", "service.demo"], cwd=tmp_path, timeout=560,
        env=os.environ | {"TMPDIR": str(scratch)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    # Nothing on stderr: the first that a newcomer reads is not that no dispatcher leads yet.
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    results = tmp_path / "results"
    assert (results / "table.md").read_text() in done.stdout
    with (results / "table.csv").open(newline="") as rows:
        assert [(row["n"], row["failed"]) for row in csv.DictReader(rows)] == [("3", "0")] * 10
    assert (results / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert "</svg>" in (results / "curves.svg").read_text()
    assert list(scratch.glob("lrd-demo-*")) == []
    started = [
        path.parent.name
        for path in Path("/proc").glob("[0-9]*/environ")
        if str(scratch).encode() in _environment(path)
    ]
    assert started == []


def _environment(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # it has ended, or is another user's
        return b""
