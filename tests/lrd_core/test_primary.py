"""The comparisons that a sweep is made for: which arms they are, and what is no such choice."""

from typing import Any

import pytest

from lrd_core.errors import InvalidSpec
from lrd_core.extending import Extension, extended
from lrd_core.spec import SweepSpec, expand_arms
from tests.conftest import factorial, small_sweep

KEEP = "optimizer.keep_prob"


def primary_arms(document: dict[str, Any]) -> list[str]:
    return [arm.label for arm in expand_arms(SweepSpec.parse(document)) if arm.is_primary]


def test_without_a_choice_all_are_primary() -> None:
    assert len(primary_arms(factorial())) == 4


def test_overrides_or_a_list_of_them_identify_the_arms() -> None:
    """Catches: a short form (`[SD]`) that equals no configuration, in which it is spelt out."""
    lrd, with_sd = {KEEP: 0.5}, {"regularizers": ["SD"]}
    assert len(primary_arms(factorial(primary=lrd))) == 2
    assert len(primary_arms(factorial(primary=lrd | with_sd))) == 1
    assert len(primary_arms(factorial(primary=[lrd, with_sd]))) == 3
    stored = SweepSpec.parse(factorial(primary=lrd)).model_dump(mode="json")
    assert stored["primary"] == [lrd]
    assert SweepSpec.parse(stored) == SweepSpec.parse(factorial(primary=lrd))


def test_an_arm_that_is_added_later_is_held_to_the_same_choice() -> None:
    sweep = SweepSpec.parse(small_sweep(primary={KEEP: 0.5}))
    more = extended(sweep, Extension.parse({"grid": {KEEP: [0.7]}}))
    assert [arm.is_primary for arm in expand_arms(more)] == [False, True, False]


@pytest.mark.parametrize(
    ("primary", "pointer", "detail"),
    [
        ({KEEP: 0.3}, "/primary/0", "no arm of this sweep has these values"),
        ([{KEEP: 0.5}, {KEEP: 1.0}], "/primary/1", "or only baselines"),
        ({"optimizer.keep": 0.5}, "/primary/0/optimizer.keep", "did you mean"),
        ({}, "/primary/0", "empty"),
        (3, "/primary", "list"),
    ],
)
def test_what_identifies_no_comparison_is_a_fault(primary: Any, pointer: str, detail: str) -> None:
    with pytest.raises(InvalidSpec) as refused:
        expand_arms(SweepSpec.parse(small_sweep(primary=primary)))
    (fault,) = refused.value.faults
    assert (fault.pointer, detail in fault.detail) == (pointer, True), fault


def test_all_that_refers_to_arms_is_checked_at_once() -> None:
    """Catches: a fault a round, of four that have nothing to do with each other."""
    table = {"metric": "test_accurazy", "rows": "optimizer.nam"}
    wrong = small_sweep(baseline={KEEP: 0.7}, primary=[{KEEP: 0.3}, {KEEP: 0.5}], table=table)
    with pytest.raises(InvalidSpec) as refused:
        expand_arms(SweepSpec.parse(wrong))
    places = [fault.pointer for fault in refused.value.faults]
    assert sorted(places) == ["/baseline", "/primary/0", "/table/metric", "/table/rows"]
