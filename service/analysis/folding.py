"""A long text in lines that fit a width, as a figure on paper draws it.

Parted after a comma where that will do, since the parts of an arm's name belong together; else
between words; a word that is too long for a line, between its signs.
"""

import re

from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

_SLACK = 1.04
"""Text on the grid of a picture's dots is up to so much wider than the font says."""


def folded(text: str, width: float) -> str:
    """`text` in lines of at most `width` inches, at the font size that is set.

    Lines that fit stay as they are.
    """
    return "\n".join(line for part in text.split("\n") for line in _lines(part, width))


def width_of(text: str) -> float:
    """Of the longest of its lines, in inches, at the font size that is set."""
    return max(_measured(line) for line in text.split("\n"))


# --- inside ---------------------------------------------------------------------------------------


def _measured(line: str) -> float:
    # By the font alone: no figure and no dots per inch are asked for.
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
    """What is not parted, with the blank behind it."""
    found: list[str] = []
    for part in re.split(r"(?<=, )", text):
        for word in [part] if _measured(part) <= width else re.split(r"(?<= )", part):
            found += [word] if _measured(word) <= width else word
    return found
