"""Fold a long text into lines that fit a width, as drawn in a printed figure.

It is folded after a comma if possible, because the parts of an arm's name belong together, else
between words. A word that is too long for a line is broken between characters.
"""

import re

from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

_SLACK = 1.04
"""Text rounded to a picture's pixels is wider than the font says, by this factor at most."""


def folded(text: str, width: float) -> str:
    """`text` in lines of at most `width` inches, at the current font size.

    Lines that fit stay as they are.
    """
    return "\n".join(line for part in text.split("\n") for line in _lines(part, width))


def width_of(text: str) -> float:
    """The width of the longest line in inches, at the current font size."""
    return max(_measured(line) for line in text.split("\n"))


# --- inside ---------------------------------------------------------------------------------------


def _measured(line: str) -> float:
    # Measured by the font alone, independent of any figure and its dots per inch.
    points, _, _ = text_to_path.get_text_width_height_descent(line, FontProperties(), ismath=False)
    return _SLACK * points / 72


def _lines(text: str, width: float) -> list[str]:
    if _measured(text) <= width:
        return [text]
    lines = [""]
    for piece in _pieces(text, width):
        if lines[-1] and _measured((lines[-1] + piece).rstrip()) > width:
            lines.append("")
        lines[-1] += piece
    return [line.strip() for line in lines]


def _pieces(text: str, width: float) -> list[str]:
    """The pieces that stay whole, each with the blank after it."""
    found: list[str] = []
    for part in re.split(r"(?<=, )", text):
        for word in [part] if _measured(part) <= width else re.split(r"(?<= )", part):
            found += [word] if _measured(word) <= width else word
    return found
