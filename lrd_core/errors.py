"""What can go wrong in the core, as one tree.

LRDError
├── InvalidSpec           a spec is wrong; carries every fault with its JSON pointer
├── TrialError            a trial cannot go on; `reason` says why in one word
│   ├── DataNotFound      a data set is neither on disk nor downloadable
│   ├── PluginError       a plugin is not installed, or not what it should be
│   └── Diverged          the loss is not finite: a result, not an accident
└── CheckpointError       a checkpoint is torn, foreign or from another trial
"""

import traceback
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal


class LRDError(Exception):
    """Base of all errors that this package raises on purpose."""


@dataclass(frozen=True)
class Fault:
    """One wrong place in a document: where (RFC 6901 JSON pointer) and what."""

    pointer: str
    detail: str

    @property
    def path(self) -> list[str | int]:
        """The pointer's parts, numbers as integers."""
        parts = [part.replace("~1", "/").replace("~0", "~") for part in self.pointer.split("/")[1:]]
        return [int(part) if part.isdecimal() else part for part in parts]

    def __str__(self) -> str:
        return f"{self.pointer or '/'}: {self.detail}"


class InvalidSpec(LRDError, ValueError):
    """A spec that cannot be run, with all of its faults."""

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__("\n".join(str(fault) for fault in faults))
        self.faults = faults


class TrialError(LRDError):
    """The trial cannot go on."""

    reason: ClassVar[Literal["error", "diverged"]] = "error"


class DataNotFound(TrialError):
    """The data set is not where it was looked for and could not be fetched."""


class PluginError(TrialError):
    """A plugin's model, data set, task or optimizer is missing or wrong."""


class Diverged(TrialError):
    """The training loss became NaN or infinite."""

    reason: ClassVar[Literal["error", "diverged"]] = "diverged"


class CheckpointError(LRDError):
    """The checkpoint cannot be used."""


def text_of(error: BaseException) -> str:
    """What an error says, or its type's name: its text may be empty, or fail to be made."""
    try:
        return str(error).strip() or type(error).__name__
    except Exception:
        return type(error).__name__


def first_line(error: BaseException) -> str:
    """The first line of what an error says."""
    return text_of(error).splitlines()[0]


def in_words(error: BaseException, packages: Collection[str] = ()) -> str:
    """An error as one sentence, with its `place_of`: `ValueError: no rows (lab.py:12)`."""
    if isinstance(error, RuntimeError) and isinstance(error.__cause__, StopIteration):
        error = error.__cause__  # a generator makes "generator raised StopIteration" of it
    file, line = place_of(error, packages)
    name, said = type(error).__name__, text_of(error)
    told = name if said == name else f"{name}: {said}"
    return f"{told} ({Path(file).name}:{line})"


def place_of(error: BaseException, packages: Collection[str] = ()) -> tuple[str, int]:
    """The file and line to look at first: the deepest one in these top-level packages, because the
    libraries that they call are rarely at fault; if there is none, the deepest of all."""
    found = [
        (str(frame.f_globals.get("__name__")), frame.f_code.co_filename, line)
        for frame, line in traceback.walk_tb(error.__traceback__)
    ]
    own = [each for each in found if each[0].partition(".")[0] in packages]
    _, file, line = (own or found)[-1]
    return file, line
