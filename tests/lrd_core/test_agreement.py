"""What one part of a sweep says is not undone by another, and is about something that is there."""

from typing import Any

import pytest

from lrd_core.agreement import idle_gpus
from lrd_core.errors import InvalidSpec
from lrd_core.extending import Extension, extended, in_extension
from lrd_core.spec import SweepSpec, expand_arms
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


ADAM = {"name": "adam", "keep_prob": 0.3}


@pytest.mark.parametrize("overrides", [{"optimizer": ADAM}, {"optimizer": ADAM, KEEP: 0.7}])
def test_a_part_of_a_setting_that_another_undoes_is_refused(overrides: dict[str, Any]) -> None:
    """Catches: two arms `Adam, p = 0.3`, neither of which has it, for the grid or the arm itself
    sets what stands inside of its optimizer."""
    grid = {"epochs": [1]} if KEEP in overrides else {KEEP: [1.0, 0.5]}
    by = f"/arms/0/set/{KEEP}" if KEEP in overrides else f"/grid/{KEEP}"
    arms = [{"label": "Adam, p = 0.3", "set": overrides}]
    assert faults(arms=arms, grid=grid, baseline={}) == {
        "/arms/0/set/optimizer/keep_prob": f"{by} sets it again: say it in one of the two places"
    }


@pytest.mark.parametrize(
    ("grid", "undone"),
    [
        ({KEEP: [0.5], "optimizer": [{"name": "adam"}, {"name": "sgdm"}]}, KEEP),
        ({"optimizer": [{"name": "sgdm"}, ADAM], KEEP: [0.5, 1.0]}, "optimizer/1/keep_prob"),
    ],
)
def test_an_axis_that_another_undoes_is_refused(grid: dict[str, Any], undone: str) -> None:
    """Catches: a sweep that runs without learning-rate dropout, or several times with one value,
    for a later axis sets the optimizer anew, or a part of it."""
    by = [*grid][1]
    assert faults(grid=grid, baseline={}) == {
        f"/grid/{undone}": f"/grid/{by} sets it again: say it in one of the two places"
    }


def test_what_refines_a_setting_is_no_fault() -> None:
    """An arm or an axis may choose the whole optimizer, and a later axis its keep_prob."""
    arms = [{"label": "own", "set": {"optimizer": {"name": "adam", "lr": 0.01}}}]
    spec = SweepSpec.parse(SWEEP | {"arms": arms, "grid": {KEEP: [1.0, 0.5]}})
    assert [arm.config.optimizer.lr for arm in expand_arms(spec)] == [0.01, 0.01]
    grid = {"optimizer": [{"name": "adam"}, {"name": "sgdm"}], KEEP: [1.0, 0.5], "epochs": [1]}
    assert len(expand_arms(SweepSpec.parse(SWEEP | {"grid": grid}))) == 4


def test_paths_of_baseline_and_table_are_of_some_arm() -> None:
    """Catches: a table of nothing but dashes after hours of training, for a slip in its rows."""
    found = faults(baseline={"optimizer.keepprob": 1.0})
    assert list(found) == ["/baseline/optimizer.keepprob"]
    assert "did you mean 'keep_prob'" in found["/baseline/optimizer.keepprob"]
    table = {"rows": "optimiser.name", "columns": "epochs.x", "pair": "schedule.power"}
    assert list(faults(table=table)) == ["/table/rows", "/table/columns"]


def test_paths_of_published_numbers_are_too() -> None:
    """Catches: `no such arm` beside a paper's number, for a slip in its `where`."""
    values = [{"where": {KEEP: 0.5}, "value": 1}, {"where": {"optimizr.name": "adam"}, "value": 2}]
    found = faults(expected={"source": "a paper", "values": values})
    assert list(found) == ["/expected/values/1/where/optimizr.name"]
    parts = [{"of": {"datset": "digits"}, "where": {"epoch": 5}}]
    found = faults(expected={"source": "a paper", "values": values[:1], "parts": parts})
    assert list(found) == ["/expected/parts/0/of/datset", "/expected/parts/0/where/epoch"]


def test_a_field_that_some_arm_has_or_could_have_is_a_path() -> None:
    table = {"rows": "optimizer.beta1", "columns": "schedule", "pair": "data.cutout"}
    assert expand_arms(SweepSpec.parse(SWEEP | {"table": table}))
    table = {"rows": "arm", "columns": "optimizer.momentum"}
    assert expand_arms(SweepSpec.parse(SWEEP | {"table": table}))


