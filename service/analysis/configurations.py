"""How configurations differ: dotted paths, their values, and how both read in a table."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

ARM = "arm"
"""The pseudo-path whose value is the arm's label."""
KEEP_PROB = "optimizer.keep_prob"

Flat = dict[str, Any]
"""Dotted path -> value; lists are leaves."""


class _Absent:
    """The value at a path that a configuration does not have (sgdm has no beta1)."""

    def __repr__(self) -> str:
        return "–"


ABSENT = _Absent()

_FIRST = ("dataset", "model", "optimizer.name", "regularizers")
"""The paths that a reader looks for first; the others follow as the configuration lists them."""

_PROPER = {
    "sgdm": "SGDM", "rmsprop": "RMSprop", "adam": "Adam", "amsgrad": "AMSGrad", "radam": "RAdam",
    "adamw": "AdamW", "nadam": "NAdam", "mnist": "MNIST", "cifar10": "CIFAR-10",
    "cifar100": "CIFAR-100", "cifar10_holdout": "CIFAR-10 (5,000 held out)",
    "fcnet": "FCNet", "resnet34": "ResNet-34",
    "densenet121": "DenseNet-121", "pspnet": "PSPNet", "ssd300": "SSD300",
    "voc_segmentation": "VOC segmentation", "voc_detection": "VOC detection",
}  # fmt: skip


def flatten(config: Mapping[str, Any], prefix: str = "") -> Flat:
    """Every leaf by its dotted path: `{"optimizer.keep_prob": 0.5, "regularizers": […], …}`."""
    flat: Flat = {}
    for name, value in config.items():
        if isinstance(value, dict) and value:
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def identity(value: Any) -> Any:
    """Something hashable that is equal where values are equal."""
    return repr(value) if isinstance(value, list | dict) else value


def varying(configs: Sequence[Flat]) -> list[str]:
    """The paths whose value is not the same in all configurations, those a reader wants first.

    A path that only some configurations have varies too.
    """
    paths = [
        path
        for path in dict.fromkeys(path for config in configs for path in config)
        if any(config.get(path, ABSENT) != configs[0].get(path, ABSENT) for config in configs)
    ]
    rank = {path: index for index, path in enumerate(_FIRST)}
    return sorted(paths, key=lambda path: rank.get(path, len(rank)))  # stable: the rest as listed


def distinguishing(configs: Sequence[Flat], paths: Iterable[str]) -> list[str]:
    """Those of `paths` that are needed, taken in order, to tell the configurations apart.

    A path that follows from the ones before it says nothing new and is left out: with
    `optimizer.name` given, `optimizer.momentum` or a learning rate that goes with the optimizer.
    """
    kept: list[str] = []
    groups: list[Any] = [()] * len(configs)
    count = len(set(groups))
    for path in paths:
        finer = [
            (group, identity(config.get(path, ABSENT)))
            for group, config in zip(groups, configs, strict=True)
        ]
        if len(set(finer)) > count:
            numbers: dict[Any, int] = {}
            groups = [numbers.setdefault(group, len(numbers)) for group in finer]
            count = len(numbers)
            kept.append(path)
    return kept


def value_at(flat: Flat, path: str) -> Any:
    """The value at a dotted path; of a sub-tree its leaves."""
    if path in flat:
        return flat[path]
    below = {key[len(path) + 1 :]: value for key, value in flat.items() if under(key, path)}
    return below or ABSENT


def agrees(flat: Flat, where: Mapping[str, Any]) -> bool:
    """Whether a configuration has these values (dotted path -> value).

    What a value leaves open may be anything: `SD` agrees with `{"kind": "SD", "keep_prob": 0.9}`,
    as it does in a sweep file.
    """
    return all(_agree(value_at(flat, path), asked) for path, asked in where.items())


def under(path: str, top: str) -> bool:
    """Whether `path` is `top` or lies below it."""
    return path == top or path.startswith(top + ".")


def scope(path: str) -> str:
    """What may differ along with a path: where it names a variant (`optimizer.name`), the sub-tree
    whose defaults come with it."""
    parent, _, last = path.rpartition(".")
    return parent if parent and last == "name" else path


# --- how they read --------------------------------------------------------------------------------


def path_title(path: str) -> str:
    """`optimizer` for `optimizer.name`, `p` for `optimizer.keep_prob`, else the last part."""
    if path == KEEP_PROB:
        return "p"
    *parents, last = path.split(".")
    return parents[-1] if parents and last in ("name", "kind") else last.replace("_", " ")


def value_titles(path: str, values: Sequence[Any]) -> list[str]:
    """How the values of one path read, distinct values distinctly.

    Regularizers are named by their kind alone where that tells them apart.
    """
    brief = [_brief(path, value) for value in values]
    if len(set(brief)) == len({repr(value) for value in values}):
        return brief
    return [spell(value) for value in values]


def speaking_titles(path: str, values: Sequence[Any]) -> list[str]:
    """The same where no head says what they are: `Adam`, `lr = 0.001`, `no regularizers`."""
    name = path_title(path)
    return [
        title if _speaks(path, value) else f"no {name}" if value == [] else f"{name} = {title}"
        for title, value in zip(value_titles(path, values), values, strict=True)
    ]


def spell(value: Any) -> str:
    """A value in full, as it reads in a label: `0.5`, `adam`, `SD(keep_prob=0.8)+NG(…)`, `none`."""
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


def _agree(value: Any, asked: Any) -> bool:
    if isinstance(value, list) and isinstance(asked, list):
        if len(value) != len(asked):
            return False
        return all(any(_agree(item, want) for item in value) for want in asked)
    if isinstance(value, Mapping):
        if isinstance(asked, str):
            return asked in (value.get("kind"), value.get("name"))
        return isinstance(asked, Mapping) and all(
            key in value and _agree(value[key], want) for key, want in asked.items()
        )
    return bool(value == asked)


def _speaks(path: str, value: Any) -> bool:
    """Whether a value's title says by itself what it is."""
    if isinstance(value, list | dict):
        return bool(value)
    return path in (ARM, KEEP_PROB) or (isinstance(value, str) and _is_name(path))


def _is_name(path: str) -> bool:
    return path.rpartition(".")[2] in ("name", "kind", "dataset", "model")


def _brief(path: str, value: Any) -> str:
    if path == KEEP_PROB and isinstance(value, int | float):
        return "without LRD" if value == 1 else f"LRD (p = {value:g})"
    if isinstance(value, str) and _is_name(path):
        return _PROPER.get(value, value)
    if isinstance(value, list) and all(isinstance(item, dict) and "kind" in item for item in value):
        return "+".join(str(item["kind"]) for item in value) or "none"
    if isinstance(value, dict) and "name" in value:
        return _PROPER.get(str(value["name"]), str(value["name"]))
    return spell(value)
