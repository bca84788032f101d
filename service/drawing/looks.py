"""How arms look in figures and plots: colour, dashes and marker.

Colours are those of Okabe and Ito, told apart with every kind of colour vision; in grey the dashes
(without LRD) and the markers remain.
"""

from dataclasses import dataclass

PALETTE = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999933",
)  # fmt: skip
"""Okabe and Ito (2008), darkest first; their yellow, invisible on paper, is olive here."""
SHAPES = 11
"""Markers in use. More than there are colours, and no multiple: 88 looks before one comes back."""
BAND = 0.18
"""Opacity of the band about a mean."""


@dataclass(frozen=True)
class Look:
    """How one line is drawn, whatever draws it."""

    color: str
    """`#rrggbb`"""
    shape: int
    """The number of its marker, 0 to SHAPES − 1."""
    dashed: bool = False

    @classmethod
    def number(cls, index: int, *, dashed: bool = False) -> "Look":
        """The look of the line with this number, from 0."""
        return cls(PALETTE[index % len(PALETTE)], index % SHAPES, dashed)
