"""What other packages add: models, data sets, tasks and optimizers, by Python entry point.

A package that declares, say,

    [project.entry-points."lrd.models"]
    my_net = "my_package.networks:my_net"

can be named in a spec, `model: my_net`, wherever it is installed. A spec carries the name only:
never code, never an import path. Names are listed without importing what they stand for, so the
service, which has no torch, can check them. Free of torch.
"""

import functools
import sys
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal

from lrd_core.errors import PluginError

Group = Literal["lrd.models", "lrd.datasets", "lrd.tasks", "lrd.optimizers"]


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
    offered = _offered(group, tuple(sys.path))
    if name not in offered:
        raise PluginError(
            f"no package installed here offers {name!r} as an entry point of {group}; install the "
            "one that does on every node"
        )
    entry = offered[name]
    try:
        return entry.load()
    except Exception as error:
        raise PluginError(
            f"{name!r} of {group} is {entry.value}, which cannot be imported: "
            f"{type(error).__name__}: {error}"
        ) from error


@functools.lru_cache(maxsize=16)
def _offered(group: Group, path: tuple[str, ...]) -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=group)}
