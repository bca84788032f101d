"""What is run: TrialSpec, SweepSpec and `expand()`. Free of torch.

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
    about_nothing,
    idle_gpus,
    is_baseline,
    same,
    twice,
    undone,
    unreported,
)
from lrd_core.configuration import Config, Spec
from lrd_core.errors import Fault, InvalidSpec
from lrd_core.execution import Execution, Resources
from lrd_core.faults import MAX_FAULTS, MISSING, parsed, pointer
from lrd_core.kinds import no_sweep, no_trial
from lrd_core.overrides import NoSuchPath, combinations, faults_of, overridden
from lrd_core.texts import Label, Text
from lrd_core.titles import arm_names

MAX_SEED = 2**32 - 1


class TrialSpec(Config):
    """A configuration with its seed: the same spec and code give the same numbers."""

    seed: Annotated[int, Field(ge=0, le=MAX_SEED)] = 0
    """Of initial weights, batches, augmentation, label noise and masks, each in a stream of its
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
        if wrong := no_trial(document):
            raise InvalidSpec([wrong])
        return parsed(cls, document)

    def config(self) -> dict[str, Any]:
        """The arm's part, defaults written out, as plain data."""
        return self.model_dump(mode="json", include=set(Config.model_fields))


Overrides = Annotated[dict[Text, Any], Field(max_length=50)]
"""Dotted paths in a configuration, and what is set there."""


class ArmSpec(Spec):
    """An explicit override of the base, with a label."""

    label: Label
    """What the arm is called in tables and figures."""
    set: Overrides = {}
    """Dotted paths in the base, and what is set there."""


Path = Annotated[Text, Field(min_length=1, max_length=200)]
"""A dotted path in a configuration, as in the grid."""
MetricName = Annotated[Text, Field(min_length=1, max_length=100)]


class TableSpec(Spec):
    """How the sweep's table is laid out; what is left out is chosen by what varies."""

    rows: Path | None = None
    """A dotted path, or `arm` for the labels."""
    columns: Path | None = None
    """Likewise."""
    pair: Path | None = None
    """The path whose values stand side by side; left out, the baseline's, of up to three values."""
    metric: MetricName | None = None
    """What the table shows, e.g. `test_loss`; left out, the accuracy of a classification,
    `mean_iou`, `val_loss` of a detection, `reached_share` of a descent; of another package's task
    what it evaluates first, unless that is among these."""
    at: Annotated[str, Field(pattern=r"^(last|best|epoch:[1-9][0-9]{0,5})$")] = "last"
    """The epoch at which a trial's metric is read: `last`, `best` or `epoch:N`."""


class ExpectedValue(Spec):
    """A published number and the arm that it is about."""

    where: Annotated[Overrides, Field(min_length=1)]
    """Dotted paths to values; the one arm with all of these values is meant."""
    value: float
    """What is published, in the `unit` of the section."""
    metric: MetricName | None = None
    """Which metric it is; left out, the section's."""
    tolerance: Annotated[float, Field(ge=0)] = 0.0
    """A difference up to this is within noise whatever the seeds say, e.g. half of the last digit
    that was published. In the unit of `value`."""


class ExpectedSpec(Spec):
    """Numbers to hold the sweep's own against."""

    metric: MetricName = "test_accuracy"
    """Which of the trials' metrics the numbers are about."""
    source: Annotated[Text, Field(min_length=1, max_length=500)]
    """Where they are published, e.g. `Table 2, arXiv:1912.00144`."""
    unit: Literal["metric", "percent"] = "metric"
    """`metric`: as the trials report it (accuracies are shares); `percent`: a share times 100."""
    where: Overrides = {}
    """What all of the numbers were measured with, as dotted paths to values (null: left out). An
    arm that differs from it is shown beside them and not judged by them."""
    values: Annotated[list[ExpectedValue], Field(min_length=1, max_length=10_000)]
    """The numbers, each with its arm."""

    def of(self, metric: str) -> Self | None:
        """The numbers of one metric; None if there is none."""
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
        raise ValueError("a seed stands twice")
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


