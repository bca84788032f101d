"""What other packages add: models, data sets, tasks and optimizers, by Python entry point.

A package that declares, say,

    [project.entry-points."lrd.models"]
    my_net = "my_package.networks:my_net"

can be named in a spec, `model: my_net`, wherever it is installed. A spec carries the name only:
never code, never an import path. Names are listed without importing what they stand for, so the
service, which has no torch, can check them. Free of torch.
"""

import functools
import hashlib
import importlib.util
import sys
import traceback
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Literal

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
    named = {
        (group, name)
        for config in configs
        for group, place in _NAMED_BY.items()
        if (name := _at(config, place))
    }
    entries = [entry for group, name in named for entry in _offered(group, path).get(name, ())]
    return sorted({f"{_owner(entry)} {_sum_of(entry)}" for entry in entries})


def code(version: str, configs: Iterable[Mapping[str, Any]]) -> str:
    """The version of lrd, and where configurations take something of other packages a sum of that:
    `0.1.0+3fa9c1d2e4b5`."""
    found = sources(configs)
    return f"{version}+{_short(' '.join(found).encode())}" if found else version


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
    files = [
        (path.relative_to(place).as_posix(), path)
        for place in map(Path, module.submodule_search_locations or ())
        for path in sorted(place.rglob("*.py"))
    ]
    if not files and module.origin:
        files = [(Path(module.origin).name, Path(module.origin))]
    return _sum_of_files(tuple(_known_by(files)))


def _known_by(files: Iterable[tuple[str, Path]]) -> Iterator[tuple[str, Path, int, int]]:
    """With what changes when a file is written."""
    for name, path in files:
        if path.is_file():
            told = path.stat()
            yield name, path, told.st_mtime_ns, told.st_size


@functools.lru_cache(maxsize=64)
def _sum_of_files(files: tuple[tuple[str, Path, int, int], ...]) -> str:
    parts = (f"{name}\0".encode() + path.read_bytes() for name, path, *_ in files)
    return _short(b"\0".join(parts))


def _short(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:12]
