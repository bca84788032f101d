"""How differences and their p are written."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from service.analysis.shown import shown_p


@pytest.mark.parametrize(
    ("p", "text"),
    [
        (None, "–"), (1.0, "1"), (2e-6, "2e-06"), (0.0039062, "0.0039"), (0.0437, "0.044"),
        (0.04957, "0.0496"), (0.0498, "0.0498"), (0.0503, "0.0503"), (0.04998, "0.04998"),
        (0.05, "0.05"),
    ],
)  # fmt: skip
def test_p_has_two_digits_or_as_many_as_it_takes(p, text):
    assert shown_p(p) == text


@given(st.floats(0.045, 0.055))
@example(0.0498)
@example(0.0503)
def test_p_reads_as_on_its_side_of_the_threshold(p):
    """Catches: 0.05 with a † and 0.05 without."""
    shown = float(shown_p(p))
    if abs(p - 0.05) > 1e-6:
        assert shown != 0.05
        assert (shown < 0.05) == (p < 0.05)