def test_an_epoch_that_no_arm_reaches_is_refused() -> None:
    assert faults(table={"at": "epoch:6"}) == {
        "/table/at": "no arm has that many epochs: the most is 5"
    }
    longer = SWEEP | {"grid": {"epochs": [5, 6]}, "baseline": {}, "table": {"at": "epoch:6"}}
    assert expand_arms(SweepSpec.parse(longer))


def test_an_extension_is_held_to_the_same() -> None:
    sweep = SweepSpec.parse(SWEEP | {"arms": [{"label": "a", "set": {}}]})
    more = Extension.parse({"arms": [{"label": "b", "set": {KEEP: 0.3}}]})
    with pytest.raises(InvalidSpec, match="sets it again"):
        expand_arms(extended(sweep, more))


def test_a_label_that_stands_twice_is_refused() -> None:
    """Catches: two rows `SD` in a table, and nobody who could say which is which."""
    arms = [{"label": "SD", "set": {"epochs": epochs}} for epochs in (6, 7, 8)]
    arms.append({"label": "another", "set": {}})
    assert faults(arms=arms) == {
        f"/arms/{n}/label": "'SD' is also the label of another arm of the sweep: give each arm a "
        "label of its own"
        for n in (1, 2)
    }


def test_a_further_arm_has_a_label_of_its_own() -> None:
    """Catches: `/arms/0/label is also the label at /arms/0/label`, for what was sent has an arm 0
    of its own."""
    sweep = SweepSpec.parse(SWEEP | {"arms": [{"label": "a", "set": {}}]})
    more = Extension.parse({"arms": [{"label": "a", "set": {"epochs": 6}}]})
    with pytest.raises(InvalidSpec, match=r"^/arms/1/label: 'a' is also the label") as caught:
        expand_arms(extended(sweep, more))
    (fault,) = (in_extension(fault, sweep, more) for fault in caught.value.faults)
    assert fault.pointer == "/arms/0/label"
    assert "/" not in fault.detail


@pytest.mark.parametrize(
    "sweep",
    [{"grid": {}}, {}, {"arms": [{"label": "a", "set": {"epochs": 3}}, {"label": "b"}]}],
    ids=["a base alone", "a grid", "arms and a grid"],
)
@pytest.mark.parametrize(
    "more",
    [{"seeds": 9}, {"arms": [{"label": "SD", "set": {"regularizers": ["SD"]}}]}],
    ids=["seeds", "arms"],
)
def test_an_extension_takes_no_arm_away(sweep: dict[str, Any], more: dict[str, Any]) -> None:
    """Catches: a sweep of a grid alone whose arms a first explicit arm replaced in its spec: they
    got no further seed, and its clone had none of them."""
    before = SweepSpec.parse(SWEEP | {"baseline": {}} | sweep)
    after = extended(before, Extension.parse(more))
    arms = [arm.config for arm in expand_arms(after)]
    assert [arm.config for arm in expand_arms(before)] == arms[: len(expand_arms(before))]
    assert after.trials_total() == len(arms) * len(after.seeds)


def test_a_fault_of_a_first_arm_is_named_where_it_was_made() -> None:
    """Catches: a place counted past the arm `base` that the sweep gets beside it."""
    sweep = SweepSpec.parse(SWEEP)
    more = Extension.parse({"arms": [{"label": "a"}, {"label": "base", "set": {"epochs": 6}}]})
    with pytest.raises(InvalidSpec) as refused:
        expand_arms(extended(sweep, more))
    places = [in_extension(each, sweep, more).pointer for each in refused.value.faults]
    assert "/arms/1/label" in places


def test_two_labels_that_differ_are_two() -> None:
    arms = [{"label": label, "set": {"epochs": n}} for n, label in enumerate("aAbB", 1)]
    assert len(expand_arms(SweepSpec.parse(SWEEP | {"arms": arms}))) == 40


VALUE = {"where": {KEEP: 0.5}, "value": 1.0}


def expected(metric: str, *values: dict[str, Any]) -> dict[str, Any]:
    return {"expected": {"source": "a paper", "metric": metric, "values": list(values)}}


