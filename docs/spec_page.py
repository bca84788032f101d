"""The page spec.md: every field of a sweep and a trial, read from the models that check them."""

from collections.abc import Iterator
from typing import Any, get_args

import yaml

from lrd_core.choices import (
    CLASSIFIERS,
    HELD_OUT,
    METRICS,
    MODELS_FOR,
    PRETRAINED,
    SELDOM,
    TASK_OF,
    metrics_of,
)
from lrd_core.configuration import Config, OptimizerSpec, PluginOptimizer, RegularizerSpec, Spec
from lrd_core.extending import Extension
from lrd_core.spec import SweepSpec, TrialSpec, expand

_INTRO = """\
Every field that a sweep or a trial may have, with its default and its range. A spec is YAML (1.2:
`1e-3` is a number, `on` is text) or JSON. Fields that are not listed here, text for a number,
duplicate keys, anchors and tags are refused. Each fault is named by its JSON pointer: all of the
fields at once; where the fields are right, all of the arms; where the arms are, all of what refers
to them (baseline, primary, table, expected numbers).
`lrd submit` takes a [sweep](#sweep), `lrd run` a [trial](#trial). `lrd submit --plan` checks a
sweep and stores nothing. A default in italics says what happens if you leave the field out."""

EXAMPLE = """\
name: learning-rate dropout beside the paper's regularizers
tags: [ablation, camera-ready]
notes: Does LRD still help once a network is regularized?
base:
  dataset: cifar10
  model: resnet34
  optimizer: {name: adam, weight_decay: 0.0005}   # lr is the paper's
  schedule: {milestones: [100, 150], gamma: 0.1}  # in epochs
  epochs: 200
  batch_size: 128
  data: {max_examples: 5000}             # for a first look; leave it out for all
grid:                                    # every combination, times the arms
  optimizer.name: [adam, sgdm]
  optimizer.keep_prob: [1.0, 0.5]        # the paper's p
arms:
  - {label: no regularizer, set: {}}
  - {label: SD, set: {regularizers: [SD]}}
  - label: SD and NG
    set: {regularizers: [{kind: SD, keep_prob: 0.8}, NG]}
seeds: 9                                 # 0 to 8; or a list
baseline: {optimizer.keep_prob: 1.0}     # what each arm is compared with
primary: {optimizer.name: adam}          # the comparisons that are asked for; the others are extra
execution: {precision: fp32, compile: auto}
resources: {num_cpus: 2, num_gpus: auto, memory_gib: 4, timeout_seconds: 86400}
priority: 10
max_concurrent: 8
max_failures: 3                          # then it pauses
reuse: true
table:
  {rows: arm, columns: optimizer.name, pair: optimizer.keep_prob, metric: test_accuracy, at: last}
expected:
  source: "Table 3, arXiv 1912.00144"
  unit: percent
  values:
    - where: {optimizer.name: adam, regularizers: [], optimizer.keep_prob: 0.5}
      value: 93.77
      tolerance: 0.005
"""

_AFTER_EXAMPLE = """\
{arms} arms of {seeds} seeds: {trials} trials. The example has every field of a sweep; most sweeps
need only `name`, `base`, `grid` or `arms`, `seeds` and `baseline`.
The [presets](presets.md) are complete sweeps too."""

_PATHS = """\
A **dotted path** (in `grid`, `arms`, `baseline`, `table` and `expected`) names a field of the
[configuration](#configuration): `optimizer.keep_prob`, `epochs`, `data.cutout`, `schedule`. It sets
the whole value: in a grid, each of the values `regularizers: [[], [SD], [SD, NG]]` is a list. If a
grid varies `optimizer.name`, whatever `base` says about the optimizer (`lr`, say) applies to all of
them; what it leaves out gets each one's own default.

An arm's settings are applied first, then the grid's, in their order. A later one must not set
again what an earlier one has set, in whole or in part: such an arm would not be what its label
says. After `optimizer: {name: adam, lr: 0.01}`, for example, `optimizer.keep_prob` may follow, but
not `optimizer.lr`."""