class SweepSpec(Spec):
    """A base configuration, a grid and/or arms, and seeds."""

    name: Label
    """What the sweep is called; two may have one name."""
    base: Config
    """The configuration that every arm starts from."""
    grid: Annotated[
        dict[Text, Annotated[list[Any], Field(min_length=1, max_length=10_000)]],
        Field(max_length=20),
    ] = {}
    """Dotted paths, each to a list of values; the product of all paths is run."""
    arms: Annotated[list[ArmSpec], Field(max_length=10_000)] = []
    """Explicit overrides; multiplied with the grid."""
    seeds: Seeds = [0]
    """A count n (seeds 0 … n − 1) or a list."""
    baseline: Overrides = {}
    """The overrides that mark an arm as the one that comparisons subtract."""
    resources: Resources = Resources()
    """What each trial occupies."""
    execution: Execution = Execution()
    """How each trial is computed."""
    priority: Annotated[int, Field(ge=-1000, le=1000)] = 0
    """Sweeps of higher priority are served first; those of equal priority share."""
    max_concurrent: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """So many trials run at once at most; left out, as many as fit."""
    reuse: bool = False
    """Take the results of trials that have succeeded elsewhere with the same configuration, seed,
    execution and code, instead of running them again; each is marked so."""
    table: TableSpec = TableSpec()
    """How the table is laid out."""
    expected: ExpectedSpec | None = None
    """What a paper says; the table shows it beside the sweep's own numbers."""

    @classmethod
    def parse(cls, document: Any) -> Self:
        """The spec that `document` holds; its arms are not yet expanded.

        Raises:
            InvalidSpec: with each fault and its JSON pointer.
        """
        if wrong := no_sweep(document):
            raise InvalidSpec([wrong])
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


class Extension(Spec):
    """What a sweep gets more of: seeds, values of its grid's axes, explicit arms."""

    seeds: Seeds = []
    """A count n (seeds 0 … n − 1) or a list."""
    grid: Annotated[
        dict[Text, Annotated[list[Any], Field(min_length=1, max_length=10_000)]],
        Field(max_length=20),
    ] = {}
    """Paths of the sweep's own grid, each to a list of further values."""
    arms: Annotated[list[ArmSpec], Field(max_length=10_000)] = []
    """Further explicit arms."""

    @classmethod
    def parse(cls, document: Any) -> Self:
        """The extension that `document` holds.

        Raises:
            InvalidSpec: with each fault and its JSON pointer.
        """
        return parsed(cls, document)


def extended(sweep: SweepSpec, more: Extension) -> SweepSpec:
    """`sweep` with what `more` adds. All of its arms stay, in their order.

    A count of seeds means seeds 0 … n − 1, as in a sweep. A sweep without explicit arms that gets
    some keeps its own as the first of them, `base`.

    Raises:
        InvalidSpec: an axis is not one of the sweep's: its arms have no value there.
    """
    foreign = [path for path in more.grid if path not in sweep.grid]
    if foreign:
        axes = ", ".join(sweep.grid) or "none"
        raise InvalidSpec(
            [
                Fault(pointer(["grid", path]), f"no axis of this sweep; its axes are: {axes}")
                for path in foreign
            ]
        )
    grid = {
        path: values + [value for value in more.grid.get(path, []) if value not in values]
        for path, values in sweep.grid.items()
    }
    document = sweep.model_dump(mode="json", exclude_unset=True)
    arms = [arm.model_dump(mode="json") for arm in explicit_arms(sweep, more)]
    arms += [new for arm in more.arms if (new := arm.model_dump(mode="json")) not in arms]
    return SweepSpec.parse(
        document
        | ({"grid": grid} if grid else {})
        | ({"arms": arms} if arms else {})
        | {"seeds": sweep.seeds + [seed for seed in more.seeds if seed not in sweep.seeds]}
    )


