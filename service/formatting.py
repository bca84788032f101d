"""How counts, lists, times and errors are written, and the sentence that no dispatcher leads."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from lrd_core.errors import LRDError

NO_DISPATCHER = "no dispatcher leads: nothing starts until `lrd dispatch` (or `lrd serve`) runs"
"""What every open sweep waits for while no dispatcher leads."""


def count(number: int, noun: str) -> str:
    """`1 trial`, `2 trials`."""
    return f"{number} {noun}" + "s" * (number != 1)


def listed(texts: Sequence[str], between: str | None = None, most: int = 12) -> str:
    """`a, b, c`, or with semicolons if a text has a comma itself; of more than `most`, the first
    and a count: `a, b, c and 28 more`."""
    between = between or ("; " if any(", " in text for text in texts[:most]) else ", ")
    more = f" and {len(texts) - most} more" if len(texts) > most else ""
    return between.join(texts[:most]) + more


def duration(seconds: float) -> str:
    """`12 s`, `35 min`, `1.5 h`, `20.7 days`."""
    if seconds < 90:
        return f"{seconds:.0f} s" if seconds >= 1 else "under 1 s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 36 * 3600 else f"{seconds / 86_400:.1f} days"


def rfc3339(seconds: float | None) -> str | None:
    """`2026-11-23T18:00:00.123Z`."""
    if seconds is None:
        return None
    return (
        datetime.fromtimestamp(seconds, UTC)
        .isoformat(timespec="milliseconds")
        .replace("+00:00", "Z")
    )


def trouble(error: LRDError | OSError) -> str:
    """Why a command or process ended: the error's own sentence, naming the file if there is one."""
    if not isinstance(error, OSError) or error.strerror is None:
        return str(error)
    if error.filename is None:
        return error.strerror
    if isinstance(error, FileNotFoundError):
        folder = Path(error.filename).parent  # a file to be written lacks nothing else
        return f"there is no {f'file {error.filename}' if folder.is_dir() else f'folder {folder}'}"
    return f"{error.filename}: {error.strerror}"
