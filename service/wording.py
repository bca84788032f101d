"""How counts and times read, wherever the service says them."""

from datetime import UTC, datetime


def count(number: int, noun: str) -> str:
    """`1 trial`, `2 trials`."""
    return f"{number} {noun}" + "s" * (number != 1)


def rfc3339(seconds: float | None) -> str | None:
    """`2026-11-23T18:00:00.123Z`."""
    if seconds is None:
        return None
    return (
        datetime.fromtimestamp(seconds, UTC)
        .isoformat(timespec="milliseconds")
        .replace("+00:00", "Z")
    )
