"""What the documentation says can be done, can be done; and the README's tree is the tree."""

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from lrd_core.spec import SweepSpec, expand_arms
from service import cli

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
RUN_BY = {
    "README.md": 2,  # test_client runs the client's, test_hooks' guide the optimizer's
    "docs/user-guide.md": 1,  # the client's again
    "docs/learning-rate-dropout.md": 5,  # tests/lrd_core/optim/test_guide.py
    "docs/webhooks.md": 1,  # tests/service/test_webhooks.py
}
"""How many Python blocks a page has, each of which a test runs."""
OTHERS = {"make", "pg_dump", "sqlite3", ".venv/bin/python", "curl", "git"}


def blocks(kind: str) -> Iterator[tuple[Path, str]]:
    for page in PAGES:
        for block in re.findall(
            rf"^```{kind}\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE
        ):
            yield page, block


def lines() -> list[tuple[str, list[str]]]:
    found = []
    for page, block in blocks("sh"):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            words = [word for word in words if word != "&" and not re.match(r"LRD_\w+=", word)]
            if words:
                found.append((page.name, words))
    return found


@pytest.mark.parametrize(("page", "words"), lines(), ids=lambda part: str(part)[:60])
def test_every_command_line_is_one(page: str, words: list[str]) -> None:
    """Catches: an option that was renamed, a make target that is gone."""
    if words[0] == "make":
        targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert words[1] in targets
    elif words[0] == "lrd":
        command: Any = typer.main.get_command(cli.app)
        rest = words[1:]
        while hasattr(command, "commands"):
            assert rest[0] in command.commands, words
            command, rest = command.commands[rest[0]], rest[1:]
        given = [ROOT / "README.md" if word.endswith(".yaml") else word for word in rest]
        command.make_context(words[0], [str(word) for word in given])
    else:
        assert words[0] in OTHERS, f"{page}: nobody has looked at {words}"


def test_every_sweep_in_the_documentation_is_valid() -> None:
    found = [yaml.safe_load(block) for _, block in blocks("yaml")]
    assert len(found) >= 2
    for document in found:
        assert expand_arms(SweepSpec.parse(document))


def test_every_python_block_is_run_by_a_test() -> None:
    counts: dict[str, int] = {}
    for page, block in blocks("python"):
        compile(block, str(page), "exec")
        name = str(page.relative_to(ROOT))
        counts[name] = counts.get(name, 0) + 1
    assert counts == RUN_BY


def test_every_link_leads_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text()):
            if not target.startswith(("http://", "https://")):
                assert (page.parent / target).exists(), f"{page}: {target}"


def test_the_tree_of_the_readme_is_the_tree() -> None:
    """Catches: a file that was added or moved, and a caption of one that is gone."""
    text = (ROOT / "README.md").read_text()
    block = text.split("## The tree\n\n```\n")[1].split("```")[0]
    shown: set[str] = set()
    room = ""
    for line in block.splitlines():
        names = re.split(r"\s{2,}", line.strip())
        listed = []
        for name in names:
            if not re.fullmatch(r"[\w.]+\.\w+|\w+/", name):
                break
            listed.append(name)
        if not line.startswith(" "):
            room = listed[0]
            shown.add(room)
        else:
            shown |= {room + name for name in listed}
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    rooms = ("lrd_core", "workers", "service")
    there = set()
    for path in map(Path, tracked):
        if path.parts[0] in rooms and path.name != "__init__.py":
            inside = path.parts[1] + ("/" if len(path.parts) > 2 else "")
            there.add(f"{path.parts[0]}/{inside}")
    inside = {name for name in shown if name.split("/")[0] in rooms and name[:-1].count("/")}
    assert there - shown == set(), "not in the README's tree"
    assert inside - there == set(), "in the README's tree, and gone"
