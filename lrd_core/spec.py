"""The experiment: TrialSpec, SweepSpec and `expand()`. Free of torch.

A **sweep** is a base configuration, a grid and/or a list of arms, and seeds. An **arm** is one
configuration with the seed left out; a **trial** is an arm with one seed. Everything that can be
checked without torch is checked here, and every fault names its place by JSON pointer.
"""

import hashlib
import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError

from lrd_core.agreement import (
    dangling_paths,
    duplicate_arms,
    duplicate_labels,
    has_all,
    idle_gpus,
    is_primary,
    overwritten_settings,
    unreported,
)
from lrd_core.configuration import Config, Spec
from lrd_core.errors import Fault, InvalidSpec
from lrd_core.execution import Execution, Resources
from lrd_core.faults import MAX_FAULTS, MISSING, parsed
from lrd_core.mistaken import fault_if_sweep, fault_if_trial
from lrd_core.overrides import NoSuchPath, combinations, faults_of, overridden
from lrd_core.texts import Label, Tag, Text
from lrd_core.titles import arm_names

MAX_SEED = 2**32 - 1


class TrialSpec(Config):
    """A configuration with its seed: the same spec and code give the same numbers."""

    seed: Annotated[int, Field(ge=0, le=MAX_SEED)] = 0
    """Seeds initial weights, batches, augmentation, label noise and masks, each as a stream of its
    own."""
    execution: Execution = Execution()
    """How it is computed."""
    resources: Resources = Resources()
    """What it occupies."""

    @classmethod
    def parse(cls, document: Any) -> Self:
        """The spec that `document` holds.

        Raises:
            InvalidSpec: with each fault and its JSON pointer.
        """
        if fault := fault_if_sweep(document):
            raise InvalidSpec([fault])
        return parsed(cls, document)

    def config(self) -> dict[str, Any]:
        """The arm's configuration as plain data, defaults written out."""
        return self.model_dump(mode="json", include=set(Config.model_fields))


Overrides = Annotated[dict[Text, Any], Field(max_length=50)]
"""Dotted paths in a configuration, each with the value to set."""


class ArmSpec(Spec):
    """A labelled set of overrides of the base."""

    label: Label
    """What the arm is called in tables and figures."""
    set: Overrides = {}
    """Dotted paths in the base, each with the value to set."""


Grid = Annotated[
    dict[Text, Annotated[list[Any], Field(min_length=1, max_length=10_000)]], Field(max_length=20)
]
Arms = Annotated[list[ArmSpec], Field(max_length=10_000)]

DottedPath = Annotated[Text, Field(min_length=1, max_length=200)]
"""A dotted path in a configuration, as in the grid."""
MetricName = Annotated[Text, Field(min_length=1, max_length=100)]


class TableSpec(Spec):
    """How the sweep's table is laid out; what is left out follows from what varies."""

    rows: DottedPath | None = None
    """A dotted path, or `arm` for the labels."""
    columns: DottedPath | None = None
    """Likewise."""
    pair: DottedPath | None = None
    """The path whose values appear side by side; by default the baseline's path, if it has up to
    three values."""
    metric: MetricName | None = None
    """What the table shows, e.g. `test_loss`; by default accuracy for classification, `mean_iou`
    for segmentation, `val_loss` for detection, `reached_share` for a descent. For a plugin's task:
    one of these if it reports one, otherwise the first metric of its evaluation."""
    at: Annotated[str, Field(pattern=r"^(last|best|epoch:[1-9][0-9]{0,5})$")] = "last"
    """The epoch at which a trial's metric is read: `last`, `best` or `epoch:N`."""


class ExpectedValue(Spec):
    """A published number and its arm."""

    where: Annotated[Overrides, Field(min_length=1)]
    """Dotted paths and values that single out one arm."""
    value: float
    """The published number, in the section's `unit`."""
    metric: MetricName | None = None
    """Its metric; by default the section's."""
    tolerance: Annotated[float, Field(ge=0)] = 0.0
    """A difference up to this counts as noise, whatever the seeds say, e.g. half of the last
    published digit. In the unit of `value`."""


