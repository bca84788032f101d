"""Escape strings that users chose, the only foreign content of a table, for each format."""

import html
import re

_MARKDOWN = re.compile(
    r"""[\\`|$]                                  # code, table cells, GitHub's mathematics
    | \[ (?=.*\])                               # links
    | (?<!\s) [*~] | [*~] (?!\s)                # between blanks they are themselves
    | (?<![^\W_]) _ | _ (?![^\W_])              # emphasis never starts or ends within a word
    | < (?=[A-Za-z/!?])                         # HTML, addresses
    | & (?=\#?\w+;)                             # entities
    | ^ (?: [-+](?=\s|$) | \#{1,6}(?=\s|$) | > | [-=]+$ )  # lists, headings, quotations
    """,
    re.VERBOSE,
)
_NUMBERED = re.compile(r"^(\d{1,9})([.)])(?=\s|$)")
_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")

_LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#",
    "_": r"\_", "%": r"\%", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}",
    "±": r"$\pm$", "×": r"$\times$", "→": r"$\to$", "†": r"$\dagger$", "−": "$-$",
    "–": r"\textendash{}", "…": r"\ldots{}", "·": r"$\cdot$",
    # Typographic quotes, and the ligatures of a doubled one.
    "'": r"\textquotesingle{}", "`": r"\textasciigrave{}",
    # Outside braces they would be taken for the argument or the star of a line end.
    "[": "{[}", "]": "{]}", "*": "{*}",
}  # fmt: skip


def escape_markdown(text: str) -> str:
    """`text` as one line that GitHub's Markdown shows unchanged.

    Only what Markdown would interpret is escaped: `p = 0.5`, `(%)` and `keep_prob` stay.
    """
    line = _MARKDOWN.sub(r"\\\g<0>", _one_line(text).strip())
    return _NUMBERED.sub(r"\1\\\2", line)


def escape_latex(text: str) -> str:
    """`text` as one line in which no character has a special meaning to LaTeX."""
    safe = "".join(_LATEX.get(char, char) for char in _one_line(text))
    return re.sub(r"([-,])(?=\1)", r"\1\\/", safe)  # two would become a dash, or a quote


def latex_label(*of: str) -> str:
    """The label by which a table `of` these is cited: `tab:SWEEP-test-accuracy-last`."""
    return "tab:" + re.sub(r"[^A-Za-z0-9]+", "-", " ".join(of)).strip("-")


def latex_comment(text: str) -> str:
    """`text` as one line that stays a comment."""
    return "% " + _one_line(text)


def escape_csv(text: str) -> str:
    """`text`, preceded by an apostrophe if a spreadsheet would take it for a formula.

    That is, if it begins with =, +, - or @, possibly after white space (OWASP, CSV injection). It
    also gets one if apostrophes of its own precede such a sign, so that `unescape_csv` can tell
    them apart. Carriage returns become line feeds, because `csv` writes them without quotes, and
    readers end the line there.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    bare = text.lstrip("'")
    suspicious = bare.lstrip().startswith(_FORMULA) or bare.startswith(("\t", "\n"))
    return "'" + text if suspicious else text


def unescape_csv(text: str) -> str:
    """Undo `escape_csv`, except for carriage returns."""
    return text[1:] if text.startswith("'") and escape_csv(text[1:]) == text else text


def escape_html(text: str) -> str:
    """`text` as one line in which a page, or Plotly, finds no tag and no entity."""
    return html.escape(_one_line(text), quote=False)


def _one_line(text: str) -> str:
    # splitlines knows all line ends, including the vertical ones; other control characters mean
    # nothing in a table.
    line = " ".join(text.splitlines())
    return "".join(char if char.isprintable() else " " for char in line)
