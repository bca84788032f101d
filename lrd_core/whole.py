"""Writes a file whole or not at all, whatever is killed or broken meanwhile.

It is written next to its place, synced and renamed, and its directory is synced: a kill at any
system call leaves either the old file or the new one.
"""

import contextlib
import os
import uuid
from pathlib import Path


def write_whole(path: Path, content: bytes | memoryview, *, beside: Path | None = None) -> None:
    """Write `content` durably to `path`.

    Args:
        path: its final place, in a directory that exists.
        content: the whole content.
        beside: where to write it first, in the same directory; by default under a unique name.

    Raises:
        OSError: the disk is full or broken; an old file at `path` is untouched.
    """
    unfinished = beside or path.parent / f".{path.name}.{uuid.uuid4().hex}"
    try:
        with unfinished.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        unfinished.rename(path)
    except BaseException:  # an interrupt must not leave half a file, either
        with contextlib.suppress(OSError):
            unfinished.unlink()
        raise
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
