"""The documentation's pages, and the fenced blocks that stand in them."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [
    *(ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "CHANGELOG")),
    *sorted((ROOT / "docs").rglob("*.md")),
]


@dataclass(frozen=True)
class Block:
    page: str
    """Its path from the repository's root."""
    number: int
    """From 0, among the blocks of its kind on the page."""
    kind: str
    text: str

    def commands(self) -> list[str]:
        """The shell's command lines, whole."""
        lines = self.text.replace("\\\n", " ").splitlines()
        return [line for line in lines if shlex.split(line, comments=True)]


def _blocks(page: Path) -> list[Block]:
    found, numbers = [], dict[str, int]()
    for kind, text in re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(), re.M | re.S):
        number = numbers[kind] = numbers.get(kind, -1) + 1
        found.append(Block(str(page.relative_to(ROOT)), number, kind, text))
    return found


BLOCKS = [block for page in PAGES for block in _blocks(page)]


def block(page: str, kind: str, number: int = 0) -> Block:
    """One of them."""
    (found,) = (b for b in BLOCKS if (b.page, b.kind, b.number) == (page, kind, number))
    return found
