"""The tree is as the README draws it, its files are short, its gates are everywhere the same."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
TRACKED = [
    Path(line)
    for line in subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.splitlines()
    if (ROOT / line).exists()
]  # fmt: skip
DRAWN = ("lrd_core", "workers", "service")
"""The rooms that the README draws file by file; of the others it has the folder."""
UNDRAWN = {".gitignore", ".dockerignore"}
"""Files of the root that need no caption."""
LONG = {
    "CHANGELOG.md": "it grows with every change that users notice",
    "docs/api.md": "made from the code: every route with what it takes",
    "docs/cli.md": "made from the code: every command with what it takes",
    "requirements.lock": "written by `make lock`",
    "service/api/examples.json": "written by `python -m tests.examples`",
    "benchmarks/gpu.py": "the parts of one measurement, on one card",
    "benchmarks/scale.py": "the parts of one measurement, over one world",
    "tests/service/store/machine.py": "one state machine: its rules stand in one class",
    "tests/lrd_core/optim/test_fused.py": "one fused form, held to every law of the universal one",
}
"""The text files of more than 400 lines, each with its reason."""


def drawn() -> set[str]:
    """The paths in the README's tree."""
    text = (ROOT / "README.md").read_text()
    block = text.split("## The tree\n\n```\n")[1].split("```")[0]
    shown: set[str] = set()
    room = ""
    for line in block.splitlines():
        listed = []
        for name in re.split(r"\s{2,}", line.strip()):
            if not re.fullmatch(r"[\w.-]+\.\w+|\w+/|LICENSE|Makefile|Dockerfile|\.ci/run", name):
                break
            listed.append(name)
        assert listed, f"a line without a file: {line}"
        if line.startswith(" "):
            shown |= {room + name for name in listed}
        else:
            room = listed[0]
            shown |= set(listed)
    return shown


def test_the_tree_of_the_readme_is_the_tree() -> None:
    """Catches: a file that was added or moved, and a caption of one that is gone."""
    there: set[str] = set()
    for path in TRACKED:
        room, *inside = path.parts
        if not inside:
            there.add(room)
        elif room == ".ci":
            there.add(str(path))
        else:
            there.add(f"{room}/")
            if room in DRAWN and path.name != "__init__.py":
                there.add(f"{room}/{inside[0]}" + "/" * (len(inside) > 1))
    assert there - UNDRAWN - drawn() == set(), "not in the README's tree"
    assert drawn() - there == set(), "in the README's tree, and gone"


def test_a_file_of_more_than_400_lines_has_a_reason() -> None:
    kinds = {".py", ".js", ".css", ".md", ".json", ".lock", ".yaml", ".yml", ".toml", ".html"}
    long = {
        str(path)
        for path in TRACKED
        if path.suffix in kinds and len((ROOT / path).read_text().splitlines()) > 400
    }
    assert long - LONG.keys() == set()


SLEEPS = {
    "tests/chaos/faults.py": "the pauses between faults are what is drawn",
    "tests/chaos/world.py": "how long a database stays down",
}


def test_no_test_sleeps() -> None:
    """What another process does is waited for by `tests.waiting`, no longer than needed."""
    found = {
        str(path)
        for path in TRACKED
        if path.parts[0] == "tests" and re.search(r"\bsleep\(", (ROOT / path).read_text())
    }
    assert found - {"tests/test_tree.py"} == SLEEPS.keys()


def test_the_sentence_is_the_same_wherever_it_stands() -> None:
    def sentence(path: str) -> str:
        text = (ROOT / path).read_text().replace("\n> ", " ").replace("\n", " ")
        found = re.search(r"A \*\*sweep\*\* expands.*?came for\.", text)
        assert found is not None, path
        return found[0]

    assert sentence("README.md") == sentence("docs/index.md")


def test_pre_commit_runs_what_make_check_runs() -> None:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    (hook,) = (hook for repo in config["repos"] for hook in repo["hooks"])
    assert hook["entry"] == "make check"
    assert not hook["pass_filenames"]
    assert "make check" in (ROOT / ".ci" / "run").read_text()


DECISIONS = sorted((ROOT / "docs" / "decisions").glob("[!R]*.md"))


@pytest.mark.parametrize("page", DECISIONS, ids=lambda page: page.stem)
def test_a_decision_says_why_what_follows_and_what_else_there_was(page: Path) -> None:
    text = page.read_text()
    places = [
        text.find(f"\n**{part}") for part in ("Context", "Decision", "Consequences", "Alternatives")
    ]
    assert -1 not in places, "a part is missing"
    assert places == sorted(places)
    index = (page.parent / "README.md").read_text()
    assert f"]({page.name})" in index, "not in the list of decisions"
