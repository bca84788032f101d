"""A sweep expands into the right trials, and every fault names its place."""

import copy
from typing import Any

import pytest

from lrd_core.documents import parse_json, parse_yaml
from lrd_core.errors import InvalidSpec
from lrd_core.spec import SweepSpec, expand, expand_arms

SWEEP: dict[str, Any] = {
    "name": "digits",
    "base": {"dataset": "digits", "model": "fcnet", "optimizer": {"name": "sgdm"}, "epochs": 5},
    "grid": {
        "optimizer.name": ["sgdm", "rmsprop", "adam", "amsgrad", "radam"],
        "optimizer.keep_prob": [1.0, 0.5],
    },
    "seeds": 3,
    "baseline": {"optimizer.keep_prob": 1.0},
}


def faults(document: Any) -> set[str]:
    with pytest.raises(InvalidSpec) as caught:
        expand(SweepSpec.parse(document))
    return {fault.pointer for fault in caught.value.faults}


def changed(path: str, value: Any) -> dict[str, Any]:
    document = copy.deepcopy(SWEEP)
    *parents, last = path.split("/")
    node = document
    for name in parents:
        node = node[name]
    node[last] = value
    return document


def test_the_product_of_the_grid_times_the_seeds_is_run() -> None:
    trials = expand(SweepSpec.parse(SWEEP))
    assert len(trials) == SweepSpec.parse(SWEEP).trials_total() == 30
    assert [trial.seed for trial in trials[:3]] == [0, 1, 2]
    # The paper's own learning rate for each optimizer, where the spec says none.
    assert [trial.optimizer.lr for trial in trials[::6]] == [0.1, 0.001, 0.001, 0.001, 0.03]


def test_the_baseline_marks_the_arms_with_its_values() -> None:
    arms = expand_arms(SweepSpec.parse(SWEEP))
    assert [arm.is_baseline for arm in arms] == [True, False] * 5


@pytest.mark.parametrize(
    ("path", "value", "pointer"),
    [
        ("zork", 1, "/zork"),
        ("base/epochs", 0, "/base/epochs"),
        ("base/optimizer", {"name": "zork"}, "/base/optimizer/name"),
        ("base/optimizer", {"name": "adam", "lr": float("nan")}, "/base/optimizer/lr"),
        ("base/optimizer", {"name": "adam", "lr": "1e-3"}, "/base/optimizer/lr"),
        ("base/optimizer", {"name": "adam", "momentum": 0.9}, "/base/optimizer/momentum"),
        ("grid/optimizer.keep_prob", [], "/grid/optimizer.keep_prob"),
        ("grid/optimizer.keep_prob", [1.0, 1.5], "/grid/optimizer.keep_prob/1"),
        ("grid/optimizer.keep_prob", [1.0, 1], "/grid"),
        ("grid/optimizer.nope", [1], "/grid/optimizer.nope"),
        ("grid/model", ["fcnet", "resnet34"], "/grid/model/1"),
        ("grid/epochs.nope", [1], "/grid/epochs.nope"),
        ("seeds", 0, "/seeds"),
        ("seeds", [1, 1], "/seeds"),
        ("name", "a\x00b", "/name"),
        ("name", "\ud800", "/name"),
        ("baseline", {"optimizer.keep_prob": 0.7}, "/baseline"),
        ("base/model", "resnet34", "/base"),
    ],
)
def test_a_fault_is_named_by_its_pointer(path: str, value: Any, pointer: str) -> None:
    assert faults(changed(path, value)) == {pointer}


def test_regularizers_are_written_short_or_long() -> None:
    document = changed("grid", {"regularizers": [[], ["SD"], [{"kind": "SD", "keep_prob": 0.8}]]})
    del document["baseline"]
    labels = [arm.label for arm in expand_arms(SweepSpec.parse(document))]
    assert labels == ["no regularizers", "SD(keep_prob=0.9)", "SD(keep_prob=0.8)"]


def test_yaml_means_what_json_means() -> None:
    assert parse_yaml("{a: 1e-3, b: on, c: 010, d: 2026-01-01, e: null}") == {
        "a": 0.001,
        "b": "on",
        "c": 10,
        "d": "2026-01-01",
        "e": None,
    }


@pytest.mark.parametrize(
    "text", ["a: 1\na: 2", "a: &x 1\nb: *x", "a: !!python/name:os.system x", "[" * 100_000, "1: 2"]
)
def test_yaml_tricks_are_refused(text: str) -> None:
    with pytest.raises(InvalidSpec):
        parse_yaml(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\nb: {lr: 1,\n 5}", r"the key 5 is not a string \(line 3\); .*with a point$"),
        ("true: 1", r"the key True is not a string \(line 1\); write it in quotes$"),
        ("a: 1\nb: 2\na: 3", r"the key 'a' occurs twice in one mapping \(line 3\)"),
        ("é: 1\nb:\n\tc: 2", "at line 3 column 1: a tab; indent by spaces$"),
        ("a: [", r"not valid YAML: .* at line 2 column 1$"),
    ],
)
def test_what_is_torn_in_yaml_is_found_by_its_line(text: str, said: str) -> None:
    """Catches: a decimal comma, a tab or a key written twice, somewhere in a hundred lines."""
    with pytest.raises(InvalidSpec, match=said):
        parse_yaml(text)


@pytest.mark.parametrize(
    "text", ['{"a": 1, "a": 2}', '{"a": NaN}', "[" * 100_000, "{", '{"a": ' + "9" * 5000 + "}"]
)
def test_json_tricks_are_refused(text: str) -> None:
    with pytest.raises(InvalidSpec):
        parse_json(text)


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("name", "", "/name: is empty"),
        ("name", "  ", "/name: is blank: it has no visible character"),
        ("name", "x" * 201, "/name: should have at most 200 characters, got 201"),
        ("seeds", [], "/seeds: is empty"),
        (
            "base/optimizer",
            "adam",
            "/base/optimizer: should be a mapping, {name: …}, got 'adam'",
        ),
        ("arms", [{"label": " "}], "/arms/0/label: is blank: it has no visible character"),
    ],
)
def test_a_fault_says_what_the_user_wrote(path: str, value: Any, said: str) -> None:
    """Catches: `items after validation` of a text, and `name: missing` of one that is there."""
    with pytest.raises(InvalidSpec) as caught:
        SweepSpec.parse(changed(path, value))
    (fault,) = caught.value.faults
    assert f"{fault.pointer}: {fault.detail}" == said


def test_a_name_may_be_in_any_script_and_have_any_blank_of_it() -> None:
    """Catches: a name with the blank of Japanese or an emoji of several, called a control
    character."""
    for name in ("a\u00a0b", "p\u202f= 0.5", "学習\u3000率", "👩\u200d🔬 run"):
        assert SweepSpec.parse(changed("name", name)).name == name
    for name in ("a\tb", "a\u2028b", "a\x85b", "\ud800", "a\u200b", "a\u202eb", "\u3000\u200d"):
        assert faults(changed("name", name)) == {"/name"}
