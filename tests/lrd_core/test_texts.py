"""What programs and errors say, made fit for readers."""

import pytest

from lrd_core.errors import first_line
from lrd_core.texts import clipped, readable


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("one\ntwo"), "one"),
        (ValueError("\n one\ntwo"), "one"),
        (ValueError(), "ValueError"),
        (ValueError(" \n"), "ValueError"),
        (Mute(), "Mute"),
        (SystemExit(3), "3"),
    ],
)
def test_every_error_has_a_first_line(error: BaseException, line: str) -> None:
    """Catches: a dispatcher that an error without a text brought down."""
    assert first_line(error) == line


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain — ü 雪\n\tindented", "plain — ü 雪\n\tindented"),
        ("a\x00b\udcff\x7f\x85", "a\ufffdb\ufffd\ufffd\ufffd"),
        ("one\r\ntwo\r", "one\ntwo\ufffd"),
        (
            "\x1b[1;31mred\x1b[0m \x1b]0;title\x07\x1b]8;;http://a.b\x1b\\link \x1b7",
            "red link \ufffd7",
        ),
    ],
)
def test_a_text_is_readable_anywhere(text: str, shown: str) -> None:
    assert readable(text) == shown
    assert readable(shown) == shown


def test_a_short_text_is_not_clipped() -> None:
    assert clipped("x" * 30, 10, 20) == "x" * 30
    assert (
        clipped("a" * 10 + "xx" + "b" * 20, 10, 20) == f"{'a' * 10} … (2 characters) … {'b' * 20}"
    )