def explicit_arms(sweep: SweepSpec, more: Extension) -> list[ArmSpec]:
    """Those that `sweep` has once `more` is added, without those of `more`: arms multiply the grid,
    so next to others the plain base must be one of them, or its arms would be gone."""
    return [ArmSpec(label="base")] if more.arms and not sweep.arms else sweep.arms


@dataclass(frozen=True)
class Arm:
    """One configuration of a sweep, seed left out."""

    label: str
    """As `titles.arm_names` has it."""
    config: Config
    is_baseline: bool

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
        InvalidSpec: an override names no field or is undone by another, a combination is not a
            valid configuration, two arms are the same, no arm is the baseline, or the table is
            about what no arm has.
    """
    base = sweep.base.model_dump(mode="json", exclude_unset=True)
    twice_set = [*itertools.islice(undone([arm.set for arm in sweep.arms], sweep.grid), MAX_FAULTS)]
    labelled = itertools.islice(twice([arm.label for arm in sweep.arms]), MAX_FAULTS)
    faults = dict.fromkeys([*twice_set, *labelled])  # many combinations may have one and the same
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
    if not twice_set:  # which makes arms the same
        faults |= dict.fromkeys(same(names, documents, "/grid" if sweep.grid else "/arms"))
    arms = [
        Arm(name, config, is_baseline(config, sweep.baseline))
        for name, (_, config) in zip(names, made, strict=True)
    ]
    if faults := faults or dict.fromkeys(_about(sweep, arms)):
        raise InvalidSpec(list(faults))
    return arms


# --- inside ---------------------------------------------------------------------------------------


def _beside_grid(fault: Fault, document: Any) -> Fault:
    """The same, with a word to one who left out of the base what the grid sets."""
    grid = document.get("grid") if isinstance(document, dict) else None
    of_base = fault.detail == MISSING and fault.pointer.startswith("/base/")
    if not of_base or not isinstance(grid, dict):
        return fault
    missing = fault.pointer.removeprefix("/base/").replace("/", ".")
    axis = next((path for path in grid if f"{path}.".startswith(f"{missing}.")), None)
    also = f", also where the grid has {axis}: an axis replaces what the base says"
    return fault if axis is None else Fault(fault.pointer, MISSING + also)


def _about(sweep: SweepSpec, arms: Sequence[Arm]) -> Iterator[Fault]:
    """What the resources, the baseline, the table and the expected numbers ask of the arms, and
    none has a use for."""
    configs = [arm.config for arm in arms]
    expected = sweep.expected
    where = {"/expected/where": expected.where} if expected else {}
    for at, value in enumerate(expected.values if expected else []):
        where[f"/expected/values/{at}/where"] = value.where
    nothing = about_nothing(
        configs, sweep.baseline, sweep.table.model_dump(exclude_none=True), where
    )
    unknown = unreported(configs, _asked(sweep))
    idle = idle_gpus(configs, sweep.resources.num_gpus)
    wrong = [*itertools.islice(itertools.chain(idle, nothing, unknown), MAX_FAULTS)]
    yield from wrong
    if not wrong and sweep.baseline and not any(arm.is_baseline for arm in arms):
        yield Fault("/baseline", "no arm of this sweep has these values")


def _asked(sweep: SweepSpec) -> dict[str, str]:
    """Each metric that the sweep names, by its place."""
    asked = {"/table/metric": sweep.table.metric}
    if expected := sweep.expected:
        if "metric" in expected.model_fields_set or any(not v.metric for v in expected.values):
            asked["/expected/metric"] = expected.metric
        asked |= {f"/expected/values/{at}/metric": v.metric for at, v in enumerate(expected.values)}
    return {place: metric for place, metric in asked.items() if metric}
