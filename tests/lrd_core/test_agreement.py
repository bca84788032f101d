"""What one part of a sweep says is not undone by another, and is about something that is there."""

from typing import Any

import pytest

from lrd_core.errors import InvalidSpec
from lrd_core.spec import Extension, SweepSpec, expand_arms, extended
from tests.lrd_core.test_spec import SWEEP

KEEP = "optimizer.keep_prob"


def faults(**changes: Any) -> dict[str, str]:
    with pytest.raises(InvalidSpec) as caught:
        expand_arms(SweepSpec.parse(SWEEP | changes))
    return {fault.pointer: fault.detail for fault in caught.value.faults}


@pytest.mark.parametrize(
    ("overrides", "grid", "undone"),
    [
        ({KEEP: 0.3}, {KEEP: [1.0, 0.5]}, KEEP),
        ({"optimizer.lr": 0.3}, {"optimizer": [{"name": "adam"}]}, "optimizer.lr"),
        ({"optimizer.lr": 0.3, "optimizer": {"name": "adam"}}, {"epochs": [1]}, "optimizer.lr"),
    ],
)
def test_a_setting_that_another_undoes_is_refused(
    overrides: dict[str, Any], grid: dict[str, Any], undone: str
) -> None:
    """Catches: an arm `p = 0.3` in the table whose trials ran with the grid's values."""
    arms = [{"label": "a", "set": {}}, {"label": "p = 0.3", "set": overrides}]
    (fault,) = faults(arms=arms, grid=grid, baseline={}).items()
    later = next(iter(grid)) if len(overrides) == 1 else "optimizer"
    assert fault[0] == f"/arms/1/set/{undone}"
    assert fault[1].split(" sets it again")[0].endswith(f"/{later}")


def test_what_refines_a_setting_is_no_fault() -> None:
    """An arm may choose the whole optimizer, and the grid its keep_prob."""
    arms = [{"label": "own", "set": {"optimizer": {"name": "adam", "lr": 0.01}}}]
    spec = SweepSpec.parse(SWEEP | {"arms": arms, "grid": {KEEP: [1.0, 0.5]}})
    assert [arm.config.optimizer.lr for arm in expand_arms(spec)] == [0.01, 0.01]


def test_paths_of_baseline_and_table_are_of_some_arm() -> None:
    """Catches: a table of nothing but dashes after hours of training, for a slip in its rows."""
    found = faults(baseline={"optimizer.keepprob": 1.0})
    assert list(found) == ["/baseline/optimizer.keepprob"]
    assert "did you mean 'keep_prob'" in found["/baseline/optimizer.keepprob"]
    table = {"rows": "optimiser.name", "columns": "epochs.x", "pair": "schedule.power"}
    assert list(faults(table=table)) == ["/table/rows", "/table/columns"]


def test_a_field_that_some_arm_has_or_could_have_is_a_path() -> None:
    table = {"rows": "optimizer.beta1", "columns": "schedule", "pair": "data.cutout"}
    assert expand_arms(SweepSpec.parse(SWEEP | {"table": table}))
    table = {"rows": "arm", "columns": "optimizer.momentum"}
    assert expand_arms(SweepSpec.parse(SWEEP | {"table": table}))


def test_an_epoch_that_no_arm_reaches_is_refused() -> None:
    assert faults(table={"at": "epoch:6"}) == {"/table/at": "no arm has so many epochs: 5 at most"}
    longer = SWEEP | {"grid": {"epochs": [5, 6]}, "baseline": {}, "table": {"at": "epoch:6"}}
    assert expand_arms(SweepSpec.parse(longer))


def test_an_extension_is_held_to_the_same() -> None:
    sweep = SweepSpec.parse(SWEEP | {"arms": [{"label": "a", "set": {}}]})
    more = Extension.parse({"arms": [{"label": "b", "set": {KEEP: 0.3}}]})
    with pytest.raises(InvalidSpec, match="sets it again"):
        expand_arms(extended(sweep, more))