class ExpectedPart(Spec):
    """What a part of the published numbers was measured with."""

    of: Annotated[Overrides, Field(min_length=1)]
    """Dotted paths and values of the arms that are meant, e.g. `{dataset: mnist}`."""
    where: Annotated[Overrides, Field(min_length=1)]
    """What their numbers were measured with, beside the section's `where`."""


class ExpectedSpec(Spec):
    """Published numbers, to compare the sweep's own with."""

    metric: MetricName = "test_accuracy"
    """The metric that the numbers measure, as the trials report it."""
    source: Annotated[Text, Field(min_length=1, max_length=500)]
    """Where they are published, e.g. `Table 2, arXiv:1912.00144`."""
    unit: Literal["metric", "percent"] = "metric"
    """`metric`: as the trials report it (accuracies are shares); `percent`: a share times 100."""
    where: Overrides = {}
    """What all of the numbers were measured with, as dotted paths to values (null: left out). An
    arm that differs from it is shown beside them and not judged by them."""
    parts: Annotated[list[ExpectedPart], Field(max_length=100)] = []
    """Where they were not all measured with the same, what those of each data set, say, were."""
    values: Annotated[list[ExpectedValue], Field(min_length=1, max_length=10_000)]
    """The numbers, each with its arm."""

    def of(self, metric: str) -> Self | None:
        """The numbers of one metric; None if there are none."""
        values = [value for value in self.values if (value.metric or self.metric) == metric]
        return self.model_copy(update={"metric": metric, "values": values}) if values else None


def _spell_out_seeds(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool):
        if not 1 <= value <= 100_000:
            raise ValueError(f"a count of seeds is 1 to 100000, got {value}")
        return list(range(value))
    if not isinstance(value, list):
        raise ValueError(f"should be a count of seeds or a list of them, got {value!r}")
    return value


def _distinct(seeds: list[int]) -> list[int]:
    if len(set(seeds)) < len(seeds):
        raise ValueError("a seed is listed twice")
    return seeds


_Written = (
    Annotated[int, Field(ge=1, le=100_000)]
    | Annotated[list[Annotated[int, Field(ge=0, le=MAX_SEED)]], Field(min_length=1)]
)
Seeds = Annotated[
    list[Annotated[int, Field(ge=0, le=MAX_SEED)]],
    Field(min_length=1, max_length=100_000),
    AfterValidator(_distinct),
    BeforeValidator(_spell_out_seeds, json_schema_input_type=_Written),
]


def _no_repeats(tags: list[str]) -> list[str]:
    return list(dict.fromkeys(tags))


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, dict) else value


Primary = Annotated[
    list[Annotated[Overrides, Field(min_length=1)]],
    Field(max_length=100),
    BeforeValidator(_listed, json_schema_input_type=Overrides | list[Overrides]),
]
Tags = Annotated[list[Tag], Field(max_length=20), AfterValidator(_no_repeats)]
Notes = Annotated[Text, Field(max_length=10_000)]
Priority = Annotated[int, Field(ge=-1000, le=1000)]
MaxConcurrent = Annotated[int, Field(ge=1, le=1_000_000)]
MaxFailures = Annotated[int, Field(ge=1, le=1_000_000)]


