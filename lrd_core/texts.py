"""Texts: names and labels that people write, in any script, without invisible characters; and what
programs say, made fit for logs, terminals and databases."""

import re
from typing import Annotated
from unicodedata import category

from pydantic import AfterValidator, Field

_UNSEEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
"""Unicode categories: control, format, surrogate, line and paragraph separators."""
_JOINERS = "\u200c\u200d"
"""Invisible too, but some scripts and emoji need them."""


def _printable(text: str) -> str:
    if any(category(char) in _UNSEEN and char not in f"\n{_JOINERS}" for char in text):
        raise ValueError("contains a control character, an invisible character or a lone surrogate")
    return text


def _seen(text: str) -> str:
    if text and all(char.isspace() or char in _JOINERS for char in text):
        raise ValueError("is blank: it has no visible character")
    return text


Text = Annotated[str, AfterValidator(_printable)]
Label = Annotated[Text, AfterValidator(_seen), Field(min_length=1, max_length=200)]
"""A name that people read and that the page shows as a link."""


def _one_line(text: str) -> str:
    if "\n" in text:
        raise ValueError("has a line break")
    return text


TokenName = Annotated[Label, Field(max_length=100), AfterValidator(_one_line)]
"""Whose token it is: a line of `lrd token ls` and of the audit log has it."""


def _one_word_of_a_list(text: str) -> str:
    if text != text.strip() or any(char in text for char in ",\n"):
        raise ValueError("a tag has no comma, no line break, and no blank at either end")
    return text


Tag = Annotated[Label, Field(max_length=50), AfterValidator(_one_word_of_a_list)]
"""A word or two by which things are found; several are written with commas between them."""


_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?)")
"""What colours a terminal, moves its cursor, or renames its window."""
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
"""Control characters except tab and newline, and lone surrogates (bytes of a file's name)."""


def readable(text: str) -> str:
    """A program's text as any log, terminal and database takes it: without escape sequences, and
    with a replacement for other control characters and lone surrogates."""
    return _CONTROLS.sub("\ufffd", _ESCAPES.sub("", text.replace("\r\n", "\n")))


def clipped(text: str, first: int, last: int) -> str:
    """The first and the last characters of a long text, with the number left out between them."""
    out = len(text) - first - last
    return text if out <= 0 else f"{text[:first]} … ({out:,} characters) … {text[-last:]}"