@pytest.mark.parametrize(
    ("asked", "place"),
    [
        ({"table": {"metric": "tset_loss"}}, "/table/metric"),
        (expected("tset_loss", VALUE), "/expected/metric"),
        (expected("tset_loss", VALUE | {"metric": "test_loss"}), "/expected/metric"),
        (
            expected("test_loss", VALUE, VALUE | {"metric": "tset_loss"}),
            "/expected/values/1/metric",
        ),
    ],
)
def test_a_metric_that_no_trial_reports_is_refused(asked: dict[str, Any], place: str) -> None:
    """Catches: `not reported` in every cell, and a published number that stands nowhere, after
    hours of training."""
    said = (
        "no trial of this sweep reports 'tset_loss' (did you mean 'test_loss'?); they report "
        "train_loss, train_accuracy, test_loss, test_accuracy"
    )
    if place != "/table/metric":
        said += "; `expected: null` leaves the published numbers out"
    assert faults(**asked) == {place: said}


DESCENT = {
    "dataset": "surface", "data": {"surface": "toy"}, "model": "point",
    "optimizer": {"name": "adam"}, "epochs": 1,
}  # fmt: skip


@pytest.mark.parametrize(
    ("base", "metric", "known"),
    [
        ({"dataset": "cifar10_holdout"}, "val_accuracy", True),
        ({"dataset": "cifar10_holdout"}, "test_accuracy", False),
        ({"dataset": "cifar10"}, "val_accuracy", False),
        ({"dataset": "voc_detection", "model": "ssd300"}, "map_50", True),
        ({"dataset": "voc_segmentation", "model": "pspnet"}, "pixel_accuracy", True),
        ({"dataset": "voc_segmentation", "model": "pspnet"}, "test_accuracy", False),
        (DESCENT, "reached_share", True),
        (DESCENT, "test_loss", False),
        ({}, "seconds", True),  # no metric, but beside them in every report
    ],
)
def test_what_is_reported_depends_on_task_and_data_set(
    base: dict[str, Any], metric: str, known: bool
) -> None:
    sweep = SWEEP | {"base": SWEEP["base"] | base, "table": {"metric": metric}}
    if known:
        assert expand_arms(SweepSpec.parse(sweep))
    else:
        assert list(faults(**sweep)) == ["/table/metric"]


def test_what_one_arm_reports_is_a_metric_of_the_sweep() -> None:
    """Catches: a sweep over data with a test set and data without one, of which half is refused."""
    grid = {"dataset": ["cifar10", "cifar10_holdout"], "epochs": [1]}
    for metric in ("test_accuracy", "val_accuracy"):
        changes = {"grid": grid, "baseline": {}, "table": {"metric": metric}}
        assert expand_arms(SweepSpec.parse(SWEEP | changes))


def test_a_sweep_that_holds_images_out_has_no_test_metric() -> None:
    base = SWEEP["base"] | {"data": {"holdout": 100}}
    assert expand_arms(SweepSpec.parse(SWEEP | {"base": base, "table": {"metric": "val_loss"}}))
    found = faults(base=base, table={"metric": "test_loss"})
    assert "they report train_loss, train_accuracy, val_loss, val_a" in found["/table/metric"]


def test_where_numbers_have_metrics_of_their_own_the_sections_is_not_asked_for() -> None:
    """Catches: a fault in the default of a field that nobody wrote."""
    values = [VALUE | {"metric": "reached_share"}]
    asked = {"expected": {"source": "a paper", "values": values}}
    assert expand_arms(SweepSpec.parse(SWEEP | {"base": DESCENT} | asked))
    asked["expected"]["values"] = [VALUE]  # type: ignore[index]
    assert list(faults(base=DESCENT, **asked)) == ["/expected/metric"]


def test_gpus_that_would_stand_still_are_refused() -> None:
    """Catches: four GPUs kept for each trial of a task that trains on the first alone."""
    found = faults(resources={"num_gpus": 4})
    assert list(found) == ["/resources/num_gpus"]
    assert found["/resources/num_gpus"].startswith("a trial of classification trains on one GPU")
    for gpus in ("auto", "shared", 0, 0.25, 1):
        expand_arms(SweepSpec.parse(SWEEP | {"resources": {"num_gpus": gpus}}))
    theirs = SweepSpec.parse(SWEEP).base.model_copy(update={"task": "theirs"})
    assert not list(idle_gpus([theirs], 4))
