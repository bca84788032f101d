"""Plugins: models, data sets, tasks and optimizers that other packages add by Python entry point.

A package that declares, say,

    [project.entry-points."lrd.models"]
    my_net = "my_package.networks:my_net"

makes `model: my_net` valid in a spec wherever it is installed. A spec carries only the name, never
code and never an import path. Names are listed without importing what they stand for, so that the
service, which has no torch, can check them. Free of torch.
"""

import functools
import importlib.util
import sys
from collections.abc import Iterable, Mapping
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Literal

from lrd_core import sums
from lrd_core.errors import LRDError, PluginError, place_of

Group = Literal["lrd.models", "lrd.datasets", "lrd.tasks", "lrd.optimizers"]
_NAMED_BY: dict[Group, tuple[str, ...]] = {
    "lrd.models": ("model",),
    "lrd.datasets": ("dataset",),
    "lrd.tasks": ("task",),
    "lrd.optimizers": ("optimizer", "name"),
}
"""The place in a configuration that names an entry point of each group."""


def names(group: Group) -> tuple[str, ...]:
    """The names that installed packages offer, sorted.

    Packages are searched once per `sys.path`; one that is installed later is found after a restart.
    """
    return tuple(sorted(_offered(group, tuple(sys.path))))


def load(group: Group, name: str) -> Any:
    """Import and return what the entry point `name` stands for.

    Raises:
        PluginError: no installed package offers it, or its import fails.
    """
    found = _offered(group, tuple(sys.path)).get(name, ())
    if not found:
        raise PluginError(
            f"no package installed here offers {name!r} as an entry point of {group}; install the "
            "one that does on every node"
        )
    if fault := clash(group, name):
        raise PluginError(fault)
    (entry,) = found
    try:
        return entry.load()
    except Exception as error:
        raise PluginError(
            f"{name!r} of {group} is {entry.value}, which cannot be imported: "
            f"{type(error).__name__}: {error}"
        ) from error


def call(group: Group, name: str, *arguments: Any, **named: Any) -> Any:
    """Call what the entry point `name` stands for, and return its result.

    Raises:
        PluginError: no installed package offers it, it cannot be imported, or it raised an error,
            whose `place_of` is then named.
    """
    function = load(group, name)
    try:
        return function(*arguments, **named)
    except LRDError:
        raise
    except Exception as error:
        if (
            type(error).__name__ == "OutOfMemoryError"
        ):  # torch's: the trial may be retried, alone on its GPU
            raise
        file, line = place_of(error, packages())
        place = "as lrd calls it" if file == __file__ else f"{file}:{line}"
        raise PluginError(
            f"{name!r} of {group} raised {type(error).__name__}: {error} ({place})"
        ) from error


def packages() -> frozenset[str]:
    """The top-level Python packages that offer plugins here."""
    path = tuple(sys.path)
    offers = (_offered(group, path).values() for group in _NAMED_BY)
    entries = (entry for offered in offers for each in offered for entry in each)
    return frozenset(entry.module.partition(".")[0] for entry in entries)


def clash(group: Group, name: str, *, is_taken: bool = False) -> str | None:
    """Why the name is ambiguous, or None; `is_taken`: this package has it too.

    Otherwise the order of `sys.path` would decide between two packages, node by node.
    """
    found = _offered(group, tuple(sys.path)).get(name, ())
    owners = ["lrd itself"] * is_taken + [_owner(entry) for entry in found]
    if len(owners) < 2:
        return None
    return f"{name!r} of {group} is offered by {' and by '.join(owners)}: rename or uninstall one"


def versions_of(configs: Iterable[Mapping[str, Any]]) -> list[str]:
    """The plugins that the configurations use, sorted: `my-lab 1.0 3fa9c1d2e4b5` for each package,
    where the last word is a hash of its Python files.

    Nothing is imported; what a package itself imports from elsewhere is not in the hash.
    """
    path = tuple(sys.path)
    if not any(_offered(group, path) for group in _NAMED_BY):
        return []  # the usual case, without a look at any of a sweep's thousands of arms
    wanted = {each for config in configs for each in named(config)}
    entries = [entry for group, name in wanted for entry in _offered(group, path).get(name, ())]
    return sorted({f"{_owner(entry)} {_sum_of(entry)}" for entry in entries})


def named(config: Mapping[str, Any]) -> tuple[tuple[Group, str], ...]:
    """The names in a configuration that may be entry points, this package's own included."""
    places = ((group, _at(config, place)) for group, place in _NAMED_BY.items())
    return tuple((group, name) for group, name in places if name)


def used(config: Mapping[str, Any]) -> tuple[tuple[Group, str], ...]:
    """The names in a configuration that are entry points of packages installed here."""
    path = tuple(sys.path)
    return tuple((group, name) for group, name in named(config) if name in _offered(group, path))


# --- inside ---------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=16)
def _offered(group: Group, path: tuple[str, ...]) -> dict[str, tuple[EntryPoint, ...]]:
    """Name -> its entry points; a package found twice on the path counts once."""
    found: dict[str, dict[str, EntryPoint]] = {}
    for entry in entry_points(group=group):
        found.setdefault(entry.name, {})[f"{_owner(entry)} {entry.value}"] = entry
    return {name: tuple(entries.values()) for name, entries in found.items()}


def _owner(entry: EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist else entry.module


def _at(config: Mapping[str, Any], path: Iterable[str]) -> str:
    found: Any = config
    for part in path:
        found = found.get(part) if isinstance(found, Mapping) else None
    return found if isinstance(found, str) else ""


def _sum_of(entry: EntryPoint) -> str:
    try:
        module = importlib.util.find_spec(entry.module.partition(".")[0])
    except (ImportError, ValueError):
        module = None
    if module is None:
        return "not here"
    files: dict[str, str] = {}
    for place in module.submodule_search_locations or ():
        files = (
            sums.below(place, ".py") | files
        )  # of two files of one name, Python imports the first
    if not files and module.origin:
        files = {Path(module.origin).name: module.origin}
    return sums.of(files)
