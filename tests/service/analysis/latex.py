"""A strict reader of the LaTeX that `render.latex` writes: no engine is needed to run it.

It knows the few commands that a table uses and refuses everything else, so that a character of a
user's label with a meaning of its own is an error here as it would be in LaTeX.
"""

import re

_TOKEN = re.compile(r"\\[A-Za-z]+|\\.|[{}$&%#_^~\n]|[^\\{}$&%#_^~\n]+", re.DOTALL)
_LIGATURE = re.compile("--|``|''|[?!]`|<<|>>|,,")
_COMMANDS = {
    r"\begin", r"\end", r"\centering", r"\caption", r"\label",
    r"\toprule", r"\midrule", r"\bottomrule",
    r"\cmidrule", r"\multicolumn", r"\emph", r"\par", r"\smallskip", r"\medskip", r"\footnotesize",
}  # fmt: skip
_IN_MATHS = {r"\mathbf", r"\pm", r"\dagger", r"\times", r"\cdot", r"\to"}
_SIGNS = {
    r"\\": "\n", r"\/": "", r"\{": "{", r"\}": "}", r"\$": "$", r"\&": "&", r"\#": "#", r"\_": "_",
    r"\%": "%", r"\textbackslash": "\\", r"\textasciitilde": "~", r"\textasciicircum": "^",
    r"\textless": "<", r"\textgreater": ">", r"\textbar": "|", r"\textendash": "–",
    r"\ldots": "…", r"\pm": "±",
    r"\dagger": "†", r"\cdot": "·", r"\times": "×", r"\to": "→", r"\textquotesingle": "'",
    r"\textasciigrave": "`",
}  # fmt: skip


class Invalid(Exception):
    """LaTeX would stop here, or read something else than is meant."""


def check(source: str) -> None:
    """Braces, mathematics, environments and the number of cells in each row.

    Raises:
        Invalid: with the reason.
    """
    lines = _lines(source)
    depth, maths, environments = 0, False, []
    tokens = _TOKEN.findall("\n".join(lines))
    for index, token in enumerate(tokens):
        if token == "{":
            depth += 1
        elif token == "}":
            depth -= 1
            if depth < 0:
                raise Invalid("a brace closes that was not open")
        elif token == "$":
            maths = not maths
        elif token in "%#~":
            raise Invalid(f"a bare {token}")
        elif token in "_^" and not maths:
            raise Invalid(f"a bare {token} outside mathematics")
        elif token.startswith("\\"):
            known = token in _IN_MATHS if maths else token in _COMMANDS | _SIGNS.keys() - _IN_MATHS
            if not known:
                raise Invalid(f"{token} is unknown{' in mathematics' if maths else ''}")
        elif _LIGATURE.search(token):
            raise Invalid(f"a ligature would change {token!r}")
        elif token == "\n" and maths:
            raise Invalid("mathematics runs over the end of a line")
        if token in (r"\begin", r"\end"):
            name = tokens[index + 2]
            if token == r"\begin":
                environments.append(name)
            elif environments.pop() != name:
                raise Invalid(f"{name} ends another environment")
    if depth or maths or environments:
        raise Invalid(f"left open: {depth} braces, {environments}, mathematics: {maths}")
    for begin, rows in _tabulars(lines):
        for row in rows:
            if _width(row) != len(begin):
                raise Invalid(f"{_width(row)} cells where {len(begin)} are announced: {row}")


def cells(source: str) -> list[list[str]]:
    """The rows of the first tabular, each cell as it reads when printed."""
    (_, rows), *_ = _tabulars(_lines(source))
    return [[printed(cell) for cell in _split(row)] for row in rows]


def printed(text: str) -> str:
    """What a piece of it prints; a blank behind a command ends it, as in LaTeX."""
    text = text.replace("$-$", "−")
    text = re.sub(r"\\(?:mathbf|emph|footnotesize)\b ?", "", text)
    text = re.sub(r"\\multicolumn\{\d+\}\{c\}", "", text)
    text = text.replace("{[}", "[").replace("{]}", "]").replace("{*}", "*")
    text = re.sub(r"\\[A-Za-z]+(?:\{\}| )?|\\.", lambda m: _sign(m[0]), text)
    text = re.sub(r"[{}$]", "", text)  # those that were escaped stand aside by now
    return text.replace("\ue000", "{").replace("\ue001", "}").replace("\ue002", "$").strip()


def _sign(command: str) -> str:
    sign = _SIGNS[command.rstrip(" ").removesuffix("{}")]
    return {"{": "\ue000", "}": "\ue001", "$": "\ue002"}.get(sign, sign)


def _lines(source):
    """Without comments; behind a row there are but three kinds of them."""
    whole = [line for line in source.splitlines() if not line.startswith("%")]
    behind = r"(?<=\\\\) % (arm numbers [^&{}]*|lrd (effect|comparison) .*)$"
    return [re.sub(behind, "", line) for line in whole]


def _tabulars(lines):
    found, rows = [], None
    for line in lines:
        begins = re.match(r"\\begin\{tabular\}\{([lcr]*)\}", line)
        if begins:
            rows = []
            found.append((begins[1], rows))
        elif line == r"\end{tabular}":
            rows = None
        elif rows is not None and not re.match(r"\\(top|mid|bottom|cmid)rule", line):
            if not line.endswith(r"\\"):
                raise Invalid(f"a row without an end: {line}")
            rows.append(line.removesuffix(r"\\"))
    return found


def _split(row):
    return re.split(r"(?<!\\)&", row)


def _width(row):
    spans = [re.match(r"\s*\\multicolumn\{(\d+)\}", cell) for cell in _split(row)]
    return sum(int(span[1]) if span else 1 for span in spans)
