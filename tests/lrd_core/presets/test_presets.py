"""The presets: the paper's experiments, its numbers, and how a request changes them."""

import copy
import json
import subprocess
import sys
from typing import Any

import pytest

from lrd_core import presets
from lrd_core.errors import InvalidSpec
from lrd_core.overrides import changed_sweep, overridden
from lrd_core.spec import SweepSpec, expand, expand_arms
from service.analysis.arms import summarise
from service.analysis.configurations import agrees, flatten
from service.analysis.data import ArmInfo
from service.analysis.expected import hold_against
from service.analysis.metrics import Metric, NumberFormat

SIZES = {  # arms, trials
    "digits": (10, 30),
    "figure-1": (2, 6),
    "figure-4": (2, 6),
    "table-1": (30, 90),
    "table-1-mnist": (10, 30),
    "table-1-cifar10": (10, 30),
    "table-1-cifar100": (10, 30),
    "table-2": (12, 36),
    "table-3": (14, 42),
    "figure-12": (6, 18),
    "table-4": (5, 15),
    "segmentation": (2, 6),
    "detection": (2, 6),
}

# The paper's tables as it prints them, for a second look at what the presets hold.
TABLE_1 = """
mnist    97.82 98.21  98.06 98.40  97.88 98.15  97.88 98.51  97.97 98.21
cifar10  95.30 95.54  92.71 93.68  93.05 93.77  93.31 93.73  94.24 94.61
cifar100 79.09 79.42  70.21 74.02  72.55 74.34  73.91 75.23  71.81 73.04
"""
TABLE_2 = {
    1.0: (93.05, 95.30),
    0.1: (93.32, 94.32),
    0.3: (93.93, 95.39),
    0.5: (93.77, 95.54),
    0.7: (93.50, 95.42),
    0.9: (93.35, 95.26),
}
TABLE_3 = {
    "no regularization": (93.05, 95.30),
    "SD": (94.05, 95.33),
    "NG": (93.70, 95.00),
    "NL": (92.59, 94.61),
    "LRD": (93.77, 95.54),
    "LRD and SD": (94.73, 95.58),
    "LRD and NG": (93.92, 95.26),
}
TABLE_4 = {1.0: 93.05, 0.9: 94.05, 0.8: 94.08, 0.7: 93.34, 0.6: 92.89}


def published(name: str, metric: str = "test_accuracy") -> dict[str, float]:
    """Label of the arm -> the paper's number; each number must name exactly one arm."""
    sweep = SweepSpec.parse(presets.load(name))
    assert sweep.expected is not None
    expected = sweep.expected.of(metric)
    assert expected is not None
    found = {}
    for value in expected.values:
        (arm,) = (
            arm for arm in expand_arms(sweep) if agrees(flatten(arm.config_json()), value.where)
        )
        found[arm.label] = value.value
    assert len(found) == len(expected.values)
    return found


def lrd(p: float) -> str:
    return "without LRD" if p == 1 else f"LRD (keep_prob = {p:g})"


def test_every_preset_has_its_size_stated_here() -> None:
    assert presets.names() == sorted(SIZES)


@pytest.mark.parametrize(("name", "size"), SIZES.items())
def test_a_preset_validates_and_expands(name: str, size: tuple[int, int]) -> None:
    sweep = presets.apply_preset(name)
    arms = expand_arms(sweep)
    assert (len(arms), len(expand(sweep))) == size
    assert any(arm.is_baseline for arm in arms)
    assert len(presets.description(name)) > 20
    assert "#" not in presets.description(name)


@pytest.mark.parametrize("row", TABLE_1.strip().splitlines())
def test_table_1_holds_the_papers_numbers(row: str) -> None:
    dataset, *numbers = row.split()
    arms = [
        f"{name}, {lrd(p)}"
        for name in ("SGDM", "RMSprop", "Adam", "AMSGrad", "RAdam")
        for p in (1, 0.5)
    ]
    assert published(f"table-1-{dataset}") == dict(zip(arms, map(float, numbers), strict=True))


def test_the_whole_table_1_has_the_arms_and_the_numbers_of_its_parts() -> None:
    """Catches: a whole that trains something else than its parts, and could not `reuse` them."""
    parts = [f"table-1-{dataset}" for dataset in ("mnist", "cifar10", "cifar100")]
    arms = [arm.config for name in parts for arm in expand_arms(presets.apply_preset(name))]
    assert [arm.config for arm in expand_arms(presets.apply_preset("table-1"))] == arms
    assert list(published("table-1").values()) == [
        value for name in parts for value in published(name).values()
    ]


