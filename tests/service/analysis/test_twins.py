"""Arms that made the same networks are told."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from service.analysis.twins import Weights, same_networks

from .cases import arm


def said(made: dict[str, Weights], compared: str = "") -> list[str]:
    return list(same_networks([arm(key) for key in made], dict(made), set(compared)))


def test_two_arms_with_equal_weights_on_every_seed_are_named() -> None:
    twins: dict[str, Weights] = {"a": {0: "x", 1: "y"}, "b": {0: "x", 1: "y"}, "c": {0: "z"}}
    assert said(twins, "bc") == [
        "a and b made the same networks, bit for bit, on every seed: what differs between them has "
        "no effect on training."
    ]
    (sentence,) = said(twins, "ab")
    assert sentence.endswith("on training, and they count as separate comparisons.")


def test_what_is_not_known_or_not_shared_is_not_claimed() -> None:
    """Catches: a seed that failed or an old trial without a sum, taken for an equal one."""
    assert said({"a": {0: "x", 1: "y"}, "b": {0: "x", 1: "z"}}) == []
    assert said({"a": {0: "x", 1: "y"}, "b": {0: "x"}}) == []  # one seed in common
    assert said({"a": {0: "x", 1: "y", 2: None}, "b": {0: "x", 1: "y", 2: None}}) == []
    assert said({"a": {0: None, 1: None}, "b": {0: None, 1: None}}) == []
    assert len(said({"a": {0: "x", 1: "y", 2: "z"}, "b": {0: "x", 1: "y"}})) == 1


def test_more_than_two_are_a_group_and_many_are_counted() -> None:
    same: Weights = {0: "x", 1: "y"}
    assert said(dict.fromkeys("abc", same))[0].startswith("a, b and c made the same")
    assert said(dict.fromkeys("abcdefgh", same))[0].startswith("a, b, c, d, e and 3 more made")
    pairs = {f"{at} {n}": {0: f"{at}", 1: f"{at}"} for at in range(7) for n in range(2)}
    found = said(pairs)
    assert len(found) == 6
    assert found[-1] == "So did the arms of 2 other groups, 4 arms in all."


@given(
    st.lists(
        st.dictionaries(st.integers(0, 3), st.sampled_from(["x", "y", None]), max_size=4),
        max_size=5,
    )
)
def test_arms_of_a_group_differ_on_no_seed(every: list[dict[int, str | None]]) -> None:
    made: dict[str, Weights] = {f"arm{at}": weights for at, weights in enumerate(every)}
    sentences = said(made)
    grouped = []
    for sentence in sentences:
        names = sentence.partition(" made")[0].replace(" and ", ", ").split(", ")
        grouped += names
        for one, other in itertools.combinations(names, 2):
            for seed in made[one].keys() & made[other].keys():
                assert made[one][seed] == made[other][seed] is not None
    assert len(grouped) == len(set(grouped))
    if len(made) == 2:
        one, other = made.values()
        shared = one.keys() & other.keys()
        equal = all(one[seed] == other[seed] is not None for seed in shared)
        assert bool(sentences) == (len(shared) >= 2 and equal)
