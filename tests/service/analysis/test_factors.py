"""The factors that a sweep's arms show, and where each arm stands among them."""

import pytest

from service.analysis.baselines import as_asked, compared_with
from service.analysis.data import ArmInfo
from service.analysis.factors import Design, designs

from .cases import arm

SD, NG = {"kind": "SD", "keep_prob": 0.9}, {"kind": "NG", "eta": 0.1, "gamma": 0.55}
KEEP_PROB = ["optimizer.keep_prob"]


def one(arms: list[ArmInfo], baseline: list[str] | None = None) -> Design:
    (design,) = designs(arms, baseline or [])
    return design


def test_each_regularizer_is_a_factor_of_its_own() -> None:
    # Catches: `regularizers` as one factor of four levels, which has no interactions.
    kinds = {"none": [], "sd": [SD], "ng": [NG], "both": [SD, NG]}
    design = one([arm(key, regularizers=value) for key, value in kinds.items()])
    assert [factor.path for factor in design.factors] == ["regularizers.SD", "regularizers.NG"]
    assert [factor.levels for factor in design.factors] == [("no SD", "SD"), ("no NG", "NG")]
    assert [factor.names[1] for factor in design.factors] == ["SD", "NG"]
    assert dict(zip(kinds, design.points, strict=True)) == {
        "none": (0, 0), "sd": (1, 0), "ng": (0, 1), "both": (1, 1),
    }  # fmt: skip


def test_the_order_in_which_regularizers_stand_is_no_difference() -> None:
    design = one([arm("a", regularizers=[SD, NG]), arm("b", regularizers=[NG, SD], lr=0.1)])
    assert [factor.path for factor in design.factors] == ["optimizer.lr"]


def test_strengths_of_one_regularizer_are_levels() -> None:
    strong = SD | {"keep_prob": 0.5}
    arms = [arm("a", regularizers=[SD]), arm("b", regularizers=[strong]), arm("c")]
    (factor,) = one(arms).factors
    assert factor.levels == ("no SD", "SD(keep_prob=0.9)", "SD(keep_prob=0.5)")


@pytest.mark.parametrize("baseline", [["optimizer.keep_prob"], []])
def test_the_reference_of_lrd_is_the_plain_optimizer_wherever_it_stands(
    baseline: list[str],
) -> None:
    arms = [arm("a", keep_prob=0.5), arm("b", keep_prob=1.0), arm("c", keep_prob=0.7)]
    (factor,) = one(arms, baseline).factors
    assert factor.levels[0] == "without LRD"
    assert factor.names[1:] == ("LRD (keep_prob = 0.5)", "LRD (keep_prob = 0.7)")


def test_a_baseline_is_the_reference() -> None:
    grid = [(name, p) for name in ("adam", "sgdm") for p in (1.0, 0.7, 0.5)]
    arms = [arm(f"{name} {p}", name=name, keep_prob=p) for name, p in grid]
    marked, paths = as_asked(arms, {})
    first, second = one(marked, paths).factors
    assert (first.path, second.path) == ("optimizer.keep_prob", "optimizer.name")
    assert second.levels == ("Adam", "SGDM")
    assert second.names[1] == "SGDM − Adam"
    # One arm that somebody asks for is the reference of every factor.
    design = one(compared_with(arms, "sgdm 0.7"))
    assert [factor.levels[0] for factor in design.factors] == ["LRD (keep_prob = 0.7)", "SGDM"]
    assert dict(zip(grid, design.points, strict=True))["sgdm", 0.7] == (0, 0)


def test_numbers_are_told_by_their_path() -> None:
    arms = [arm("a"), arm("b", batch_size=256)]
    assert one(arms).factors[0].names[1] == "batch size 256 − 128"


def test_what_comes_along_is_told_and_a_variants_own_settings_are_not() -> None:
    # A learning rate tuned for LRD, and the other one that SGDM has.
    arms = [
        arm("a", keep_prob=1.0, lr=0.001), arm("b", keep_prob=0.5, lr=0.002),
        arm("c", keep_prob=1.0, lr=0.1, name="sgdm"), arm("d", keep_prob=0.5, lr=0.2, name="sgdm"),
    ]  # fmt: skip
    lrd, name = one(*as_asked(arms, {"optimizer.keep_prob": 1.0})).factors
    assert (lrd.path, lrd.along) == ("optimizer.keep_prob", ("optimizer.lr",))
    assert (name.path, name.along) == ("optimizer.name", ())


def test_regularizers_that_only_come_together_are_one_factor() -> None:
    arms = [arm("a"), arm("b", regularizers=[SD, NG])]
    (factor,) = one(arms).factors
    assert (factor.path, factor.levels) == ("regularizers.SD+NG", ("no SD+NG", "SD+NG"))
    assert (factor.names[1], factor.along) == ("SD+NG", ())
    # A third arm parts them.
    assert [each.path for each in one([*arms, arm("c", regularizers=[SD])]).factors] == [
        "regularizers.SD", "regularizers.NG",
    ]  # fmt: skip


def test_data_sets_and_models_are_apart_and_no_factors() -> None:
    arms = [
        arm(f"{data} {p}", dataset=data, keep_prob=p)
        for data in ("mnist", "digits")
        for p in (1.0, 0.5)
    ]
    found = designs(arms, KEEP_PROB)
    assert [design.where for design in found] == [{"dataset": "mnist"}, {"dataset": "digits"}]
    assert [[each.id for each in design.arms] for design in found] == [
        ["mnist 1.0", "mnist 0.5"],
        ["digits 1.0", "digits 0.5"],
    ]
    assert all(len(design.factors) == 1 for design in found)


def test_equal_arms_have_no_factor() -> None:
    assert one([arm("a")]).factors == ()
    assert designs([], []) == []
