"""Write the pages that are made from the code: errors, api, cli, client, settings, spec.

`--check` writes nothing, and says which pages are out of date.
"""

import inspect
import sys
import textwrap
from collections.abc import Iterator
from enum import EnumType
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import typer
from spec_page import spec  # beside this file

from lrd_core.errors import LRDError, TrialError
from service import cli, client, problems
from service.app import create_app
from service.settings import Settings

HERE = Path(__file__).parent


_API = """\
For whoever writes a client: every route of the service. `/docs` of a running service shows the same
with every field of requests and answers, and examples; `/openapi.json` is for machines. A list is
`{"items": […], "next_page_token": …}`; pass the token as `page_token` to get the next page.
An answer that shows a sweep, also one to a change, has the sweep's `ETag`; only an answer that is
repeated for its `Idempotency-Key` has none, because the sweep may have changed since.
Refusals: [errors](errors.md). `/healthz`, `/readyz` and `/metrics` are described in
[operations](operations.md)."""


def errors() -> str:
    """The page of every type of problem, by status."""
    parts = [
        "# Errors",
        "What the service refuses, and what to do about it. Every refusal is "
        "`application/problem+json` (RFC 9457): `type`, `title`, `status`, `detail`, and `errors`, "
        "a list of `{pointer, detail}` if several places are wrong. The service also shows this "
        "list at `/errors`.",
    ]
    for kind in problems.kinds():
        parts += [
            f"## {kind.status} {kind.title}",
            f"`/errors#{kind.type}`",
            problems.explanation(kind),
        ]
    pages = [textwrap.fill(part, 120) for part in parts]
    pages += ["## In Python", _PYTHON_ERRORS, _error_table()]
    return "\n\n".join(pages) + "\n"


_PYTHON_ERRORS = """\
The package raises these errors on purpose. All of them are `lrd_core.errors.LRDError`. If one ends
a trial, the trial has the reason shown."""


def _error_table() -> str:
    rows = ["| error | is a | reason of the trial | |", "|---|---|---|---|"]
    for each in _below(LRDError):
        words = " ".join(str(inspect.getdoc(each)).split())
        reason = f"`{each.reason}`" if issubclass(each, TrialError) else ""
        bases = ", ".join(f"`{base.__name__}`" for base in each.__bases__)
        name = f"{each.__module__}.{each.__name__}"
        rows.append(f"| `{name}` | {bases} | {reason} | {words} |")
    return "\n".join(rows)


def _below(error: type[LRDError]) -> Iterator[type[LRDError]]:
    for each in sorted(error.__subclasses__(), key=lambda found: found.__name__):
        yield each
        yield from _below(each)


def api() -> str:
    """The page of every route, by noun."""
    document = create_app(Settings(), None).openapi()  # type: ignore[arg-type]
    nouns: dict[str, list[str]] = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            lines = [f"### `{method.upper()} {path}`", operation["description"]]
            if rows := list(_parameters(operation)):
                lines.append("\n".join(["| parameter | in | |", "|---|---|---|", *rows]))
            nouns.setdefault(operation["tags"][0], []).append("\n\n".join(lines))
    parts = ["# The REST API", _API]
    for noun, routes in nouns.items():
        parts += [f"## {noun.capitalize()}", *routes]
    return "\n\n".join(parts) + "\n"


def _parameters(operation: dict[str, Any]) -> Iterator[str]:
    for each in operation.get("parameters", []):
        if each["name"] == "LRD-Version" or each["in"] == "path":
            continue
        schema = each["schema"]
        kinds = schema.get("anyOf", [schema])
        values = [value for kind in kinds for value in kind.get("enum", [])]
        words = each.get("description") or schema.get("description") or ""
        if values:
            words = f"{words} {', '.join(map(str, values))}".strip()
        if schema.get("default") is not None:
            words = f"{words} (default {schema['default']})".strip()
        yield f"| `{each['name']}` | {each['in']} | {words} |"


_COMMANDS = """\
Every command with its arguments and options, as `lrd --help` and `--help` of each command show
them. The exit status is 2 if a command was written wrongly, and 1 if it failed or its description
says so."""


def commands() -> str:
    """The page of every command with its options."""
    root: Any = typer.main.get_command(cli.app)
    parts = ["# The command line", _COMMANDS]
    for name, command in sorted(root.commands.items()):
        if hasattr(command, "commands"):
            for below, each in sorted(command.commands.items()):
                parts += _command(f"{name} {below}", each)
        else:
            parts += _command(name, command)
    return "\n\n".join(parts) + "\n"


_CLIENT = """\
The classes of `service.client`, for scripts and notebooks. Frames are pandas data frames. Errors
are `LRDError`: `InvalidSpec` with each fault of a sweep, `ServiceAnswered` if the service refuses
(`status`, `type`), `NoAnswer` if nobody answers ([errors](errors.md)). A question is `metric`,
`at` (last, best, epoch:N) and `baseline` (an arm), as far as they apply. Sweeps and arms are named
as on the command line: a sweep by its id, the beginning of it, or its name, an arm by its id or its
label."""