_DATA_SETS = """\
Which models go with which data sets. `SD` marks models that have places for it, `weights` those
with pretrained weights. Of what a [plugin](plugins.md) adds, a data set is one of classification, a
model goes with every data set except `surface`, and a task with anything, because the task itself
must know."""

_AFTER_METRICS = """\
Accuracies and shares are from 0 to 1; tables and figures show them in percent."""

_OPTIMIZERS = """\
`optimizer: {name: adam, lr: 0.001, keep_prob: 0.5}`. The default learning rates of `sgdm`,
`rmsprop`, `adam`, `amsgrad` and `radam` are the paper's (section 4.1). Learning-rate dropout
(`keep_prob`) works with every optimizer, including those of plugins."""

_REGULARIZERS = """\
A list: by name alone, with the paper's options (`regularizers: [SD, NG]`), or with options of your
own (`regularizers: [{kind: SD, keep_prob: 0.8}, NG]`). The short names are the paper's."""

_SECTIONS = {
    "SweepSpec": "Sweep",
    "ArmSpec": "Arm",
    "Config": "Configuration",
    "Data": "Data",
    "Schedule": "Schedule",
    "Execution": "Execution",
    "Resources": "Resources",
    "TableSpec": "Table",
    "ExpectedSpec": "Expected numbers",
    "ExpectedPart": "Part of the numbers",
    "ExpectedValue": "Expected value",
    "TrialSpec": "Trial",
    "Extension": "Extension",
}
"""The headings, by model; models that are missing here are part of other sections."""

_TAKES = {
    ("SweepSpec", "primary"): "overrides, or a list of them",
    ("Config", "dataset"): "a [data set](#data-sets-models-and-metrics)",
    ("Config", "task"): "a [task](#data-sets-models-and-metrics)",
    ("Config", "model"): "a [model](#data-sets-models-and-metrics)",
    ("Config", "optimizer"): "an [optimizer](#optimizers)",
    ("Config", "regularizers"): "list of [regularizers](#regularizers)",
}
"""For fields whose schema is plain text or a union of models."""

_LEFT_OUT = {
    ("Config", "task"): "the data set's task",
    ("Data", "surface"): "none",
    ("Data", "max_examples"): "all",
    ("Data", "holdout"): "none",
    ("Data", "crop_size"): "473",
    ("Data", "cutout"): "none",
    ("Schedule", "power"): "none",
    ("Resources", "memory_gib"): "not counted",
    ("Resources", "accelerator_type"): "any",
    ("Resources", "labels"): "any",
    ("Resources", "timeout_seconds"): "no limit",
    ("TableSpec", "rows"): "what varies",
    ("TableSpec", "columns"): "what varies",
    ("TableSpec", "pair"): "the baseline's path",
    ("TableSpec", "metric"): "the task's own",
    ("ExpectedValue", "metric"): "the section's",
    ("SweepSpec", "max_concurrent"): "as many as fit",
    ("SweepSpec", "max_failures"): "it never pauses by itself",
    ("SweepSpec", "primary"): "all of them",
    ("SweepSpec", "expected"): "none",
}
"""What happens if a field whose default is null is left out."""


