"""Names of arms, and readable titles for the paths and values of a configuration.

The one rule for tables, figures, pages and files: an arm's name is the label that the spec gives
it, then the title of each grid value: `plain, LRD (keep_prob = 0.7)`, `Adam, without LRD`,
`lr = 0.001`.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

ARM = "arm"
"""The pseudo-path whose value is the label that the spec gives an arm."""
KEEP_PROB = "optimizer.keep_prob"


class _Absent:
    """The value at a path that a configuration does not have (sgdm has no beta1)."""

    def __repr__(self) -> str:
        return "–"


ABSENT = _Absent()

_PROPER = {
    "sgdm": "SGDM", "rmsprop": "RMSprop", "adam": "Adam", "amsgrad": "AMSGrad", "radam": "RAdam",
    "adamw": "AdamW", "nadam": "NAdam", "mnist": "MNIST", "cifar10": "CIFAR-10",
    "cifar100": "CIFAR-100", "cifar10_holdout": "CIFAR-10 (5,000 held out)",
    "fcnet": "FCNet", "resnet34": "ResNet-34",
    "densenet121": "DenseNet-121", "pspnet": "PSPNet", "ssd300": "SSD300",
    "voc_segmentation": "VOC segmentation", "voc_detection": "VOC detection",
}  # fmt: skip


def arm_names(
    given: Sequence[str], paths: Sequence[str], configs: Sequence[Mapping[str, Any]]
) -> list[str]:
    """The names of a sweep's arms.

    Args:
        given: the label that the spec gives each arm; empty for one without.
        paths: the grid's paths, in its order.
        configs: the arms' configurations, defaults written out.
    """
    parts = [[label] if label else [] for label in given]
    for path in paths:
        titles = speaking_titles(path, [value_at(config, path) for config in configs])
        for name, title in zip(parts, titles, strict=True):
            name.append(title)
    return [", ".join(name) or "base" for name in parts]


def path_title(path: str) -> str:
    """`optimizer` for `optimizer.name`, otherwise the last part: `keep_prob`, `batch size`."""
    if path == KEEP_PROB:
        return "keep_prob"  # not p, which is the p of a test
    *parents, last = path.split(".")
    return parents[-1] if parents and last in ("name", "kind") else last.replace("_", " ")


def value_titles(path: str, values: Sequence[Any]) -> list[str]:
    """Titles of the values of one path, to be read below the path's title; distinct values have
    distinct titles.

    Regularizers are titled by their kind only if that tells them apart and no kind occurs in two
    strengths.
    """
    varied = _kinds_in_several_strengths(values)
    brief = [_brief(path, value, varied) for value in values]
    if len(set(brief)) == len({repr(value) for value in values}):
        return brief
    return [_brief(path, value, varied) if value == [] else spell(value) for value in values]


def speaking_titles(path: str, values: Sequence[Any]) -> list[str]:
    """Titles of the values that make sense without the path's title: `Adam`, `lr = 0.001`."""
    name = path_title(path)
    return [
        title if _speaks(path, value) else f"{name} = {title}"
        for title, value in zip(value_titles(path, values), values, strict=True)
    ]


def spell(value: Any) -> str:
    """A value in full: `0.5`, `adam`, `SD(keep_prob=0.8)+NG(…)`, `none`."""
    if isinstance(value, list):
        return "+".join(spell(item) for item in value) or "none"
    if isinstance(value, dict):
        name = str(value.get("kind", value.get("name", "")))
        rest = [
            f"{key}={spell(item)}" for key, item in value.items() if key not in ("kind", "name")
        ]
        return f"{name}({', '.join(rest)})" if rest else name
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        short = f"{value:.10g}"
        return short if float(short) == value else repr(value)
    return str(value)


def value_at(config: Mapping[str, Any], path: str) -> Any:
    """The value at a dotted path of a configuration; `ABSENT` if there is none."""
    found: Any = config
    for part in path.split("."):
        if not isinstance(found, Mapping) or part not in found:
            return ABSENT
        found = found[part]
    return found


# --- inside ---------------------------------------------------------------------------------------


def _speaks(path: str, value: Any) -> bool:
    """Whether a value's title makes clear what it is."""
    if isinstance(value, list):
        return all(isinstance(item, dict) for item in value)
    if isinstance(value, dict):
        return "name" in value or "kind" in value
    return path in (ARM, KEEP_PROB) or (isinstance(value, str) and _is_name(path))


def _is_name(path: str) -> bool:
    return path.rpartition(".")[2] in ("name", "kind", "dataset", "model")


def _kinds_in_several_strengths(values: Sequence[Any]) -> set[str]:
    """The kinds of regularizers that occur with different options, e.g. SD with 0.9 and 0.8."""
    strengths: dict[str, set[str]] = {}
    for value in values:
        for item in value if isinstance(value, list) else ():
            if isinstance(item, dict) and "kind" in item:
                strengths.setdefault(str(item["kind"]), set()).add(repr(item))
    return {kind for kind, found in strengths.items() if len(found) > 1}


def _brief(path: str, value: Any, varied: Collection[str] = ()) -> str:
    if path == KEEP_PROB and isinstance(value, int | float):
        return "without LRD" if value == 1 else f"LRD (keep_prob = {spell(value)})"
    if isinstance(value, str) and _is_name(path):
        return _PROPER.get(value, value)
    if value == []:
        return f"no {path_title(path)}"
    if isinstance(value, list) and all(isinstance(item, dict) and "kind" in item for item in value):
        return "+".join(
            spell(item) if item["kind"] in varied else str(item["kind"]) for item in value
        )
    if path.rpartition(".")[2] == "schedule" and isinstance(value, dict):
        return _schedule(value)
    if isinstance(value, list) and all(isinstance(item, int | float) for item in value):
        return "/".join(map(spell, value))  # commas separate the parts of a name
    if isinstance(value, dict) and "name" in value:
        return _PROPER.get(str(value["name"]), str(value["name"]))
    return spell(value)


def _schedule(schedule: Mapping[str, Any]) -> str:
    """How the learning rate changes; t is the share of epochs done."""
    if schedule.get("power") is not None:
        return f"(1 − t)^{spell(schedule['power'])}"
    if not schedule.get("milestones"):
        return "constant"
    after = "/".join(map(spell, schedule["milestones"]))
    return f"× {spell(schedule.get('gamma', 0.1))} after {after}"