def python() -> str:
    """The page of the Python client: each class with its methods."""
    parts = ["# The Python client", _CLIENT]
    for kind in (client.Client, client.SubmittedSweep):
        parts += [f"## {kind.__name__}", *_said(kind)]
        for name, member in vars(kind).items():
            if not name.startswith("_") and inspect.isfunction(member):
                parts += [f"### `{name}({', '.join(_taken(member))})`", *_said(member)]
    return "\n\n".join(parts) + "\n"


def _taken(function: Any) -> Iterator[str]:
    """Its arguments with their defaults."""
    named = False
    for name, each in list(inspect.signature(function).parameters.items())[1:]:
        if each.kind is each.KEYWORD_ONLY and not named:
            named = True
            yield "*"
        default = "" if each.default is each.empty else f"={each.default!r}"
        yield f"**{name}" if each.kind is each.VAR_KEYWORD else f"{name}{default}"


def _said(of: Any) -> Iterator[str]:
    """Its docstring, with arguments and errors as lists."""
    for block in str(inspect.getdoc(of)).split("\n\n"):
        head, *rest = block.split("\n    ")
        if head not in ("Args:", "Raises:") or not rest:
            yield " ".join(block.split())
            continue
        items: list[str] = []
        for line in rest:
            if line.startswith(" "):
                items[-1] += f" {line.strip()}"
            else:
                name, _, words = line.partition(": ")
                items.append(f"- `{name}`: {words}")
        yield head
        yield "\n".join(items)


_SETTINGS = """\
Environment variables that `lrd serve`, `lrd api`, `lrd dispatch`, and `lrd db`, `token`, `webhook`
and `audit` read when they start. An empty one counts as not set. `--storage-dir` of a command
precedes `LRD_STORAGE_DIR`.

There are also `LRD_DATA_DIR`, the folder of the data sets on each node (`~/.cache/lrd`); `LRD_URL`
and `LRD_TOKEN`, read by the command line; and Ray's own `RAY_AUTH_MODE` and `RAY_AUTH_TOKEN_PATH`
([a cluster](cluster.md))."""


def settings() -> str:
    """The page of every setting with its default."""
    rows = []
    for name, field in Settings.model_fields.items():
        default = "" if field.default in ("", None) else f"`{field.default}`"
        words = " ".join((field.description or "").split())
        rows.append(f"| `LRD_{name.upper()}` | {default} | {words} |")
    table = "\n".join(["| variable | default | |", "|---|---|---|", *rows])
    return "\n\n".join(["# Settings", _SETTINGS, table]) + "\n"


def _command(name: str, command: Any) -> list[str]:
    arguments, rows = [], []
    for each in command.params:
        if each.param_type_name == "argument":
            called = each.metavar or each.name.upper()
            arguments.append(called if each.required else f"[{called}]")
        else:
            called = " / ".join(filter(None, map(", ".join, (each.opts, each.secondary_opts))))
        if each.name != "help" and (words := _words(each)):
            rows.append(f"| `{called}` | {words} |")
    parts = [f"## `{' '.join(['lrd', name, *arguments])}`", str(command.help).strip()]
    if rows:
        parts.append("\n".join(["| | |", "|---|---|", *rows]))
    return parts


def _words(parameter: Any) -> str:
    """What an argument or an option means, and the values that it takes."""
    kind = parameter.type_descriptor.annotation
    values = [str(each) for each in kind] if isinstance(kind, EnumType) else []
    if get_origin(kind) is Literal:
        values = list(get_args(kind))
    choices = " or ".join(filter(None, [", ".join(values[:-1]), *values[-1:]]))
    parts = [parameter.help]
    if choices:
        parts = [": ".join(filter(None, [(parameter.help or "").rstrip("."), choices])) + "."]
    if choices and parameter.default:
        parts += [f"(default {parameter.default})"]
    if parameter.envvar:
        parts += [f"(`{parameter.envvar}`)"]
    return " ".join(filter(None, parts))


PAGES = {
    "errors.md": errors,
    "api.md": api,
    "cli.md": commands,
    "client.md": python,
    "settings.md": settings,
    "spec.md": spec,
}


def main() -> int:
    """Write the pages, or say which are out of date."""
    stale = [name for name, make in PAGES.items() if _text(name) != make()]
    if "--check" not in sys.argv:
        for name in stale:
            (HERE / name).write_text(PAGES[name]())
        return 0
    for name in stale:
        print(f"docs/{name} is out of date: run `python docs/generate.py`", file=sys.stderr)
    return int(bool(stale))


def _text(name: str) -> str | None:
    path = HERE / name
    return path.read_text() if path.exists() else None


if __name__ == "__main__":
    sys.exit(main())