def spec() -> str:
    """The page."""
    sweep = SweepSpec.parse(yaml.safe_load(EXAMPLE))
    trials = expand(sweep)
    missing = SweepSpec.model_fields.keys() - sweep.model_fields_set
    assert not missing, f"the example of docs/spec.md lacks {missing}"
    counts = _AFTER_EXAMPLE.format(
        arms=len(trials) // len(sweep.seeds), seeds=len(sweep.seeds), trials=len(trials)
    )
    parts = ["# The spec", _INTRO, "## A complete example", f"```yaml\n{EXAMPLE}```", counts]
    parts += [*_section(SweepSpec), _PATHS, *_section(SweepSpec, "ArmSpec")]
    parts += [*_section(SweepSpec, "Config"), "### Data sets, models and metrics", _DATA_SETS]
    parts += [_data_sets(), _metrics(), _AFTER_METRICS, *_section(SweepSpec, "Data")]
    parts += ["## Optimizers", _OPTIMIZERS, *_optimizers()]
    parts += ["## Regularizers", _REGULARIZERS, _regularizers()]
    for name in ("Schedule", "Execution", "Resources", "TableSpec", "ExpectedSpec"):
        parts += _section(SweepSpec, name)
    parts += [*_section(SweepSpec, "ExpectedPart"), *_section(SweepSpec, "ExpectedValue")]
    parts += [*_section(TrialSpec, leave_out=Config), *_section(Extension)]
    return "\n\n".join(parts) + "\n"


def _section(root: type[Spec], name: str = "", leave_out: type[Spec] | None = None) -> list[str]:
    """Heading, sentence and table of one model within `root`; by default, of `root` itself."""
    schema = root.model_json_schema()
    name, model = name or root.__name__, schema["$defs"][name] if name else schema
    parts = [f"## {_SECTIONS[name]}", " ".join(model["description"].split())]
    rows = list(_rows(name, model, leave_out.model_fields if leave_out else ()))
    if leave_out:
        heading = _SECTIONS[leave_out.__name__]
        parts.append(f"The fields of a [{heading.lower()}](#{_anchor(heading)}), and:")
    return [*parts, _table(["field", "takes", "default", ""], rows)]


def _rows(name: str, model: dict[str, Any], leave_out: Any = ()) -> Iterator[list[str]]:
    for field, schema in model["properties"].items():
        if field not in leave_out:
            default = "**required**" if field in model.get("required", ()) else ""
            yield [
                f"`{field}`",
                _TAKES.get((name, field)) or _takes(schema),
                default or _default(name, field, schema["default"]),
                _words(schema),
            ]


def _optimizers() -> list[str]:
    """Two tables: each optimizer's own fields, and what the fields mean, the same for all."""
    members = [get_args(member)[0] for member in get_args(get_args(OptimizerSpec)[0])]
    fields: dict[str, list[str]] = {}
    kinds = []
    for member in members:
        schema = member.model_json_schema()
        own = []
        for field, each in schema["properties"].items():
            if field == "name":
                continue
            row = [f"`{field}`", _takes(each), _words(each)]
            assert fields.setdefault(field, row) == row, f"two meanings of {field}"
            required = field in schema["required"]
            own.append(f"`{field}` " + ("**required**" if required else _value(each["default"])))
        plugin = member is PluginOptimizer
        name = "an entry point" if plugin else f"`{schema['properties']['name']['const']}`"
        kinds.append([name, _words(schema), ", ".join(own)])
    return [
        _table(["`name`", "", "fields and defaults"], kinds),
        _table(["field", "takes", ""], list(fields.values())),
    ]


def _regularizers() -> str:
    rows = []
    for member in get_args(get_args(RegularizerSpec)[0]):
        schema = member.model_json_schema()
        kind = schema["properties"].pop("kind")["const"]
        options = [
            f"`{field}`: {_takes(each)}, default {_value(each['default'])}. {_words(each)}"
            for field, each in schema["properties"].items()
        ]
        rows.append([f"`{kind}`", _words(schema), "<br>".join(options)])
    return _table(["`kind`", "", "options"], rows)


def _data_sets() -> str:
    rows = []
    for dataset, task in TASK_OF.items():
        models = []
        for model in MODELS_FOR[dataset]:
            marks = ["SD"] * (model in CLASSIFIERS) + ["weights"] * (model in PRETRAINED)
            models.append(f"`{model}`" + (f" ({', '.join(marks)})" if marks else ""))
        rows.append([f"`{dataset}`", task, ", ".join(models)])
    return _table(["`dataset`", "`task`", "`model`"], rows)


