"""What other packages add: models, data sets, tasks and optimizers, by Python entry point.

A package that declares, say,

    [project.entry-points."lrd.models"]
    my_net = "my_package.networks:my_net"

can be named in a spec, `model: my_net`, wherever it is installed. A spec carries the name only:
never code, never an import path. Names are listed without importing what they stand for, so the
service, which has no torch, can check them. Free of torch.
"""

import functools
import importlib.util
import sys
import traceback
from collections.abc import Iterable, Mapping
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Literal

from lrd_core import sums
from lrd_core.errors import LRDError, PluginError

Group = Literal["lrd.models", "lrd.datasets", "lrd.tasks", "lrd.optimizers"]
_NAMED_BY: dict[Group, tuple[str, ...]] = {
    "lrd.models": ("model",),
    "lrd.datasets": ("dataset",),
    "lrd.tasks": ("task",),
    "lrd.optimizers": ("optimizer", "name"),
}
"""Where a configuration says which entry point of a group it takes."""


def names(group: Group) -> tuple[str, ...]:
    """The names that installed packages offer, sorted.

    Installed packages are looked through once for each `sys.path`; one that is installed later is
    seen after a restart.
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
    """What the entry point `name` makes of these arguments.

    Raises:
        PluginError: no installed package offers it, it cannot be imported, or it raised; then with
            the file and the line.
    """
    made_by = load(group, name)
    try:
        return made_by(*arguments, **named)
    except LRDError:
        raise
    except Exception as error:
        if type(error).__name__ == "OutOfMemoryError":  # torch's: it may be tried again, alone
            raise
        where = traceback.extract_tb(error.__traceback__)[-1]
        place = (
            "as lrd calls it" if where.filename == __file__ else f"{where.filename}:{where.lineno}"
        )
        raise PluginError(
            f"{name!r} of {group} raised {type(error).__name__}: {error} ({place})"
        ) from error


def clash(group: Group, name: str, *, is_taken: bool = False) -> str | None:
    """Why it is not clear what the name stands for, or None; `is_taken`: this package has it too.

    Which of two packages came first in `sys.path` would decide, node by node.
    """
    found = _offered(group, tuple(sys.path)).get(name, ())
    owners = ["lrd itself"] * is_taken + [_owner(entry) for entry in found]
    if len(owners) < 2:
        return None
    return f"{name!r} of {group} is offered by {' and by '.join(owners)}: rename or uninstall one"


def sources(configs: Iterable[Mapping[str, Any]]) -> list[str]:
    """What the configurations take of other packages, sorted: `my-lab 1.0 3fa9c1d2e4b5` for each
    package, the last word a sum over its Python files. Nothing is imported.

    What it imports from elsewhere is not in the sum.
    """
    path = tuple(sys.path)
    if not any(_offered(group, path) for group in _NAMED_BY):
        return []  # as mostly: of a sweep with thousands of arms none is looked at
    wanted = {each for config in configs for each in named(config)}
    entries = [entry for group, name in wanted for entry in _offered(group, path).get(name, ())]
    return sorted({f"{_owner(entry)} {_sum_of(entry)}" for entry in entries})


def named(config: Mapping[str, Any]) -> tuple[tuple[Group, str], ...]:
    """What a configuration names where an entry point may stand, this package's own included."""
    places = ((group, _at(config, place)) for group, place in _NAMED_BY.items())
    return tuple((group, name) for group, name in places if name)


# --- inside ---------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=16)
def _offered(group: Group, path: tuple[str, ...]) -> dict[str, tuple[EntryPoint, ...]]:
    """Name -> who offers it; a package that lies in two places of the path is one."""
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
        files = sums.below(place, ".py") | files  # of two of one name the first is imported
    if not files and module.origin:
        files = {Path(module.origin).name: module.origin}
    return sums.of(files)
