"""A trial's folder, on storage that all nodes and the service share: a path, or any fsspec URL.

    <trials>/<id>/epoch-000003-attempt-1-<sha256>.pt    checkpoints, the newest (`Retention`)
                  attempt-1.log                         what each attempt did, line by line
                  paths.json                            of a descent: its ways, for a figure
                  weights-<sha256>.pt                   the final ones, where the sweep keeps them
                  stop-1                                asks the attempt to save, and stop

Free of torch: the service reads logs. A file is there whole or not at all, a log but for its end.
"""

import contextlib
import shutil
import time
from functools import cached_property
from pathlib import Path
from typing import IO, Any, Protocol

from lrd_core.whole import write_whole

KEPT = 2
"""Newest recorded checkpoints of a trial that stay: the last one, and one to fall back on."""
UNRECORDED = 2
"""So many more may lie there: while nobody records them, a trial does not fill the storage."""
PATHS = "paths.json"
"""`[[[x, y], …], …]`: the ways that a descent took from the surface's `drawn` points."""
WEIGHTS = "weights-"
"""So begins the name of the final weights."""
UPLOAD_SECONDS = 2.0
"""Where nothing can be appended to a file, a log is written anew, at most so often."""


def log_name(attempt: int) -> str:
    """What the attempt did, line by line."""
    return f"attempt-{attempt}.log"


def stop_name(attempt: int) -> str:
    """Its presence asks the attempt to save its state after the present epoch, and stop."""
    return f"stop-{attempt}"


def weights_name(sha256: str) -> str:
    """The model's `state_dict` at the end, for `torch.load(..., weights_only=True)`; by the sum of
    the weights, so that no other attempt writes there than one that ended with the same."""
    return f"{WEIGHTS}{sha256[:16]}.pt"


class TrialFolder(Protocol):
    """What workers, dispatcher and service do with a trial's folder; all may raise OSError."""

    def write(self, name: str, content: bytes | memoryview) -> None:
        """Put a file there whole, durably, in place of what was there."""

    def read(self, name: str) -> bytes:
        """A whole file; FileNotFoundError if it is not there."""

    def open(self, name: str) -> IO[bytes]:
        """A file to be read part by part, and closed; FileNotFoundError if it is not there."""

    def exists(self, name: str) -> bool:
        """Whether the file is there now."""

    def names(self) -> list[str]:
        """Its files, sorted; none where the folder does not exist yet."""

    def unfinished(self) -> list[str]:
        """What is being written, or was when its writer was killed: the name that it was to get,
        after a dot, and a word of its own behind. None where a file is written at once."""

    def delete(self, name: str) -> None:
        """Take a file away, if it is there."""

    def remove(self) -> None:
        """Take all of it away, if it is there."""

    def append(self, name: str, line: str) -> None:
        """Add a line to a log that this process alone writes; readers may see it later."""

    def flush(self) -> None:
        """Let readers see all that was appended."""


def trial_folder(trials: str, trial_id: int) -> TrialFolder:
    """The folder of one trial below `trials`: a path, or an fsspec URL such as `s3://bucket/lrd`."""
    return folder_at(f"{trials.rstrip('/')}/{trial_id}")


def folder_at(address: str) -> TrialFolder:
    """The folder at a path or an fsspec URL."""
    return RemoteFolder(address) if "://" in address else LocalFolder(Path(address))


class LocalFolder:
    """A directory of a file system that all nodes have."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __str__(self) -> str:
        return str(self.path)

    def write(self, name: str, content: bytes | memoryview) -> None:
        """As TrialFolder says."""
        self.path.mkdir(parents=True, exist_ok=True)
        write_whole(self.path / name, content)

    def read(self, name: str) -> bytes:
        """As TrialFolder says."""
        return (self.path / name).read_bytes()

    def open(self, name: str) -> IO[bytes]:
        """As TrialFolder says."""
        return (self.path / name).open("rb")

    def exists(self, name: str) -> bool:
        """As TrialFolder says."""
        return (self.path / name).exists()

    def names(self) -> list[str]:
        """As TrialFolder says."""
        return sorted(each.name for each in self.path.glob("[!.]*"))

    def unfinished(self) -> list[str]:
        """As TrialFolder says."""
        return sorted(each.name for each in self.path.glob(".*"))

    def delete(self, name: str) -> None:
        """As TrialFolder says."""
        (self.path / name).unlink(missing_ok=True)

    def remove(self) -> None:
        """As TrialFolder says."""
        while self.path.exists():
            with contextlib.suppress(FileNotFoundError):  # another process is at it, too
                shutil.rmtree(self.path)

    def append(self, name: str, line: str) -> None:
        """As TrialFolder says."""
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / name).open("a") as file:
            file.write(line + "\n")

    def flush(self) -> None:
        """As TrialFolder says."""


class RemoteFolder:
    """A prefix of an object store, by fsspec; its errors come as OSError, whatever they were."""

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

    def write(self, name: str, content: bytes | memoryview) -> None:
        """As TrialFolder says; one PUT is whole or not at all."""
        system, path = self._place
        with _as_os_error(self._address):
            system.makedirs(path, exist_ok=True)
            system.pipe_file(f"{path}/{name}", bytes(content))

    def read(self, name: str) -> bytes:
        """As TrialFolder says."""
        system, path = self._place
        with _as_os_error(self._address):
            return bytes(system.cat_file(f"{path}/{name}"))

    def open(self, name: str) -> IO[bytes]:
        """As TrialFolder says."""
        system, path = self._place
        with _as_os_error(self._address):
            return system.open(f"{path}/{name}", "rb")  # type: ignore[no-any-return]

    def exists(self, name: str) -> bool:
        """As TrialFolder says."""
        return name in self.names()

    def names(self) -> list[str]:
        """As TrialFolder says."""
        system, path = self._place
        with _as_os_error(self._address), contextlib.suppress(FileNotFoundError):
            system.invalidate_cache()  # others write here
            return sorted(found.rsplit("/", 1)[-1] for found in system.ls(path, detail=False))
        return []

    def unfinished(self) -> list[str]:
        """As TrialFolder says."""
        return []

    def delete(self, name: str) -> None:
        """As TrialFolder says."""
        system, path = self._place
        with _as_os_error(self._address), contextlib.suppress(FileNotFoundError):
            system.rm_file(f"{path}/{name}")

    def remove(self) -> None:
        """As TrialFolder says."""
        system, path = self._place
        while self.names():
            # Another process may be at it, too.
            with _as_os_error(self._address), contextlib.suppress(FileNotFoundError):
                system.rm(path, recursive=True)

    def append(self, name: str, line: str) -> None:
        """As TrialFolder says."""
        self._logs.setdefault(name, []).append(line + "\n")
        self._unseen.add(name)
        if time.monotonic() - self._uploaded_at >= UPLOAD_SECONDS:
            self.flush()

    def flush(self) -> None:
        """As TrialFolder says."""
        for name in sorted(self._unseen):
            self.write(name, "".join(self._logs[name]).encode())
        self._unseen.clear()
        self._uploaded_at = time.monotonic()


@contextlib.contextmanager
def _as_os_error(address: str) -> Any:
    """A store's own kinds of error (no network, no permission) as OSError that names the place."""
    try:
        yield
    except OSError:
        raise
    except ImportError as error:  # e.g. s3:// without s3fs
        raise OSError(f"{address} needs a package that is not installed: {error}") from None
    except Exception as error:
        raise OSError(f"{address}: {type(error).__name__}: {error}") from error
