"""Checkpoints: whole or absent whatever is killed, broken or full; and never code."""

import hashlib
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lrd_core import checkpoint
from lrd_core.errors import CheckpointError, PluginError
from lrd_core.trial_folder import Checkpoint, LocalFolder


def state(epoch: int) -> dict[str, Any]:
    """Some 400 kB, another one for each epoch."""
    return {"epoch": epoch, "weights": torch.full((100_000,), float(epoch))}


def newest(folder: Path, known: list[Checkpoint]) -> int | None:
    found = checkpoint.load_newest(LocalFolder(folder), known)
    return None if found is None else int(found[1]["epoch"])


@pytest.fixture
def saved(tmp_path: Path) -> list[Checkpoint]:
    return [checkpoint.save(LocalFolder(tmp_path), epoch, state(epoch)) for epoch in (1, 2)]


def test_what_was_saved_is_loaded(tmp_path: Path, saved: list[Checkpoint]) -> None:
    loaded = checkpoint.load(LocalFolder(tmp_path), saved[1])
    assert loaded["epoch"] == 2
    assert torch.equal(loaded["weights"], state(2)["weights"])


def test_a_new_one_takes_none_away(tmp_path: Path, saved: list[Checkpoint]) -> None:
    # Catches: the only recorded ones deleted by a worker that has run ahead of the database.
    folder = LocalFolder(tmp_path)
    more = [checkpoint.save(folder, epoch, state(epoch)) for epoch in (3, 4)]
    assert folder.names() == [each.name for each in (*saved, *more)]


def test_while_nobody_records_them_there_are_four_at_most(tmp_path: Path) -> None:
    folder, names = LocalFolder(tmp_path), []
    while checkpoint.has_room_for_another(folder, names):
        names.append(checkpoint.save(folder, len(names) + 1, state(len(names))).name)
    assert len(names) == 4
    folder.delete(names[0])  # so the third is recorded
    assert checkpoint.has_room_for_another(folder, names)


def test_what_nobody_recorded_goes_with_the_next_attempt(tmp_path: Path) -> None:
    folder = LocalFolder(tmp_path)
    first, _ = (checkpoint.save(folder, epoch, state(epoch), attempt=1) for epoch in (1, 2))
    folder.write("attempt-1.log", b"")
    old = "epoch-000003-0123456789abcdef.pt"  # as they were called once
    folder.write(old, b"")
    checkpoint.drop_unrecorded(folder, [first.name], attempt=2)
    assert folder.names() == ["attempt-1.log", first.name]


def test_what_an_attempt_was_killed_over_goes_with_the_next(tmp_path: Path) -> None:
    """Catches: a half checkpoint for each kill, which nobody lists and nobody deletes."""
    folder = LocalFolder(tmp_path)
    half = ".epoch-000003-attempt-{}-0123456789abcdef.pt.fedcba"
    for attempt in (1, 2, 3):
        folder.write(half.format(attempt), b"half")
    folder.write(".stop-1.fedcba", b"")  # another process writes that, perhaps now
    checkpoint.drop_unrecorded(folder, [], attempt=2)
    assert folder.unfinished() == [half.format(2), half.format(3), ".stop-1.fedcba"]


def test_an_attempt_that_wakes_late_takes_nothing_from_its_successor(tmp_path: Path) -> None:
    # Catches: all that the second attempt wrote deleted by the first, which knew of none of it.
    folder = LocalFolder(tmp_path)
    kept = checkpoint.save(folder, 5, state(5), attempt=2)
    for attempt in (1, 2):
        checkpoint.drop_unrecorded(folder, [], attempt)
    assert folder.names() == [kept.name]


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda path: path.unlink(), id="missing"),
        pytest.param(lambda path: path.write_bytes(b""), id="empty"),
        pytest.param(lambda path: os.truncate(path, path.stat().st_size // 2), id="truncated"),
        pytest.param(lambda path: flip(path), id="one bit flipped"),
        pytest.param(lambda path: path.write_bytes(pickle.dumps(print)), id="another file"),
    ],
)
def test_a_damaged_one_is_seen_and_the_one_before_is_used(
    tmp_path: Path, saved: list[Checkpoint], damage: Callable[[Path], None]
) -> None:
    damage(tmp_path / saved[1].name)
    with pytest.raises(CheckpointError, match=saved[1].name):
        checkpoint.load(LocalFolder(tmp_path), saved[1])
    assert newest(tmp_path, saved) == 1


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_without_a_whole_one_there_is_none(tmp_path: Path, saved: list[Checkpoint]) -> None:
    for each in saved:
        (tmp_path / each.name).unlink()
    assert newest(tmp_path, saved) is None


def test_a_file_that_would_run_code_is_refused_even_with_the_right_sum(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.system, (f"touch {tmp_path}/ran",)

    path = tmp_path / "epoch-000001-evil.pt"
    torch.save({"epoch": Evil()}, path)
    known = Checkpoint(1, path.name, hashlib.sha256(path.read_bytes()).hexdigest())
    with pytest.raises(CheckpointError, match="not"):
        checkpoint.load(LocalFolder(tmp_path), known)
    assert not (tmp_path / "ran").exists()


def test_what_could_not_be_loaded_is_not_saved(tmp_path: Path) -> None:
    """Catches: an optimizer with a number of NumPy's in its state, whose trial began anew at each
    resume, as if its checkpoints were torn."""
    folder = LocalFolder(tmp_path)
    strange = {"optimizer": {"rho": np.float64(0.5)}}
    with pytest.raises(PluginError, match=r"other than tensors .* \(Unsupported global: .*numpy"):
        checkpoint.save(folder, 1, strange)
    assert folder.names() == []
    later = checkpoint.save(folder, 1, strange, prove=False)  # the first of the attempt was proven
    told: list[str] = []
    assert checkpoint.load_newest(folder, [later], warn=told.append) is None
    (said,) = told
    assert later.name in said
    assert "holds something other than tensors and plain data" in said


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("call", ["fsync", "rename"])
def test_a_broken_disk_or_an_interrupt_costs_the_new_one_only(
    tmp_path: Path,
    saved: list[Checkpoint],
    monkeypatch: pytest.MonkeyPatch,
    call: str,
    error: BaseException,
) -> None:
    """Catches: of a trial that was cancelled as it saved, a half checkpoint that stays."""

    def broken(*_: object) -> None:
        raise error

    monkeypatch.setattr(os, "fsync", broken) if call == "fsync" else monkeypatch.setattr(
        Path, "rename", broken
    )
    with pytest.raises(type(error)):
        checkpoint.save(LocalFolder(tmp_path), 3, state(3))
    assert newest(tmp_path, saved) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == [each.name for each in saved]