class SweepSpec(Spec):
    """A base configuration, a grid and/or arms, and seeds."""

    name: Label
    """What the sweep is called; need not be unique."""
    tags: Tags = []
    """Words to find it by, e.g. `[camera-ready, ablation]`."""
    notes: Notes = ""
    """Why it is run, and what was found; plain text."""
    base: Config
    """The configuration that every arm starts from."""
    grid: Grid = {}
    """Dotted paths, each with a list of values; every combination is run."""
    arms: Arms = []
    """Explicit overrides; each is combined with every point of the grid."""
    seeds: Seeds = [0]
    """A count n (seeds 0 … n − 1) or a list."""
    baseline: Overrides = {}
    """The overrides that identify the arm that comparisons subtract."""
    primary: Primary = []
    """The comparisons that the sweep is made for: overrides, or a list of them, that identify their
    arms. They alone are one family for Holm's correction; the others are exploratory: shown without
    an adjusted p, and never marked. By default all are primary."""
    resources: Resources = Resources()
    """What each trial occupies."""
    execution: Execution = Execution()
    """How each trial is computed."""
    priority: Priority = 0
    """Sweeps of higher priority are served first; those of equal priority share."""
    max_concurrent: MaxConcurrent | None = None
    """The most trials that run at once; by default as many as fit."""
    max_failures: MaxFailures | None = None
    """The sweep pauses as soon as this many of its trials are failed (diverged ones are results and
    do not count); by default it never does."""
    reuse: bool = False
    """Take over the results of trials that succeeded elsewhere with the same configuration, seed,
    execution and code, instead of running them again; each is marked as reused."""
    table: TableSpec = TableSpec()
    """How the table is laid out."""
    expected: ExpectedSpec | None = None
    """A paper's numbers; the table shows them next to the sweep's own."""

    @classmethod
    def parse(cls, document: Any) -> Self:
        """The spec that `document` holds; its arms are not yet expanded.

        Raises:
            InvalidSpec: with each fault and its JSON pointer.
        """
        if fault := fault_if_trial(document):
            raise InvalidSpec([fault])
        try:
            return parsed(cls, document)
        except InvalidSpec as error:
            raise InvalidSpec([_beside_grid(fault, document) for fault in error.faults]) from None

    def trials_total(self) -> int:
        """How many trials `expand` gives, counted without making them."""
        values = math.prod(len(values) for values in self.grid.values())
        return max(1, len(self.arms)) * values * len(self.seeds)

    def trial(self, config: Config, seed: int) -> TrialSpec:
        """The trial of an arm with one seed, with this sweep's execution and resources."""
        parts = {name: getattr(config, name) for name in Config.model_fields}
        return TrialSpec.model_construct(
            **parts, seed=seed, execution=self.execution, resources=self.resources
        )


@dataclass(frozen=True)
class Arm:
    """One configuration of a sweep, seed left out."""

    label: str
    """As made by `titles.arm_names`."""
    config: Config
    is_baseline: bool
    is_primary: bool = True
    """Whether its comparison is one of those that the sweep is made for."""

    def config_json(self) -> dict[str, Any]:
        """The configuration as plain data, defaults written out."""
        return self.config.model_dump(mode="json")


