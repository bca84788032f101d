"""A file that is there whole or not at all, whatever is killed or broken while it is written.

It is written beside its place, synced, renamed, and its directory synced: a kill at any system call
leaves what was there before or the new file.
"""

import contextlib
import os
import uuid
from pathlib import Path


def write_whole(path: Path, content: bytes | memoryview, *, beside: Path | None = None) -> None:
    """Write `content` durably to `path`.

    Args:
        path: where it shall stand; its directory exists.
        content: all of it.
        beside: where it grows, in the same directory; by default a name that nobody else has.

    Raises:
        OSError: the disk is full or broken; whatever stood at `path` still does.
    """
    unfinished = beside or path.parent / f".{path.name}.{uuid.uuid4().hex}"
    try:
        with unfinished.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        unfinished.rename(path)
    except BaseException:  # also who is told to stop leaves nothing half behind
        with contextlib.suppress(OSError):
            unfinished.unlink()
        raise
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
