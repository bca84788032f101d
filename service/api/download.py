"""Files that are made first and sent afterwards, so that a slow reader holds no transaction."""

import os
import tempfile
from collections.abc import Callable, Iterator
from typing import IO

from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

IN_MEMORY = 1 << 20
"""A larger file is on disk, in TMPDIR, without a name, so that it is freed however this process
ends."""
CHUNK = 1 << 18
"""Bytes read and sent at a time."""


class Download(StreamingResponse):
    """Sends an open file, with its length, and closes it whether or not it was read to its end."""

    def __init__(self, file: IO[bytes], name: str, kind: str) -> None:
        self._file = file
        length = file.seek(0, os.SEEK_END)
        file.seek(0)
        headers = {
            "Content-Disposition": f'attachment; filename="{name}"',
            "Content-Length": str(length),
        }
        super().__init__(_chunks(file), media_type=kind, headers=headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the file, then close it."""
        # Not a background task, which would be skipped if the reader has gone.
        with self._file:
            await super().__call__(scope, receive, send)


def made(write: Callable[[IO[bytes]], None]) -> IO[bytes]:
    """A temporary file with the content that `write` puts into it."""
    file = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115 - a Download closes it
    try:
        write(file)
    except BaseException:
        file.close()
        raise
    return file


# --- inside ---------------------------------------------------------------------------------------


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    while chunk := file.read(CHUNK):
        yield chunk
