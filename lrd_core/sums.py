"""A short sum over files, by their names and what stands in them; read again only where one was
written since. Free of torch."""

import functools
import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from stat import S_ISREG


def short(content: bytes) -> str:
    """Twelve digits of its SHA-256: enough to tell what one laboratory has written apart."""
    return hashlib.sha256(content).hexdigest()[:12]


def below(place: str | Path, *endings: str) -> dict[str, str]:
    """The files below a folder with one of these endings, by their names from there with `/`
    between: the same for the same files, wherever the folder lies."""
    start = len(str(place)) + 1
    return {  # strings: with a Path for each it takes three times as long, for each trial
        f"{folder[start:]}/{name}".replace(os.sep, "/").lstrip("/"): f"{folder}{os.sep}{name}"
        for folder, _, names in os.walk(str(place))
        for name in names
        if name.endswith(endings)
    }


def of(files: Mapping[str, str]) -> str:
    """The sum over these files, by the names given, in the order of the names."""
    while True:
        try:
            return _of(tuple(_known_by(files)))
        except FileNotFoundError:  # an editor puts another in its place just now
            continue


# --- inside ---------------------------------------------------------------------------------------


def _known_by(files: Mapping[str, str]) -> Iterator[tuple[str, str, int, int]]:
    """With what changes when a file is written."""
    for name, path in sorted(files.items()):
        try:
            told = os.stat(path)  # noqa: PTH116
        except FileNotFoundError:
            continue
        if S_ISREG(told.st_mode):
            yield name, path, told.st_mtime_ns, told.st_size


@functools.lru_cache(maxsize=64)
def _of(files: tuple[tuple[str, str, int, int], ...]) -> str:
    parts = (f"{name}\0".encode() + Path(path).read_bytes() for name, path, *_ in files)
    return short(b"\0".join(parts))
