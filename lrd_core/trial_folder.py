"""A trial's folder, on storage that all nodes and the service share: a path, or any fsspec URL.

    <trials>/<id>/epoch-000003-attempt-1-<sha256>.pt    checkpoints, the newest (`Retention`)
                  attempt-1.log                         what each attempt did, line by line
                  paths.json                            of a descent: its paths, for a figure
                  weights-<sha256>.pt                   the final weights, if the sweep keeps them
                  stop-1                                asks the attempt to save and stop

Free of torch, because the service reads logs. A file is present whole or not at all; only a log may
lack its end.
"""

import contextlib
import os
import shutil
import time
from functools import cached_property
from pathlib import Path
from typing import IO, Any, NamedTuple, Protocol

from typing_extensions import override

from lrd_core.whole import write_whole

KEPT = 2
"""Recorded checkpoints that a trial keeps: the newest, and one to fall back on."""
UNRECORDED = 2
"""Further checkpoints allowed, so that a trial does not fill the storage while none is recorded."""
PATHS = "paths.json"
"""`[[[x, y], …], …]`: the paths of a descent from the surface's `drawn` points."""
WEIGHTS = "weights-"
"""Prefix of the name of the final weights."""
UPLOAD_SECONDS = 2.0
"""Storage that cannot append gets the whole log again, at most this often."""


class Checkpoint(NamedTuple):
    """A saved state: its epoch, its file's name in the trial's folder, and its SHA-256."""

    epoch: int
    name: str
    sha256: str


def log_name(attempt: int) -> str:
    """The name of an attempt's log."""
    return f"attempt-{attempt}.log"


def stop_name(attempt: int) -> str:
    """The name of the file that asks the attempt to save after the present epoch and stop."""
    return f"stop-{attempt}"


def weights_name(sha256: str) -> str:
    """The name of the final `state_dict`, for `torch.load(..., weights_only=True)`. It contains the
    weights' hash, so that attempts write to one file only if they ended with the same weights."""
    return f"{WEIGHTS}{sha256[:16]}.pt"


class TrialFolder(Protocol):
    """What workers, dispatcher and service do with a trial's folder; all may raise OSError."""

    def write(self, name: str, content: bytes | memoryview) -> None:
        """Write a file whole and durably, replacing any old one."""

    def read(self, name: str) -> bytes:
        """A file's content; FileNotFoundError if there is none."""

    def read_end(self, name: str, size: int) -> bytes:
        """A file's last bytes, at most so many; FileNotFoundError if there is none."""

    def open(self, name: str) -> IO[bytes]:
        """A file to read part by part and close; FileNotFoundError if there is none."""

    def exists(self, name: str) -> bool:
        """Whether the file exists now."""

    def names(self) -> list[str]:
        """Its files, sorted; none if the folder does not exist yet."""

    def unfinished(self) -> list[str]:
        """Files being written, or left by a killed writer: a dot, the final name, a unique suffix.
        None on storage that writes a file in one operation."""

    def delete(self, name: str) -> None:
        """Delete a file, if it exists."""

    def remove(self) -> None:
        """Delete the folder and all in it, if it exists."""

    def append(self, name: str, line: str) -> None:
        """Append a line to a log that only this process writes; readers may see it later."""

    def flush(self) -> None:
        """Make all appended lines visible to readers."""


def trial_folder(trials: str, trial_id: int) -> TrialFolder:
    """The folder of one trial below `trials`: a path, or an fsspec URL such as `s3://bucket/lrd`."""
    return folder_at(f"{trials.rstrip('/')}/{trial_id}")


def folder_at(address: str) -> TrialFolder:
    """The folder at a path or an fsspec URL."""
    return RemoteFolder(address) if "://" in address else LocalFolder(Path(address))


