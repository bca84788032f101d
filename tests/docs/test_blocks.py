"""Every fenced block of the documentation is held to the code by some test; here stands which."""

import re
import shlex
from typing import Any, get_args

import pytest
import typer
import yaml

from lrd_core import plugins
from lrd_core.errors import InvalidSpec
from lrd_core.spec import SweepSpec, TrialSpec, expand_arms
from service import cli
from service.settings import Settings
from tests.docs.pages import BLOCKS, PAGES, ROOT, Block, block
from tests.docs.test_commands import NOT_RUN, SCENES, why_not

HELD = {
    "sh": "test_every_command_line_is_run_or_says_why_not",
    "yaml": "test_every_sweep_and_trial_is_valid",
    "python": "test_every_python_block_is_run_by_a_test",
    "toml": "tests/docs/test_plugins.py",
    "diff": "tests/lrd_core/optim/test_guide.py",
    "nginx": "the reader's own proxy; what one does to addresses: tests/service/page/test_below.py",
    "": "test_every_other_text_is_known",
}
"""By the kind of a block."""
PYTHON = {
    "README.md": ["tests/service/test_client.py", "test_the_optimizer_of_the_readme_is_made"],
    "docs/user-guide.md": ["tests/docs/test_commands.py"],
    "docs/learning-rate-dropout.md": ["tests/lrd_core/optim/test_guide.py"] * 5,
    "docs/plugins.md": ["tests/docs/test_plugins.py"],
    "docs/webhooks.md": ["tests/service/test_webhooks.py"],
}
"""Who runs each Python block of a page."""
TEXTS = {
    ("README.md", 0): "a fault: test_the_fault_of_the_readme_is_what_is_said",
    ("README.md", 1): "the tree: tests/test_tree.py",
    ("docs/architecture.md", 0): "a drawing: test_the_rooms_of_the_drawing_are_there",
    ("docs/plugins.md", 0): "what `lrd check` says: tests/docs/test_plugins.py",
    ("docs/webhooks.md", 0): "a message: test_the_message_of_the_guide_is_what_is_sent",
}
"""The blocks of no language, and who holds them."""


def test_every_kind_of_block_is_held() -> None:
    assert {b.kind for b in BLOCKS} == HELD.keys()


# --- commands -------------------------------------------------------------------------------------


def test_every_command_line_is_run_or_says_why_not() -> None:
    left = [
        (b.page, b.number, line)
        for b in BLOCKS
        if b.kind == "sh" and (b.page, b.number) not in SCENES
        for line in b.commands()
        if why_not(b, line) is None
    ]
    assert left == []
    every = [(b, line) for b in BLOCKS if b.kind == "sh" for line in b.commands()]
    idle = [rule for rule in NOT_RUN if not any(why_not(b, line) == rule for b, line in every)]
    assert idle == [], "a reason that no line needs any more"


def known(words: list[str]) -> str | None:
    """What is wrong with a command of `lrd`, as far as its own parser can tell without a value."""
    commands: list[Any] = [typer.main.get_command(cli.app)]
    rest = words[1:]
    while rest and hasattr(commands[0], "commands") and not rest[0].startswith("-"):
        names = rest[0].split("|")
        if missing := [name for name in names if name not in commands[0].commands]:
            return f"no command {' '.join(missing)}"
        commands, rest = [commands[0].commands[name] for name in names], rest[1:]
    params = [param for each in commands for param in each.params]
    options = {o for each in params for o in [*each.opts, *each.secondary_opts]} | {"--help"}
    asked = {word.split("=")[0] for word in rest if word.startswith("--")}
    return f"no option {' '.join(asked - options)}" if asked - options else None


LINES = [
    (b.page, shlex.split(line, comments=True))
    for b in BLOCKS
    if b.kind == "sh"
    for line in b.commands()
]
SPANS = [
    (str(page.relative_to(ROOT)), span.split())
    for page in PAGES
    for span in re.findall(r"`(lrd [a-z][^`]*)`", page.read_text())
]


@pytest.mark.parametrize(("page", "words"), LINES + SPANS, ids=lambda part: str(part)[:60])
def test_every_command_is_one(page: str, words: list[str]) -> None:
    """Catches: an option that was renamed, a make target that is gone; in the text too."""
    words = [word for word in words if word != "&" and not re.match(r"[A-Z_]+=", word)]
    if words[0] == "make":
        targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert words[1] in targets
    elif words[0] == "lrd":
        assert known(words) is None, f"{page}: {words}"