WITH_NUMBERS = [name for name in SIZES if "expected" in presets.load(name)]


# Settings that section 4 fixes, each with a value that no preset has. A learning rate is none of
# them: each optimizer has its own, and the paper prints few.
OTHERS: dict[str, tuple[str, Any]] = {
    "data set": ("dataset", "digits"),
    "model": ("model", "other"),
    "epochs": ("epochs", 2),
    "batch size": ("batch_size", 7),
    "optimizer": ("optimizer.name", "nadam"),
    "LRD": ("optimizer.keep_prob", 0.2),
    "weight decay": ("optimizer.weight_decay", 0.1),
    "milestones": ("schedule", {"milestones": [1], "gamma": 0.1}),
    "power": ("schedule", {"milestones": [], "gamma": 0.1, "power": 2.0}),
    "factor": ("schedule.gamma", 0.7),
    "regularizers": ("regularizers", [{"kind": "DG", "keep_prob": 0.5}]),
    "some examples": ("data", {"max_examples": 256}),
    "cutout": ("data", {"cutout": 16}),
}
MEANINGLESS = {  # a factor without milestones, cutout where nothing is classified
    "table-1": {"factor"},
    "table-1-mnist": {"factor"},
    "segmentation": {"factor", "cutout"},
}


def verdicts(sweep: SweepSpec, changes: list[tuple[str, Any]]) -> set[str]:
    """What the table says of each number when all arms are changed; of no trials, for brevity."""
    arms = [
        ArmInfo(at, arm.label, overridden(arm.config_json(), changes), arm.is_baseline)
        for at, arm in enumerate(expand_arms(sweep))
    ]
    assert sweep.expected is not None
    number = NumberFormat.fitting(Metric(sweep.expected.metric), [])
    rows = hold_against(sweep.expected, summarise(arms, []), number)
    return {row.verdict.partition(":")[0] for row in rows}


@pytest.mark.parametrize("name", WITH_NUMBERS)
def test_published_numbers_are_of_the_presets_own_settings(name: str) -> None:
    """Catches: a verdict about ResNet-34 after 200 epochs, for an FCNet that trained for two."""
    sweep = presets.apply_preset(name)
    judged = "too few seeds"
    assert verdicts(sweep, []) == {judged}
    still = {what for what, change in OTHERS.items() if judged in verdicts(sweep, [change])}
    assert still == MEANINGLESS.get(name, set())


def test_table_2_holds_the_papers_numbers() -> None:
    assert published("table-2") == {
        f"{lrd(p)}, {name}": number
        for p, numbers in TABLE_2.items()
        for name, number in zip(("Adam", "SGDM"), numbers, strict=True)
    }


def test_table_3_holds_the_papers_numbers_and_figure_12_repeats_them() -> None:
    numbers = {
        f"{label}, {name}": number
        for label, row in TABLE_3.items()
        for name, number in zip(("Adam", "SGDM"), row, strict=True)
    }
    assert published("table-3") == numbers
    assert published("figure-12").items() <= numbers.items()


def test_table_4_holds_the_papers_numbers() -> None:
    assert list(published("table-4").values()) == list(TABLE_4.values())


def test_the_numbers_of_two_metrics_stand_side_by_side() -> None:
    assert list(published("segmentation", "mean_iou").values()) == [0.637, 0.688]
    assert list(published("segmentation", "pixel_accuracy").values()) == [0.905, 0.921]
    sweep = SweepSpec.parse(presets.load("segmentation"))
    assert sweep.expected is not None
    assert sweep.expected.of("test_accuracy") is None


