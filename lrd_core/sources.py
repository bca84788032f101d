"""Which code makes a trial's numbers: a sum over lrd's own sources, and what plugins add.

The sum is over the Python and C++ of `lrd_core` and over the files of `workers` that restore and
train, byte by byte: a checkout, an sdist and a wheel of the same sources have the same. What
of lrd cannot change a number (the service, tests, pages) is not in it. Free of torch.
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
"""Beside this package wherever it lies; never imported from here."""


class Code(NamedTuple):
    """The code of one configuration, as each attempt records it."""

    lrd: str
    """The version and the sum: `0.1.0+3fa9c1d2e4b5`."""
    plugins: str | None
    """As `plugins.sources` has them, with commas between; None without any."""


def on_disk() -> str:
    """The version of lrd and the sum over its sources, as they lie there now."""
    files = sums.below(_HERE, ".py", ".cpp") | {each: str(_HERE.parent / each) for each in _TRAIN}
    return f"{_version()}+{sums.of(files)}"


def made_by(config: Mapping[str, Any], lrd: str | None = None) -> Code:
    """The code of a configuration: plugins and, unless told, lrd as they lie on disk."""
    return Code(lrd or on_disk(), ", ".join(plugins.sources([config])) or None)


def codes_of(configs: Iterable[Mapping[str, Any]]) -> list[Code]:
    """The code that would run each of these now; the files are looked at once for all arms that
    name the same."""
    lrd, found = on_disk(), dict[Any, Code]()
    return [
        found.get(named) or found.setdefault(named, made_by(config, lrd))
        for config in configs
        for named in [plugins.named(config)]
    ]


def code(configs: Iterable[Mapping[str, Any]]) -> str:
    """That of several in one word, a sum over their plugins behind lrd's where they have any:
    `0.1.0+3fa9c1d2e4b5.77e1a0b2c9d4`."""
    found = plugins.sources(configs)
    return ".".join([on_disk(), *([sums.short(" ".join(found).encode())] if found else [])])


# --- inside ---------------------------------------------------------------------------------------


@functools.cache
def _version() -> str:
    try:
        return version_of("learning-rate-dropout")
    except PackageNotFoundError:  # used from a folder, not installed
        return "unknown"


IMPORTED = on_disk()
"""The same, as it was when this process began to import: it keeps that code."""