def config_hash(config: Mapping[str, Any]) -> str:
    """SHA-256 of a configuration's canonical JSON: the identity of an arm across sweeps."""
    canonical = json.dumps(config, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def expand(sweep: SweepSpec) -> list[TrialSpec]:
    """All trials of a sweep: arms in order, and for each arm its seeds in order.

    Raises:
        InvalidSpec: an override names no field, or a combination is not a valid configuration.
    """
    return [sweep.trial(arm.config, seed) for arm in expand_arms(sweep) for seed in sweep.seeds]


def expand_arms(sweep: SweepSpec) -> list[Arm]:
    """The arms of a sweep: its explicit arms (outer) times the product of its grid (inner).

    Raises:
        InvalidSpec: an override names no field or is overwritten by another, a combination is not
            a valid configuration, two arms are the same, no arm is the baseline, or the table
            refers to something that no arm has.
    """
    base = sweep.base.model_dump(mode="json", exclude_unset=True)
    overwritten = overwritten_settings([arm.set for arm in sweep.arms], sweep.grid)
    setting_faults = [*itertools.islice(overwritten, MAX_FAULTS)]
    label_faults = itertools.islice(duplicate_labels([arm.label for arm in sweep.arms]), MAX_FAULTS)
    faults = dict.fromkeys([*setting_faults, *label_faults])  # many combinations may share a fault
    made: list[tuple[str, Config]] = []
    for combination in combinations([(arm.label, arm.set) for arm in sweep.arms], sweep.grid):
        try:
            config = Config.model_validate(overridden(base, combination.overrides))
        except (NoSuchPath, ValidationError) as error:
            faults |= dict.fromkeys(faults_of(error, combination, sweep.base))
        else:
            made.append((combination.label, config))
        if len(faults) >= MAX_FAULTS:
            break
    documents = [config.model_dump(mode="json") for _, config in made]
    names = arm_names([label for label, _ in made], [*sweep.grid], documents)
    if not setting_faults:  # an overwritten setting makes arms the same
        place = "/grid" if sweep.grid else "/arms"
        faults |= dict.fromkeys(duplicate_arms(names, documents, place))
    arms = [
        Arm(name, config, has_all(config, sweep.baseline), is_primary(config, sweep.primary))
        for name, (_, config) in zip(names, made, strict=True)
    ]
    if faults := faults or dict.fromkeys(_unusable_requests(sweep, arms)):
        raise InvalidSpec(list(faults))
    return arms


# --- inside ---------------------------------------------------------------------------------------


def _beside_grid(fault: Fault, document: Any) -> Fault:
    """`fault`, explained further if a field of the base is missing because the grid sets it."""
    grid = document.get("grid") if isinstance(document, dict) else None
    of_base = fault.detail == MISSING and fault.pointer.startswith("/base/")
    if not of_base or not isinstance(grid, dict):
        return fault
    missing = fault.pointer.removeprefix("/base/").replace("/", ".")
    axis = next((path for path in grid if f"{path}.".startswith(f"{missing}.")), None)
    also = f", also where the grid has {axis}: an axis replaces what the base says"
    return fault if axis is None else Fault(fault.pointer, MISSING + also)


def _unusable_requests(sweep: SweepSpec, arms: Sequence[Arm]) -> Iterator[Fault]:
    """A fault for each request of the resources, the baseline, the table and the expected numbers
    that no arm can meet."""
    configs = [arm.config for arm in arms]
    expected = sweep.expected
    where = {f"/primary/{at}": paths for at, paths in enumerate(sweep.primary)}
    where |= {"/expected/where": expected.where} if expected else {}
    for at, part in enumerate(expected.parts if expected else []):
        where |= {f"/expected/parts/{at}/of": part.of, f"/expected/parts/{at}/where": part.where}
    for at, value in enumerate(expected.values if expected else []):
        where[f"/expected/values/{at}/where"] = value.where
    table = sweep.table.model_dump(exclude_none=True)
    every = itertools.chain(
        idle_gpus(configs, sweep.resources.num_gpus),
        dangling_paths(configs, sweep.baseline, table, where),
        unreported(configs, _asked(sweep)),
    )
    faults = [*itertools.islice(every, MAX_FAULTS)]
    yield from faults

    def sound(place: str) -> bool:
        return not any(f"{fault.pointer}/".startswith(f"{place}/") for fault in faults)

    if sweep.baseline and sound("/baseline") and not any(arm.is_baseline for arm in arms):
        yield Fault("/baseline", "no arm of this sweep has these values")
    compared = [arm.config for arm in arms if not arm.is_baseline]
    for at, overrides in enumerate(sweep.primary):
        place = f"/primary/{at}"
        if sound(place) and not any(has_all(config, overrides) for config in compared):
            yield Fault(
                place,
                "no arm of this sweep has these values, or only baselines, which are compared "
                "with nothing",
            )


def _asked(sweep: SweepSpec) -> dict[str, str]:
    """Pointer -> the metric that the sweep names there."""
    asked = {"/table/metric": sweep.table.metric}
    if expected := sweep.expected:
        if "metric" in expected.model_fields_set or any(not v.metric for v in expected.values):
            asked["/expected/metric"] = expected.metric
        asked |= {f"/expected/values/{at}/metric": v.metric for at, v in enumerate(expected.values)}
    return {place: metric for place, metric in asked.items() if metric}
