"""What is to be deleted is deleted, though storage fails for a while."""

from pathlib import Path

import pytest

from lrd_core.trial_folder import LocalFolder
from workers import discarding
from workers.discarding import Discarding


@pytest.fixture
def folder(tmp_path: Path) -> LocalFolder:
    made = LocalFolder(tmp_path / "7")
    for name in ("a", "b", "c"):
        made.write(name, b"")
    return made


def test_a_file_that_cannot_be_deleted_is_tried_again(
    tmp_path: Path, folder: LocalFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Catches: a worker that waits for ever for the sign that its checkpoints are recorded.
    faults, delete = [OSError("stale handle"), OSError("stale handle")], LocalFolder.delete

    def failing(self: LocalFolder, name: str) -> None:
        if faults:
            raise faults.pop()
        delete(self, name)

    monkeypatch.setattr(LocalFolder, "delete", failing)
    monkeypatch.setattr(discarding, "RETRY_SECONDS", 0)
    waiting = Discarding(str(tmp_path))
    waiting.add(7, ["a", "b"])
    while folder.names() != ["c"]:
        pass
    waiting.close()


def test_closing_does_not_wait_for_storage_that_is_away(
    tmp_path: Path, folder: LocalFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(LocalFolder, "delete", away)
    waiting = Discarding(str(tmp_path))
    waiting.add(7, ["a", "b"])
    waiting.close()  # or the test never ends
    assert folder.names() == ["a", "b", "c"]
