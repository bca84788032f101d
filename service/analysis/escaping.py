"""Strings that users chose, made harmless in each format. Nothing else in a table is foreign."""

import re

_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>()#|~!&$])")
_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")

_LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#",
    "_": r"\_", "%": r"\%", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}",
    "±": r"$\pm$", "†": r"$\dagger$", "−": "$-$", "–": "--", "…": r"\ldots{}", "·": r"$\cdot$",
    # In braces they make neither ligatures nor the optional argument of a line end.
    "[": "{[}", "]": "{]}", "'": "{'}", "`": "{`}", '"': "{''}", "*": "{*}",
}  # fmt: skip


def escape_markdown(text: str) -> str:
    """`text` as one line in which no character has a meaning of its own."""
    return _MARKDOWN.sub(r"\\\1", _one_line(text))


def escape_latex(text: str) -> str:
    """`text` as one line in which no character has a meaning of its own."""
    return "".join(_LATEX.get(char, char) for char in _one_line(text))


def latex_comment(text: str) -> str:
    """`text` as one line that stays a comment."""
    return "% " + _one_line(text)


def escape_csv(text: str) -> str:
    """`text`, with an apostrophe before it where a spreadsheet would take it for a formula.

    That is a first sign of =, +, - or @, also behind white space (OWASP, CSV injection).
    """
    suspicious = text.lstrip().startswith(_FORMULA) or text.startswith(("\t", "\r", "\n"))
    return "'" + text if suspicious else text


def _one_line(text: str) -> str:
    # splitlines knows every line end there is, also the vertical ones; the rest of the control
    # characters mean nothing in a table.
    line = " ".join(text.splitlines())
    return "".join(char if char.isprintable() else " " for char in line)
