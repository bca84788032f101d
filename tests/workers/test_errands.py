"""What is to be written or deleted is, though storage fails for a while."""

import threading
import time
from pathlib import Path

import pytest

from lrd_core.trial_folder import TrialFolder
from workers import errands
from workers.errands import Errand, Errands


def test_what_fails_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Catches: a worker that waits for ever for the sign that its checkpoints are recorded.
    monkeypatch.setattr(errands, "RETRY_SECONDS", 0)
    faults, done = [OSError("stale handle"), OSError("no space")], threading.Event()

    def write(folder: TrialFolder) -> None:
        if faults:
            raise faults.pop()
        folder.write("stop-1", b"")
        done.set()

    running = Errands(str(tmp_path))
    running.add(7, write)
    assert done.wait(60)
    running.close()
    assert (tmp_path / "7" / "stop-1").exists()


def test_what_goes_on_failing_is_tried_less_and_less_often() -> None:
    """Catches: where nothing may be deleted, a line in the log every 5 s for each checkpoint."""
    errand, pauses = Errand(7, lambda _: None), []
    for _ in range(8):
        errand = errand.again()
        pauses.append(errand.not_before - time.monotonic())
    assert pauses == pytest.approx([5, 10, 20, 40, 80, 160, 300, 300], abs=1)


def test_folders_that_never_work_hold_up_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Catches: a thread that waits for its own errand, until all of them do.
    monkeypatch.setattr(errands, "RETRY_SECONDS", 60)
    done = threading.Event()

    def refused(_: TrialFolder) -> None:
        raise PermissionError(13, "Permission denied")

    running = Errands(str(tmp_path))
    for trial_id in range(3 * errands.AT_A_TIME):
        running.add(trial_id, refused)
    running.add(99, lambda _: done.set())
    assert done.wait(60)
    running.close()


def test_closing_tries_once_what_is_left_and_waits_for_no_storage_that_is_away(
    tmp_path: Path,
) -> None:
    tried: list[int] = []

    def away(trial_id: int) -> None:
        tried.append(trial_id)
        raise OSError("no route to host")

    running = Errands(str(tmp_path))
    for trial_id in range(20):
        running.add(trial_id, lambda _, trial_id=trial_id: away(trial_id))
    running.close()
    assert sorted(tried) == list(range(20))


def test_closing_does_not_wait_for_storage_that_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(errands, "CLOSE_SECONDS", 0.1)
    back = threading.Event()
    running = Errands(str(tmp_path))
    running.add(7, lambda _: back.wait() and None)
    running.close()  # or the test never ends
    back.set()
