"""Writes the pages that are made from the code: docs/errors.md. `--check` only compares."""

import sys
import textwrap
from pathlib import Path

from service import problems

HERE = Path(__file__).parent


def errors() -> str:
    """Every type of problem, by its status."""
    parts = [
        "# Errors",
        "Every refusal is `application/problem+json` (RFC 9457): `type`, `title`, `status`, "
        "`detail`, and `errors`, a list of `{pointer, detail}` where several places are wrong. "
        "The service shows this page at `/errors`.",
    ]
    for kind in problems.kinds():
        parts += [
            f"## {kind.status} {kind.title}",
            f"`/errors#{kind.type}`",
            problems.explanation(kind),
        ]
    return "\n\n".join(textwrap.fill(part, 120) for part in parts) + "\n"


PAGES = {"errors.md": errors}


def main() -> int:
    """Write the pages, or say which are not as the code says."""
    stale = []
    for name, make in PAGES.items():
        path, text = HERE / name, make()
        if not path.exists() or path.read_text() != text:
            stale.append(name)
            if "--check" not in sys.argv:
                path.write_text(text)
    return int(bool(stale) and "--check" in sys.argv)


if __name__ == "__main__":
    sys.exit(main())
