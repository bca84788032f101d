"""Versions of the code that makes a trial's numbers: a hash of lrd's own sources, and its plugins.

The hash covers, byte by byte, the Python and C++ of `lrd_core` and the files of `workers` that
restore and train; a checkout, an sdist and a wheel of the same sources have the same hash. Parts of
lrd that cannot change a number (the service, tests, pages) are not in it. Free of torch.
"""

import functools
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any, NamedTuple

from lrd_core import plugins, sums

_HERE = Path(__file__).parent
_TRAIN = ("workers/tasks.py", "workers/saving.py", "workers/gpus.py")
"""Installed next to this package, but never imported from here."""


class Code(NamedTuple):
    """The code of one configuration, as each attempt records it."""

    lrd: str
    """lrd's version and hash: `0.1.0+3fa9c1d2e4b5`."""
    plugins: str | None
    """Versions of its plugins (`plugins.versions_of`), separated by commas; None without any."""


def on_disk() -> str:
    """lrd's version and the hash of its sources as they are on disk now."""
    files = sums.below(_HERE, ".py", ".cpp") | {each: str(_HERE.parent / each) for each in _TRAIN}
    return f"{_version()}+{sums.of(files)}"


def made_by(config: Mapping[str, Any], lrd: str | None = None) -> Code:
    """The code of one configuration. Plugins are hashed as they are on disk now; so is lrd, unless
    its version is given."""
    return Code(lrd or on_disk(), ", ".join(plugins.versions_of([config])) or None)


def codes_of(configs: Iterable[Mapping[str, Any]]) -> list[Code]:
    """The code that would run each configuration now; arms that name the same parts share one look
    at the files."""
    lrd = on_disk()
    known: dict[tuple[tuple[plugins.Group, str], ...], Code] = {}
    codes = []
    for config in configs:
        parts = plugins.named(config)
        if parts not in known:
            known[parts] = made_by(config, lrd)
        codes.append(known[parts])
    return codes


def code_version(configs: Iterable[Mapping[str, Any]]) -> str:
    """The code version of several configurations: lrd's, followed by a hash of their plugins, if
    any: `0.1.0+3fa9c1d2e4b5.77e1a0b2c9d4`."""
    found = plugins.versions_of(configs)
    return ".".join([on_disk(), *([sums.short(" ".join(found).encode())] if found else [])])


# --- inside ---------------------------------------------------------------------------------------


@functools.cache
def _version() -> str:
    try:
        return version_of("learning-rate-dropout")
    except PackageNotFoundError:  # used from a folder, not installed
        return "unknown"


IMPORTED = on_disk()
"""lrd's version and hash when this process imported it."""