def _metrics() -> str:
    rows = []
    for task, names in METRICS.items():
        often = ", ".join(f"`{name}`" for name in names if name not in SELDOM)
        seldom = ", ".join(f"`{name}`" for name in names if name in SELDOM)
        more = f"; after every tenth epoch and the last {seldom}" if seldom else ""
        rows.append([task, often + more])
        for dataset in HELD_OUT:
            if TASK_OF[dataset] == task:
                held = ", ".join(f"`{name}`" for name in metrics_of(dataset, task) or ())
                rows.append([f"{task} of `{dataset}`", held])
    what = "metrics, for `table.metric`, `expected` and `lrd table --metric`"
    return _table(["task", what], rows)


# --- words ----------------------------------------------------------------------------------------


def _takes(schema: dict[str, Any]) -> str:
    """`number above 0, at most 1,024`; `fp32`, `tf32` or `bf16`; a link to a section."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[1]
        heading = _SECTIONS[name]
        return f"[{heading.lower()}](#{_anchor(heading)})"
    if "enum" in schema:
        return _either([f"`{value}`" for value in schema["enum"]])
    if "anyOf" in schema:
        kinds = [each for each in schema["anyOf"] if each.get("type") != "null"]
        return _either(list(dict.fromkeys(_takes(each) for each in kinds)))
    match schema.get("type"):
        case "boolean":
            return "`true` or `false`"
        case "integer":
            return "whole number" + _range(schema)
        case "number":
            return "number" + _range(schema)
        case "string":
            longest = schema.get("maxLength")
            return "text" + (f" of at most {longest} characters" if longest else "")
        case "array":
            return f"list{_count(schema, 'Items')}, each: {_takes(schema['items'])}"
        case "object":
            return f"mapping{_count(schema, 'Properties')}, each to: {_takes(_inner(schema))}"
    return "any value"


def _inner(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of a mapping's values; keys of a pattern are text."""
    inner = schema.get("additionalProperties") or next(
        iter(schema.get("patternProperties", {}).values()), {}
    )
    return inner if isinstance(inner, dict) else {}


def _range(schema: dict[str, Any]) -> str:
    low, above = schema.get("minimum"), schema.get("exclusiveMinimum")
    high, below = schema.get("maximum"), schema.get("exclusiveMaximum")
    if low is not None and high is not None:
        return f" from {_number(low)} to {_number(high)}"
    limits = [
        f"{word} {_number(limit)}"
        for word, limit in (
            ("at least", low), ("above", above), ("at most", high), ("below", below),
        )
        if limit is not None
    ]  # fmt: skip
    return " " + " and ".join(limits) if limits else ""


def _count(schema: dict[str, Any], of: str) -> str:
    least, most = schema.get(f"min{of}"), schema.get(f"max{of}")
    if least and most:
        return f" of {least} to {most:,}"
    if most:
        return f" of at most {most:,}"
    return f" of at least {least}" if least else ""


def _default(model: str, field: str, value: Any) -> str:
    if value is None or (model, field) in _LEFT_OUT:
        return f"*{_LEFT_OUT[model, field]}*"
    if isinstance(value, dict):
        return "*none*" if field in ("grid", "set", "baseline") else "*see there*"
    return "*none*" if value in ([], "") else _value(value)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, float):
        return f"`{value:g}`"
    return f"`{value}`" if value != {} else "none"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:g}"


def _either(words: list[str]) -> str:
    *rest, last = words
    return f"{', '.join(rest)} or {last}" if rest else last


def _words(schema: dict[str, Any]) -> str:
    return " ".join(schema["description"].split())


def _anchor(heading: str) -> str:
    return heading.lower().replace(" ", "-")


def _table(heads: list[str], rows: list[list[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines
    )