@pytest.mark.parametrize(
    ("name", "epochs", "decay", "lrs"),
    [
        ("table-1-mnist", 100, 0, [0.1, 0.001, 0.001, 0.001, 0.03]),
        ("table-1-cifar10", 200, 5e-4, [0.1, 0.001, 0.001, 0.001, 0.03]),
        ("table-1-cifar100", 200, 5e-4, [0.1, 0.001, 0.001, 0.001, 0.03]),
        ("table-2", 200, 5e-4, [0.001, 0.1]),
        ("table-3", 200, 5e-4, [0.001, 0.1]),
        ("table-4", 200, 5e-4, [0.001]),
    ],
)
def test_the_settings_are_those_of_section_4_1(
    name: str, epochs: int, decay: float, lrs: list[float]
) -> None:
    configs = [arm.config for arm in expand_arms(SweepSpec.parse(presets.load(name)))]
    assert {config.epochs for config in configs} == {epochs}
    assert {config.batch_size for config in configs} == {128}
    assert {config.optimizer.weight_decay for config in configs} == {decay}
    assert list(dict.fromkeys(config.optimizer.lr for config in configs)) == list(
        dict.fromkeys(lrs)
    )
    steps = [100, 150] if epochs == 200 else []
    assert {tuple(config.schedule.milestones) for config in configs} == {tuple(steps)}
    assert {getattr(config.optimizer, "momentum", 0.9) for config in configs} <= {0.9, 0.0}


def test_a_request_changes_a_preset() -> None:
    sweep = presets.apply_preset(
        "table-2",
        {"base.epochs": 2, "grid.optimizer.name": ["adam"], "resources": {"num_gpus": 0.25}},
        seeds=1,
    )
    assert sweep.base.epochs == 2
    assert sweep.resources.num_gpus == 0.25
    assert len(expand(sweep)) == 6
    assert presets.load("table-2")["base"]["epochs"] == 200  # the preset itself is as it was


@pytest.mark.parametrize(
    ("name", "changes", "seeds", "pointer"),
    [
        ("zork", {}, None, "/preset"),
        ("table-2", {"base.epochs": 0}, None, "/set/base.epochs"),
        ("table-2", {"base": {"dataset": "zork"}}, None, "/set/base/dataset"),
        ("table-2", {"grid.optimizer.name": ["adam", "zork"]}, None, "/set/grid.optimizer.name/1"),
        ("table-2", {"grid.optimizer.keep_prob": [0.5]}, None, "/set"),  # no baseline is left
        ("table-2", {"base.dataset": "mnist"}, None, "/set/base.dataset"),
        ("table-2", {"zork": 1}, None, "/set/zork"),
        ("table-2", {"optimizer.keep_prob": 0.5}, None, "/set/optimizer.keep_prob"),
        ("table-2", {"name.zork": 1}, None, "/set/name.zork"),
        ("table-2", {}, 0, "/seeds"),
        ("table-2", {}, [1, 1], "/seeds"),
    ],
)
def test_a_fault_is_named_where_the_request_has_it(
    name: str, changes: dict[str, Any], seeds: Any, pointer: str
) -> None:
    with pytest.raises(InvalidSpec) as caught:
        presets.apply_preset(name, changes, seeds)
    assert pointer in {fault.pointer for fault in caught.value.faults}


def test_a_preset_is_tuned_on_the_held_out_images_without_its_published_numbers() -> None:
    """Catches: advice to read the training accuracy, where the test part is to stay unseen."""
    held_out = {"base.dataset": "cifar10_holdout"}
    with pytest.raises(InvalidSpec, match=r"did you mean 'val_accuracy'.*`expected: null` leaves"):
        presets.apply_preset("table-2", held_out)
    assert presets.apply_preset("table-2", held_out | {"expected": None}).expected is None


def test_any_document_is_changed_likewise_and_stays_as_it_is() -> None:
    written = {"name": "x", "base": {"epochs": 1}, "grid": {"optimizer.lr": [0.1]}}
    before = copy.deepcopy(written)
    changes = {"base.optimizer.name": "adam", "grid.optimizer.lr": [0.2], "table.at": "best"}
    assert changed_sweep(written, changes, [5]) == {
        "name": "x",
        "base": {"epochs": 1, "optimizer": {"name": "adam"}},
        "grid": {"optimizer.lr": [0.2]},
        "table": {"at": "best"},
        "seeds": [5],
    }
    assert written == before


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (None, "this is empty"),
        ([], "should be a mapping"),
        ({"dataset": "digits"}, "this is one trial, not a sweep"),
    ],
)
def test_what_is_no_sweep_is_not_changed(document: Any, said: str) -> None:
    """Catches: a trial that becomes half a sweep by `--set base.epochs=2`, and nine faults."""
    with pytest.raises(InvalidSpec, match=said):
        changed_sweep(document, {"base.epochs": 2})


def test_presets_are_read_without_torch() -> None:
    code = (
        "import json, sys; from lrd_core import presets; presets.apply_preset('table-3');"
        "print(json.dumps([m for m in ('torch', 'numpy', 'ray') if m in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert json.loads(done.stdout) == []
