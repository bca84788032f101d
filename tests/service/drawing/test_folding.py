"""Long texts in lines, as wide as a font makes them."""

import pytest

from service.drawing.folding import folded, width_of

NAME = "plain, LRD (keep_prob = 0.7), lr = 0.001"
TEXTS = [
    NAME,
    "W" * 120,
    "i" * 120,
    "word " * 24,
    "a, " * 40,
    "日本語" * 40,
    "x" * 60 + ", y",
    "a\nb",
]


def test_what_fits_stays_as_it_is() -> None:
    for text in (NAME, "", " ", "two\nlines", "two  blanks"):
        assert folded(text, 4) == text


def test_it_is_parted_after_a_comma_where_that_will_do() -> None:
    """Catches: `LRD (keep_prob =` at the end of a line."""
    assert folded(NAME, 2.6) == "plain, LRD (keep_prob = 0.7),\nlr = 0.001"


def test_a_part_that_is_too_long_is_parted_between_words_and_a_word_between_signs() -> None:
    assert "(keep_prob" in folded(NAME, 1.3).split("\n")[1]
    lines = folded("x" * 60, 1).split("\n")
    assert len(set(map(len, lines[:-1]))) == 1
    assert "".join(lines) == "x" * 60


@pytest.mark.filterwarnings("ignore:Glyph .* missing from")
@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("width", [0.5, 1.9])
def test_no_line_is_too_wide_and_nothing_is_lost(text: str, width: float) -> None:
    """Catches: widths counted in signs, of which a W is four times an i."""
    lines = folded(text, width)
    assert width_of(lines) <= width
    assert "".join(lines.split()) == "".join(text.split())
