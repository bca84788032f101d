"""Short hashes of files, by name and content; files are read again only after one was written. Free
of torch."""

import functools
import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from stat import S_ISREG


def short(content: bytes) -> str:
    """Twelve digits of the SHA-256: enough to tell the versions of one laboratory apart."""
    return hashlib.sha256(content).hexdigest()[:12]


def below(place: str | Path, *endings: str) -> dict[str, str]:
    """The files below a folder with one of these endings: name relative to it, with `/` on every
    system -> path. The names do not depend on where the folder is."""
    start = len(str(place)) + 1
    return {  # strings: a Path for each would take three times as long, for each trial
        f"{folder[start:]}/{name}".replace(os.sep, "/").lstrip("/"): f"{folder}{os.sep}{name}"
        for folder, _, names in os.walk(str(place))
        for name in names
        if name.endswith(endings)
    }


def of(files: Mapping[str, str]) -> str:
    """The hash of these files (name -> path), in the order of their names."""
    while True:
        try:
            return _of(tuple(_known_by(files)))
        except FileNotFoundError:  # an editor is replacing it right now
            continue


# --- inside ---------------------------------------------------------------------------------------


def _known_by(files: Mapping[str, str]) -> Iterator[tuple[str, str, int, int]]:
    """Name and path of each file, with its time and size, which change when it is written."""
    for name, path in sorted(files.items()):
        try:
            status = os.stat(path)  # noqa: PTH116
        except FileNotFoundError:
            continue
        if S_ISREG(status.st_mode):
            yield name, path, status.st_mtime_ns, status.st_size


@functools.lru_cache(maxsize=64)
def _of(files: tuple[tuple[str, str, int, int], ...]) -> str:
    parts = (f"{name}\0".encode() + Path(path).read_bytes() for name, path, *_ in files)
    return short(b"\0".join(parts))
