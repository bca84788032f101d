"""How configurations differ: dotted paths and their values."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lrd_core.titles import ABSENT

Flat = dict[str, Any]
"""Dotted path -> value; lists are leaves."""
FIRST = ("dataset", "model", "optimizer.name", "regularizers")
"""The paths that a reader looks for first; the others follow in the configuration's order."""


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
    """A hashable stand-in that is equal exactly if the values are equal."""
    return repr(value) if isinstance(value, list | dict) else value


def varying(configs: Sequence[Flat]) -> list[str]:
    """The paths whose values differ between configurations, the most interesting ones first.

    A path that only some configurations have varies too.
    """
    paths = [
        path
        for path in dict.fromkeys(path for config in configs for path in config)
        if any(config.get(path, ABSENT) != configs[0].get(path, ABSENT) for config in configs)
    ]
    rank = {path: index for index, path in enumerate(FIRST)}
    return sorted(paths, key=lambda path: rank.get(path, len(rank)))  # stable: the rest as listed


def distinguishing(configs: Sequence[Flat], paths: Iterable[str]) -> list[str]:
    """Those of `paths`, taken in order, that are needed to tell the configurations apart.

    A path that follows from the ones before it is left out: after `optimizer.name`, for instance,
    `optimizer.momentum` or a learning rate that goes with the optimizer.
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
    """The value at a dotted path; for a sub-tree, its leaves."""
    if path in flat:
        return flat[path]
    below = {key[len(path) + 1 :]: value for key, value in flat.items() if under(key, path)}
    return below or ABSENT


def agrees(flat: Flat, where: Mapping[str, Any]) -> bool:
    """Whether a configuration has these values (dotted path -> value).

    Whatever a value leaves open may be anything: `SD` agrees with `{"kind": "SD", "keep_prob":
    0.9}`, as it does in a sweep file. None stands for a field that is left out.
    """
    return all(_agree(value_at(flat, path), asked) for path, asked in where.items())


def under(path: str, top: str) -> bool:
    """Whether `path` is `top` or is below it."""
    return path == top or path.startswith(top + ".")


def scope(path: str) -> str:
    """The sub-tree that may differ along with a path: if it names a variant (`optimizer.name`), the
    one whose defaults come with it."""
    parent, _, last = path.rpartition(".")
    return parent if parent and last == "name" else path


# --- inside ---------------------------------------------------------------------------------------


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
    return bool(value == asked) or (asked is None and value is ABSENT)
