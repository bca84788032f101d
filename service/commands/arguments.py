"""Arguments and options that several commands of `lrd` share, and how their text is parsed."""

import re
from pathlib import Path
from typing import Annotated, Any

import typer

from lrd_core.documents import has_comment, parse_yaml
from lrd_core.errors import Fault, InvalidSpec
from lrd_core.faults import pointer

_SWEEP = typer.Argument(
    metavar="SWEEP", help="Id of the sweep, the beginning of its id, or its name."
)
Sweep = Annotated[str, _SWEEP]
OneSweep = Annotated[str | None, _SWEEP]
Url = Annotated[str, typer.Option("--url", envvar="LRD_URL", help="Address of the service.")]
Token = Annotated[
    str | None,
    typer.Option("--token", envvar="LRD_TOKEN", help="Token, if the service asks for one."),
]
StorageDir = Annotated[
    Path | None,
    typer.Option(
        envvar="LRD_STORAGE_DIR", help="Directory for the database, checkpoints and logs."
    ),
]
Plan = Annotated[bool, typer.Option("--plan", help="Show what would run; store nothing.")]
Metric = Annotated[str | None, typer.Option(help="Metric to read, e.g. test_loss.")]
At = Annotated[str | None, typer.Option(help="Epoch to read: last, best or epoch:N.")]
Baseline = Annotated[
    str | None,
    typer.Option(
        help="Arm to compare with, by label or id (`lrd table SWEEP --format csv` shows both)."
    ),
]

PLAIN_TEXTS = ("name", "notes")
"""Fields of a sweep that a shell gives as they are: to YAML, `#2` would be a comment."""


def one_of(called: str | None, trials: list[int] | None) -> str | None:
    """The sweep meant by a command that takes either a sweep or trials; None if it is trials.

    Raises:
        typer.BadParameter: both are named, or none is.
    """
    if (called is None) == (not trials):
        raise typer.BadParameter(
            "name a SWEEP (`lrd ls` lists them) or trials with --trial, one of the two"
        )
    return called


def assignments(texts: list[str] | None) -> dict[str, Any]:
    """`base.epochs=2` -> {"base.epochs": 2}. Values are YAML; those of `PLAIN_TEXTS` are taken as
    they are, except `null`.

    Raises:
        typer.BadParameter: a text is no assignment.
        InvalidSpec: a value is not YAML, or has a comment; the pointer is its path.
    """
    found: dict[str, Any] = {}
    for text in texts or []:
        path, sign, value = text.partition("=")
        if not sign:
            raise typer.BadParameter(f"{text!r} is not PATH=VALUE")
        plain = path in PLAIN_TEXTS and value != "null"
        found[path] = value if plain else _yaml(path, value)
    return found


def number_of(text: str) -> float:
    """`0.9`, or `90%`.

    Raises:
        typer.BadParameter: it is neither.
    """
    try:
        number = float(text.removesuffix("%"))
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no number: write 0.9, or 90%") from None
    return number / 100 if text.endswith("%") else number


def seeds_of(text: str | None) -> int | list[int] | None:
    """`5` is a count; `5,6,7` is a list, and so are `[5, 6, 7]` and, for a single seed, `5,`.

    Raises:
        typer.BadParameter: it is neither.
    """
    if text is None:
        return None
    listed = re.fullmatch(r"\[?\s*\d{1,10}(\s*,\s*\d{1,10})*\s*,?\s*\]?", text.strip())
    if listed is None:
        raise typer.BadParameter(
            f"--seeds {text!r} is neither a count such as 3 nor a list such as 5,6,7"
        )
    numbers = [int(number) for number in re.findall(r"\d+", text)]
    return numbers[0] if text.strip().isdecimal() else numbers


# --- inside ---------------------------------------------------------------------------------------


def _yaml(path: str, value: str) -> Any:
    try:
        found = parse_yaml(value)
    except InvalidSpec as error:
        faults = [Fault(pointer([path]), fault.detail) for fault in error.faults]
        raise InvalidSpec(faults) from None
    if has_comment(value):
        said = (
            f"in {value!r}, YAML takes what follows the # for a comment and drops it: put a text "
            "that has a # in double quotes, and these within the shell's single ones"
        )
        raise InvalidSpec([Fault(pointer([path]), said)])
    return found
