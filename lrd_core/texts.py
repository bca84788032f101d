"""What people write: names and labels, in any script, without what nobody would see of them."""

from typing import Annotated
from unicodedata import category

from pydantic import AfterValidator, Field

_UNSEEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
"""Categories of Unicode: control, format, surrogate, separators of lines and paragraphs."""
_JOINERS = "\u200c\u200d"
"""A part of some scripts, and of emoji."""


def _printable(text: str) -> str:
    if any(category(char) in _UNSEEN and char not in f"\n{_JOINERS}" for char in text):
        raise ValueError(
            "contains a control character, another that nobody sees, or a lone surrogate"
        )
    return text


def _seen(text: str) -> str:
    if text and all(char.isspace() or char in _JOINERS for char in text):
        raise ValueError("is blank: nothing would be seen of it")
    return text


Text = Annotated[str, AfterValidator(_printable)]
Label = Annotated[Text, AfterValidator(_seen), Field(min_length=1, max_length=200)]
"""What a person reads, and a page makes a link of."""
