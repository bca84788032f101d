"""docs/cli.md leaves out no name of an option; what is off unless it is asked for has one name."""

from collections.abc import Iterator
from typing import Any

import pytest
import typer

from service import cli
from tests.docs.pages import ROOT

PAGE = (ROOT / "docs" / "cli.md").read_text()


def commands() -> Iterator[tuple[str, Any]]:
    root: Any = typer.main.get_command(cli.app)
    for name, command in root.commands.items():
        for below, each in getattr(command, "commands", {"": command}).items():
            yield f"{name} {below}".strip(), each


@pytest.mark.parametrize(("name", "command"), [*commands()], ids=lambda part: str(part)[:20])
def test_every_name_of_an_option_is_on_the_page(name: str, command: Any) -> None:
    """Catches: `--caption`, which is on without being asked for, and nowhere `--no-caption`."""
    section = PAGE.split(f"\n## `lrd {name}", 1)[1].split("\n## ")[0]
    for option in command.params:
        if option.param_type_name == "option" and option.help and option.name != "help":
            assert all(each in section for each in (*option.opts, *option.secondary_opts))
        assert bool(option.secondary_opts) <= bool(option.default), "a `--no-…` that does nothing"
