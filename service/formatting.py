"""How counts, lists and times are written, and the sentence that no dispatcher leads."""

from collections.abc import Sequence
from datetime import UTC, datetime

NO_DISPATCHER = "no dispatcher leads: nothing starts until `lrd dispatch` (or `lrd serve`) runs"
"""What every open sweep waits for while no dispatcher leads."""


def count(number: int, noun: str) -> str:
    """`1 trial`, `2 trials`."""
    return f"{number} {noun}" + "s" * (number != 1)


def listed(texts: Sequence[str], between: str = ", ", most: int = 12) -> str:
    """`a, b, c`; of more than `most`, the first and a count: `a, b, c and 28 more`."""
    more = f" and {len(texts) - most} more" if len(texts) > most else ""
    return between.join(texts[:most]) + more


def rfc3339(seconds: float | None) -> str | None:
    """`2026-11-23T18:00:00.123Z`."""
    if seconds is None:
        return None
    return (
        datetime.fromtimestamp(seconds, UTC)
        .isoformat(timespec="milliseconds")
        .replace("+00:00", "Z")
    )
