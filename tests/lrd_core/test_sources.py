"""The sum over lrd's own sources: the same wherever they lie, another after each edit."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import workers
from lrd_core import environment, sources, sums
from lrd_core.spec import TrialSpec
from tests.copied import ROOT, copy_of


def summed(folder: Path) -> str:
    """By a process that imports lrd_core from this folder."""
    code = "from lrd_core import sources; print(sources.__file__, sources.on_disk())"
    environment = os.environ | {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": ""}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment,
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    path, found = done.stdout.split()
    assert Path(path).is_relative_to(folder)
    return found


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    return copy_of(tmp_path / "elsewhere", "lrd_core", "workers", "service")


def test_it_is_the_same_wherever_the_same_sources_lie(copied: Path) -> None:
    """Catches: a path, a time or bytecode in the sum, so that no node has that of another."""
    (copied / "lrd_core" / "seeds.py").touch()
    assert summed(copied) == sources.on_disk() == sources.IMPORTED
    assert list(copied.rglob("*.pyc"))  # it has been imported there
    assert summed(copied) == sources.IMPORTED


def test_a_wheel_and_an_sdist_have_that_of_the_checkout(tmp_path: Path) -> None:
    """Catches: an API from a wheel that takes no result of workers from a checkout."""
    for target in ("wheel", "sdist"):
        command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(tmp_path)]
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,), (sdist,) = tmp_path.glob("*.whl"), tmp_path.glob("*.tar.gz")
    shutil.unpack_archive(wheel, tmp_path / "wheel", "zip")
    shutil.unpack_archive(sdist, tmp_path / "sdist", filter="data")
    assert summed(tmp_path / "wheel") == sources.IMPORTED
    assert summed(tmp_path / "sdist" / sdist.name.removesuffix(".tar.gz")) == sources.IMPORTED


@pytest.mark.parametrize(
    "name",
    [
        "lrd_core/models/fcnet.py",
        "lrd_core/optim/kernels/native.cpp",
        "workers/tasks.py",
        "workers/saving.py",
        "workers/gpus.py",
    ],
)
def test_it_changes_with_what_decides_numbers(copied: Path, name: str) -> None:
    file = copied / name
    was = file.read_bytes()
    file.write_bytes(was + b"\n")
    assert summed(copied) != sources.IMPORTED
    file.write_bytes(was)
    assert summed(copied) == sources.IMPORTED


@pytest.mark.parametrize(
    "name",
    [
        "service/commands/output.py",
        "lrd_core/presets/digits.yaml",
        "lrd_core/.fcnet.py.swp",
        "README.md",
    ],
)
def test_it_does_not_change_with_what_decides_none(copied: Path, name: str) -> None:
    with (copied / name).open("a") as file:
        file.write("\n# another\n")
    assert summed(copied) == sources.IMPORTED


def test_a_file_that_is_moved_or_gone_is_another_code(tmp_path: Path) -> None:
    """Catches: contents in a row without their names."""
    (tmp_path / "models").mkdir()
    (tmp_path / "a.py").write_text("a = 1\n")
    before = sums.of(sums.below(tmp_path, ".py"))
    (tmp_path / "a.py").rename(tmp_path / "models" / "a.py")
    moved = sums.of(sums.below(tmp_path, ".py"))
    (tmp_path / "models" / "a.py").unlink()
    assert len({before, moved, sums.of(sums.below(tmp_path, ".py"))}) == 3
    (tmp_path / "a.py").symlink_to("nowhere")  # so an editor locks a file
    sums.of(sums.below(tmp_path, ".py"))


def test_files_are_read_again_only_where_one_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: 400 kB read and hashed for each trial that starts."""
    (tmp_path / "a.py").write_text("a = 1\n")
    before = sums.of(sums.below(tmp_path, ".py"))

    def refuse(path: Path) -> bytes:
        raise AssertionError(f"{path} is read again")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", refuse)
        assert sums.of(sums.below(tmp_path, ".py")) == before
    (tmp_path / "a.py").write_text("a = 12\n")
    assert sums.of(sums.below(tmp_path, ".py")) != before


def test_lines_are_taken_as_they_end(tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    file.write_bytes(b"a = 1\n")
    before = sums.of({"a.py": str(file)})
    file.write_bytes(b"a = 1\r\n")
    assert sums.of({"a.py": str(file)}) != before


def test_a_trial_records_the_code_that_its_process_has(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: a process with the old network that calls its numbers those of the new one."""
    trial = {"dataset": "digits", "model": "fcnet", "optimizer": {"name": "adam"}, "epochs": 1}
    spec = TrialSpec.parse(trial)
    cpu = environment.pick_device()
    monkeypatch.setattr(sources, "on_disk", lambda: "0.1.0+cd34cd34cd34")
    assert environment.fingerprint(spec, cpu)["lrd"] == sources.IMPORTED


def test_what_trains_lies_beside_the_science() -> None:
    assert Path(workers.__file__).parent == ROOT / "workers"
    assert all((ROOT / name).is_file() for name in sources._TRAIN)