class LocalFolder(TrialFolder):
    """A directory of a file system that all nodes share."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __str__(self) -> str:
        return str(self.path)

    @override
    def write(self, name: str, content: bytes | memoryview) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        write_whole(self.path / name, content)

    @override
    def read(self, name: str) -> bytes:
        return (self.path / name).read_bytes()

    @override
    def read_end(self, name: str, size: int) -> bytes:
        with self.open(name) as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - size))
            return file.read(size)

    @override
    def open(self, name: str) -> IO[bytes]:
        return (self.path / name).open("rb")

    @override
    def exists(self, name: str) -> bool:
        return (self.path / name).exists()

    @override
    def names(self) -> list[str]:
        return sorted(each.name for each in self.path.glob("[!.]*"))

    @override
    def unfinished(self) -> list[str]:
        return sorted(each.name for each in self.path.glob(".*"))

    @override
    def delete(self, name: str) -> None:
        (self.path / name).unlink(missing_ok=True)

    @override
    def remove(self) -> None:
        while self.path.exists():
            with contextlib.suppress(FileNotFoundError):  # another process is deleting it, too
                shutil.rmtree(self.path)

    @override
    def append(self, name: str, line: str) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / name).open("a") as file:
            file.write(line + "\n")

    @override
    def flush(self) -> None:
        pass  # `append` writes at once


class RemoteFolder(TrialFolder):
    """A prefix of an object store, through fsspec, whose errors are all raised as OSError."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._logs: dict[str, list[str]] = {}
        self._unseen: set[str] = set()
        self._uploaded_at = 0.0

    def __str__(self) -> str:
        return self._address

    @cached_property
    def _place(self) -> tuple[Any, str]:
        import fsspec

        with _as_os_error(self._address):
            return fsspec.core.url_to_fs(self._address)  # type: ignore[no-any-return]

    @override
    def write(self, name: str, content: bytes | memoryview) -> None:
        system, path = self._place
        with _as_os_error(self._address):
            system.makedirs(path, exist_ok=True)
            system.pipe_file(f"{path}/{name}", bytes(content))  # one PUT: whole or not at all

    @override
    def read(self, name: str) -> bytes:
        system, path = self._place
        with _as_os_error(self._address):
            return bytes(system.cat_file(f"{path}/{name}"))

    @override
    def read_end(self, name: str, size: int) -> bytes:
        system, path = self._place
        with _as_os_error(self._address):
            return bytes(system.cat_file(f"{path}/{name}", start=-size))

    @override
    def open(self, name: str) -> IO[bytes]:
        system, path = self._place
        with _as_os_error(self._address):
            return system.open(f"{path}/{name}", "rb")  # type: ignore[no-any-return]

    @override
    def exists(self, name: str) -> bool:
        return name in self.names()

    @override
    def names(self) -> list[str]:
        system, path = self._place
        with _as_os_error(self._address), contextlib.suppress(FileNotFoundError):
            system.invalidate_cache()  # others write here
            return sorted(found.rsplit("/", 1)[-1] for found in system.ls(path, detail=False))
        return []

    @override
    def unfinished(self) -> list[str]:
        return []

    @override
    def delete(self, name: str) -> None:
        system, path = self._place
        with _as_os_error(self._address), contextlib.suppress(FileNotFoundError):
            system.rm_file(f"{path}/{name}")

    @override
    def remove(self) -> None:
        system, path = self._place
        while self.names():
            # Another process may be deleting it, too.
            with _as_os_error(self._address), contextlib.suppress(FileNotFoundError):
                system.rm(path, recursive=True)

    @override
    def append(self, name: str, line: str) -> None:
        self._logs.setdefault(name, []).append(line + "\n")
        self._unseen.add(name)
        if time.monotonic() - self._uploaded_at >= UPLOAD_SECONDS:
            self.flush()

    @override
    def flush(self) -> None:
        for name in sorted(self._unseen):
            self.write(name, "".join(self._logs[name]).encode())
        self._unseen.clear()
        self._uploaded_at = time.monotonic()


@contextlib.contextmanager
def _as_os_error(address: str) -> Any:
    """Turn a store's own errors (no network, no permission) into OSErrors that name the place."""
    try:
        yield
    except OSError:
        raise
    except ImportError as error:  # e.g. s3:// without s3fs
        raise OSError(f"{address} needs a package that is not installed: {error}") from None
    except Exception as error:
        raise OSError(f"{address}: {type(error).__name__}: {error}") from error
