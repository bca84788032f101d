"""Lists as text."""

from service.formatting import listed


def test_names_with_commas_are_told_apart() -> None:
    """Catches: `LRD, SD, LRD, NL`, of the two arms `LRD, SD` and `LRD, NL`."""
    assert listed(["a", "b", "c"]) == "a, b, c"
    assert listed(["LRD, SD", "LRD, NL"]) == "LRD, SD; LRD, NL"
    assert listed(["LRD, SD", "b", "c"], most=2) == "LRD, SD; b and 1 more"
