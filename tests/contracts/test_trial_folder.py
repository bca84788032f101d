"""What workers, dispatcher and service rely on, wherever a trial's folder lies."""

import itertools
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import fsspec
import pytest
import torch

from lrd_core import checkpoint
from lrd_core import trial_folder as module
from lrd_core.errors import CheckpointError
from lrd_core.trial_folder import TrialFolder, trial_folder

numbers = itertools.count()


@pytest.fixture(scope="session")
def s3() -> Iterator[Callable[[], str]]:
    """Makes buckets of a real S3 server on this machine, and gives their URLs."""
    server_module = pytest.importorskip("moto.server")
    s3fs = pytest.importorskip("s3fs")
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    patch = pytest.MonkeyPatch()
    # As an operator would: fsspec reads FSSPEC_<PROTOCOL>_<OPTION> when it is imported.
    options = {"endpoint_url": f"http://{host}:{port}", "key": "lrd", "secret": "secret"}
    patch.setitem(fsspec.config.conf, "s3", options)

    def bucket() -> str:
        name = f"lrd-{next(numbers)}"
        s3fs.S3FileSystem(**options).mkdir(name)
        return f"s3://{name}/trials"

    yield bucket
    patch.undo()
    server.stop()


@pytest.fixture(params=["directory", "memory", "s3"])
def trials(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    match request.param:
        case "directory":
            return str(tmp_path / "trials")
        case "memory":
            return f"memory://trials-{next(numbers)}"
        case _:
            return str(request.getfixturevalue("s3")())


@pytest.fixture
def worker(trials: str) -> TrialFolder:
    return trial_folder(trials, 7)


@pytest.fixture
def reader(trials: str) -> TrialFolder:
    """Another process's view: nothing is shared with the worker's but the storage."""
    return trial_folder(trials, 7)


def test_a_folder_that_is_not_there_yet_is_empty(reader: TrialFolder) -> None:
    assert reader.names() == []
    assert not reader.exists("stop-1")
    with pytest.raises(FileNotFoundError):
        reader.read("attempt-1.log")
    with pytest.raises(FileNotFoundError):
        reader.open("attempt-1.log")
    reader.delete("stop-1")


def test_what_one_writes_others_read(worker: TrialFolder, reader: TrialFolder) -> None:
    assert reader.names() == []  # and it is not taken for empty ever after
    worker.write("stop-1", b"")
    worker.write("a.pt", b"\x00\xff" * 1000)
    assert reader.exists("stop-1")
    assert reader.read("a.pt") == b"\x00\xff" * 1000
    with reader.open("a.pt") as file:  # part by part, and its length is known beforehand
        assert file.seek(0, os.SEEK_END) == 2000
        file.seek(1)
        assert file.read(2) == b"\xff\x00"
    assert reader.names() == ["a.pt", "stop-1"]
    worker.write("a.pt", memoryview(b"another"))
    assert reader.read("a.pt") == b"another"
    worker.delete("a.pt")
    assert reader.names() == ["stop-1"]


@pytest.mark.parametrize(("size", "end"), [(4, b"efgh"), (8, b"abcdefgh"), (100, b"abcdefgh")])
def test_its_end_is_read_alone(
    worker: TrialFolder, reader: TrialFolder, size: int, end: bytes
) -> None:
    worker.write("a.log", b"abcdefgh")
    assert reader.read_end("a.log", size) == end
    with pytest.raises(FileNotFoundError):
        reader.read_end("b.log", size)


def test_a_log_is_whole_once_flushed(worker: TrialFolder, reader: TrialFolder) -> None:
    for line in ("one", "two — ü", "three"):
        worker.append("attempt-1.log", line)
    worker.flush()
    assert reader.read("attempt-1.log").decode() == "one\ntwo — ü\nthree\n"
    worker.append("attempt-1.log", "four")
    worker.flush()
    assert reader.read("attempt-1.log").decode().splitlines()[-2:] == ["three", "four"]


def test_a_log_grows_while_it_is_written(
    worker: TrialFolder, reader: TrialFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "UPLOAD_SECONDS", 0)
    worker.append("attempt-1.log", "one")
    assert reader.read("attempt-1.log") == b"one\n"


def test_two_trials_share_nothing(trials: str, worker: TrialFolder) -> None:
    worker.write("stop-1", b"")
    assert trial_folder(trials, 70).names() == []


def test_it_is_removed_with_all_that_it_holds_and_no_other(
    trials: str, worker: TrialFolder, reader: TrialFolder
) -> None:
    """Catches: the folder of trial 70 removed with that of trial 7."""
    other = trial_folder(trials, 70)
    for folder in (worker, other):
        folder.write("a.pt", b"1")
        folder.write("attempt-1.log", b"one")
    for _ in range(2):  # it may be gone already
        reader.remove()
        assert reader.names() == worker.names() == []
    assert other.names() == ["a.pt", "attempt-1.log"]
    worker.write("a.pt", b"2")
    assert reader.read("a.pt") == b"2"


def test_checkpoints_are_kept_loaded_and_checked(worker: TrialFolder, reader: TrialFolder) -> None:
    saved = [
        checkpoint.save(worker, epoch, {"epoch": epoch, "w": torch.ones(9)}) for epoch in (1, 2, 3)
    ]
    assert reader.names() == [each.name for each in saved]
    assert checkpoint.load(reader, saved[2])["epoch"] == 3
    worker.write(saved[2].name, b"torn")
    with pytest.raises(CheckpointError, match="torn"):
        checkpoint.load(reader, saved[2])
    found = checkpoint.load_newest(reader, saved)
    assert found is not None
    assert found[1]["epoch"] == 2


def test_a_store_that_cannot_be_reached_is_an_os_error(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("s3fs")
    nowhere = {
        "endpoint_url": "http://127.0.0.1:1",
        "key": "lrd",
        "secret": "secret",
        "config_kwargs": {"retries": {"max_attempts": 1}},
    }
    monkeypatch.setitem(fsspec.config.conf, "s3", nowhere)
    with pytest.raises(OSError, match=r"lrd-nowhere.*connect"):
        trial_folder("s3://lrd-nowhere/trials", 1).read("a")
    with pytest.raises(OSError, match="nosuch"):
        trial_folder("nosuch://place", 1).names()
