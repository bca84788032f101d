"""A file is there whole or not at all, wherever its writer is killed."""

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

STRACE = shutil.which("strace")
CALLS = ("openat", "write", "fsync", "rename", "close")
OLD, NEW = b"old" * 50_000, b"new" * 70_000
WRITER = """
import sys
from pathlib import Path
from lrd_core.whole import write_whole
path = Path(sys.argv[1])
write_whole(path, b"new" * 70_000, beside=path.with_suffix(".partial"))
"""


def killed_at(path: Path, call: str, when: int) -> bool:
    """Write in a process that is killed at its n-th such call on these files; whether it was."""
    watched = [path.parent, path, path.with_suffix(".partial")]
    done = subprocess.run(
        [
            str(STRACE), "-f", "-o", "/dev/null", *(f"-P{each}" for each in watched),
            "-e", f"trace={call}", "-e", f"inject={call}:signal=SIGKILL:when={when}",
            sys.executable, "-c", WRITER, str(path),
        ],
        capture_output=True, timeout=60,
    )  # fmt: skip
    if b"ptrace" in done.stderr:
        pytest.skip(f"strace may not trace here: {done.stderr.decode().strip()}")
    assert done.returncode in (0, -signal.SIGKILL, 128 + signal.SIGKILL), done.stderr.decode()
    return done.returncode != 0


@pytest.mark.skipif(STRACE is None, reason="strace is not installed")
def test_killed_at_any_system_call_it_leaves_the_old_file_or_the_new(tmp_path: Path) -> None:
    path = tmp_path / "file"
    points: list[tuple[str, int]] = []
    left: set[bytes] = set()
    for call in CALLS:
        for when in range(1, 100):
            path.write_bytes(OLD)
            if not killed_at(path, call, when):
                assert path.read_bytes() == NEW
                break
            points.append((call, when))
            left.add(path.read_bytes())
    assert {call for call, _ in points} == set(CALLS)
    assert left == {OLD, NEW}, "each point leaves one of the two, and both do occur"
