"""A mistyped name is answered with the one that was meant."""

from typing import Any

import pytest

from lrd_core import presets
from lrd_core.errors import InvalidSpec
from lrd_core.spec import SweepSpec, expand_arms
from lrd_core.spelling import did_you_mean

SWEEP: dict[str, Any] = {
    "name": "digits",
    "base": {"dataset": "digits", "model": "fcnet", "optimizer": {"name": "sgdm"}, "epochs": 5},
}


def said(base: dict[str, Any] | None = None, **changes: Any) -> str:
    with pytest.raises(InvalidSpec) as caught:
        expand_arms(SweepSpec.parse(SWEEP | {"base": SWEEP["base"] | (base or {})} | changes))
    return str(caught.value)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"sedes": 3}, "/sedes: unknown field (did you mean 'seeds'?)"),
        ({"resources": {"num_gpu": 1}}, "/resources/num_gpu: unknown field (did you mean 'num_g"),
        ({"arms": [{"label": "a", "sett": {}}]}, "/arms/0/sett: unknown field (did you mean 'set'"),
        ({"grid": {"optimizer.keep_porb": [1]}}, "/grid/optimizer.keep_porb: unknown field (did"),
        ({"base": {"optimzer": {}}}, "/base/optimzer: unknown field (did you mean 'optimizer'?)"),
        ({"base": {"regularizers": [{"kind": "SD", "keep_porb": 1}]}}, "/base/regularizers/0/keep"),
        ({"base": {"optimizer": {"name": "ADAM"}}}, "unknown name 'ADAM' (did you mean 'adam'?); "),
        ({"base": {"dataset": "digit"}}, "unknown dataset 'digit' (did you mean 'digits'?); one"),
        ({"base": {"model": "resnet43"}}, "unknown model 'resnet43' (did you mean 'resnet34'?);"),
        ({"expected": {"values": [{"wher": {}}]}}, "/wher: unknown field (did you mean 'where'?)"),
    ],
)
def test_a_mistyped_name_is_answered_with_the_nearest(changes: dict[str, Any], fault: str) -> None:
    assert fault in said(**changes)


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("keep_prob", "optimizer.keep_prob"),
        ("lr", "optimizer.lr"),
        ("milestones", "schedule.milestones"),
        ("cutout", "data.cutout"),
        ("keep_porb", "optimizer.keep_prob"),
        ("optimiser.keep_prob", "optimizer.keep_prob"),
        ("base.epochs", "epochs"),
        ("epochs.lr", "optimizer.lr"),
        ("optimizer.epochs", "epochs"),
    ],
)
@pytest.mark.parametrize("part", ["grid", "arms", "baseline"])
def test_a_path_without_its_head_is_answered_with_the_whole_one(
    path: str, meant: str, part: str
) -> None:
    """Catches: `unknown field; one of dataset, data, …`, of the one field that all of this is
    about."""
    written: dict[str, Any] = {
        "grid": {path: [1, 2]},
        "arms": [{"label": "a", "set": {path: 1}}],
        "baseline": {path: 1},
    }
    place = {
        "grid": f"/grid/{path}",
        "arms": f"/arms/0/set/{path}",
        "baseline": f"/baseline/{path}",
    }
    told = said(**{part: written[part]})
    assert told.startswith(f"{place[part]}: ")
    assert told.endswith(f" (did you mean {meant!r}?)")


def test_a_path_of_another_optimizer_is_not_offered() -> None:
    """Catches: an offer that is refused in its turn."""
    assert "did you mean" not in said(grid={"beta1": [0.9]})
    adam = {"optimizer.name": ["adam"], "optimizer.beta": [0.9]}
    assert "(did you mean 'beta2'?)" in said(grid=adam)


def test_only_fields_of_the_member_that_was_chosen_are_offered() -> None:
    """Catches: an offer of RMSprop's alpha to one who writes of SGDM."""
    told = said({"optimizer": {"name": "sgdm", "learning_rate": 0.1}})
    assert told == (
        "/base/optimizer/learning_rate: unknown field; one of "
        "keep_prob, weight_decay, name, lr, momentum, nesterov"
    )


def test_a_mistyped_preset_is_answered_with_the_nearest() -> None:
    with pytest.raises(InvalidSpec, match=r"'tabel-2' \(did you mean 'table-2'\?\); one of"):
        presets.text("tabel-2")


def test_a_name_without_end_is_compared_with_none() -> None:
    """Catches: a request that computes for minutes, by the square of a key's length."""
    assert did_you_mean("epochs" * 100_000, ["epochs"]) == ""


@pytest.mark.parametrize("document", [None, [], "digits"])
def test_what_is_no_mapping_is_told_so_without_the_names_of_classes(document: Any) -> None:
    """Catches: `valid dictionary or instance of SweepSpec`, to one whose file is empty."""
    with pytest.raises(InvalidSpec) as caught:
        SweepSpec.parse(document)
    assert "SweepSpec" not in str(caught.value)
    empty = "/: this is empty, or has only comments"
    other = f"/: should be a mapping of fields to their values, got {document!r}"
    assert str(caught.value) == (empty if document is None else other)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"grid": "n"}, "/grid: should be a mapping of names to values, got 'n'"),
        ({"baseline": [1]}, "/baseline: should be a mapping of names to values, got [1]"),
        ({"arms": {"a": 1}}, "/arms: should be a list, got {'a': 1}"),
        ({"reuse": "maybe"}, "/reuse: should be true or false, got 'maybe'"),
        ({"priority": None}, "/priority: should be an integer, got null"),
        ({"priority": 1.5}, "/priority: should be an integer, got 1.5"),
        ({"priority": True}, "/priority: should be an integer, got true"),
        ({"name": 3}, "/name: should be a string, got 3"),
        ({"resources": {"num_cpus": "x"}}, "/resources/num_cpus: should be a number, got 'x'"),
    ],
)
def test_a_value_of_another_type_is_told_in_the_words_of_the_document(
    changes: dict[str, Any], told: str
) -> None:
    """Catches: `should be a valid dictionary`, `got None`, to one who writes YAML."""
    assert said(**changes) == told


def test_a_regularizer_of_another_type_is_no_dictionary_to_extract_fields_from() -> None:
    told = said({"regularizers": [3]})
    assert told == "/base/regularizers/0: should be a mapping of fields to their values, got 3"