def test_a_wrong_command_would_be_seen() -> None:
    assert known(["lrd", "submitt", "x.yaml"]) == "no command submitt"
    assert known(["lrd", "token", "ls|end"]) == "no command end"
    assert known(["lrd", "submit", "x.yaml", "--follow"]) == "no option --follow"


def test_every_variable_that_is_named_is_read() -> None:
    """Catches: a setting that was renamed, and one that no code reads."""
    code = "".join(
        path.read_text()
        for pattern in ("service/**/*.py", "tests/**/*.py", "lrd_core/**/*.py", "Dockerfile")
        for path in ROOT.glob(pattern)
    )
    settings = {f"LRD_{name.upper()}" for name in Settings.model_fields}
    for page in PAGES:
        for name in set(re.findall(r"\bLRD_[A-Z_]+\b", page.read_text())) - settings:
            assert re.search(rf"[\"' ]{name}\b", code), f"{page}: {name}"


def test_every_setting_is_read() -> None:
    code = "".join(
        path.read_text() for path in ROOT.glob("service/**/*.py") if path.name != "settings.py"
    )
    own = (ROOT / "service" / "settings.py").read_text()
    for name in Settings.model_fields:
        read = re.search(rf"\b(settings|options|Settings\(\))\.{name}\b", code)
        assert read or f"self.{name}" in own, name


# --- sweeps, Python, texts ------------------------------------------------------------------------


def test_every_sweep_and_trial_is_valid() -> None:
    documents = [
        yaml.safe_load(b.text) for b in BLOCKS if b.kind == "yaml" and b.page != "docs/plugins.md"
    ]
    assert len(documents) >= 3
    for document in documents:
        if "base" in document:
            assert expand_arms(SweepSpec.parse(document))
        else:
            assert TrialSpec.parse(document)


def test_every_python_block_is_run_by_a_test() -> None:
    counts: dict[str, int] = {}
    for b in BLOCKS:
        if b.kind == "python":
            compile(b.text, b.page, "exec")
            counts[b.page] = counts.get(b.page, 0) + 1
    assert counts == {page: len(tests) for page, tests in PYTHON.items()}
    for test in {test for tests in PYTHON.values() for test in tests}:
        assert (ROOT / test).is_file() if "/" in test else test in globals(), test


def test_the_optimizer_of_the_readme_is_made() -> None:
    import torch

    names: dict[str, Any] = {"torch": torch, "model": torch.nn.Linear(2, 2)}
    exec(block("README.md", "python", 1).text, names)
    (group,) = names["optimizer"].param_groups
    assert group["keep_prob"] == 0.5


def test_every_other_text_is_known() -> None:
    assert {(b.page, b.number) for b in BLOCKS if b.kind == ""} == TEXTS.keys()


def test_the_fault_of_the_readme_is_what_is_said() -> None:
    sweep = yaml.safe_load(block("README.md", "yaml").text)
    sweep["grid"]["optimizer.keep_prob"][1] = 2.0
    with pytest.raises(InvalidSpec) as refused:
        expand_arms(SweepSpec.parse(sweep))
    assert str(refused.value) == block("README.md", "").text.strip()


def test_the_rooms_of_the_drawing_are_there() -> None:
    drawing: Block = block("docs/architecture.md", "")
    for name in re.findall(r"\b(?:service|workers|lrd_core)[/.]\w+", drawing.text):
        place = ROOT / name.replace(".", "/")
        assert place.is_dir() or place.with_suffix(".py").is_file(), name


def test_the_message_of_the_guide_is_what_is_sent() -> None:
    code = (ROOT / "service" / "webhooks.py").read_text()
    head, body = block("docs/webhooks.md", "").text.split("\n\n")
    for name in re.findall(r"^([\w-]+):", head, re.MULTILINE):
        assert f'"{name}"' in code, name
    for name in re.findall(r'"(\w+)":', body):
        assert f'"{name}"' in code, name


def test_the_groups_of_the_guide_are_those_of_the_code() -> None:
    declared = re.findall(r'entry-points\."(.*)"', block("docs/plugins.md", "toml").text)
    assert sorted(declared) == sorted(get_args(plugins.Group))


def test_every_link_leads_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text()):
            if not target.startswith(("http://", "https://")):
                assert (page.parent / target).exists(), f"{page}: {target}"


def test_every_path_that_is_named_is_there() -> None:
    """Catches: a file that was moved, in the text."""
    rooms = "lrd_core|workers|service|migrations|tests|benchmarks|docs"
    for page in PAGES:
        for name in re.findall(rf"`((?:{rooms})/[\w./-]+)`", page.read_text()):
            if "NAME" not in name:
                assert (ROOT / name).exists(), f"{page}: {name}"
