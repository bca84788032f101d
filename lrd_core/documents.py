"""Text to plain data, strictly: JSON (RFC 8259) and the JSON-compatible core of YAML 1.2.

PyYAML reads YAML 1.1, where `1e-3` is a string and `on` is true. A spec must mean the same in both
notations, so scalars are resolved by the YAML 1.2 core schema. Duplicate keys, anchors and tags are
refused: no spec needs them, and each has been used to attack parsers.
"""

import json
import re
import sys
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any, NoReturn

import yaml

from lrd_core.errors import Fault, InvalidSpec, LRDError

MAX_DEPTH = 32
"""Deepest nesting accepted; a sweep spec needs 6."""

_SafeLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Yaml12(_SafeLoader):  # type: ignore[misc]
    """A safe loader with the YAML 1.2 core schema and unique keys."""

    yaml_implicit_resolvers: dict[str, Any] = {}

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        pairs = [
            (self.construct_object(key, deep=True), self.construct_object(value, deep=True))
            for key, value in node.value
        ]
        return _unique(pairs, [key.start_mark.line + 1 for key, _ in node.value])


def _construct_yaml_map(loader: _Yaml12, node: yaml.MappingNode) -> dict[Any, Any]:
    return loader.construct_mapping(node, deep=True)


_Yaml12.add_constructor("tag:yaml.org,2002:map", _construct_yaml_map)
_INT = r"[-+]?[0-9]+"
_FLOAT = (
    r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)
for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", _INT, list("-+0123456789")),
    ("float", _FLOAT, list("-+.0123456789")),
):
    _Yaml12.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), _first
    )
# PyYAML's own integers are those of YAML 1.1, where 010 is eight.
_Yaml12.add_constructor(
    "tag:yaml.org,2002:int", lambda loader, node: int(loader.construct_scalar(node))
)


def read(file: Path) -> str:
    """The text in `file`; `-` is standard input.

    Raises:
        LRDError: it is not UTF-8.
        OSError: it cannot be read.
    """
    piped = str(file) == "-"
    content = sys.stdin.buffer.read() if piped else file.read_bytes()
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        wrong = f"byte 0x{content[error.start]:02x} in line {line}"
        name = "standard input" if piped else file
        raise LRDError(f"{name} is not UTF-8 ({wrong}): save it as UTF-8") from None


def parse_json(text: str) -> Any:
    """The document in `text`.

    Raises:
        InvalidSpec: it is not JSON, has a duplicate key, NaN or Infinity, or nests too deep.
    """
    try:
        document = json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse_constant)
        _refuse_deep(document)
    except json.JSONDecodeError as error:
        _refuse(f"not valid JSON: {error.msg} at line {error.lineno} column {error.colno}")
    except RecursionError:
        _refuse(f"nested deeper than {MAX_DEPTH} levels")
    except ValueError as error:  # an integer of more digits than Python converts
        if isinstance(error, InvalidSpec):
            raise
        _refuse(f"not valid JSON: {error}")
    return document


def parse_yaml(text: str) -> Any:
    """The one document in `text`, read by the YAML 1.2 core schema.

    Raises:
        InvalidSpec: it is not YAML, has a duplicate key, an anchor or a tag, or nests too deep.
    """
    try:
        _refuse_yaml_tricks(text)
        # A SafeLoader: it builds plain data only.
        return yaml.load(text, Loader=_Yaml12)  # noqa: S506
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1} column {mark.column + 1}" if mark else ""
        if mark and text[mark.index : mark.index + 1] == "\t":
            where += ": a tab; indent by spaces"
        _refuse(f"not valid YAML: {getattr(error, 'problem', None) or error}{where}")
    except ValueError as error:
        if isinstance(error, InvalidSpec):
            raise
        _refuse(f"not valid YAML: {error}")


def has_comment(text: str) -> bool:
    """Whether YAML drops a part of `text` as a comment. The text is what `parse_yaml` accepts."""
    spans = [
        (event.start_mark.index, event.end_mark.index)
        for event in yaml.parse(text, Loader=_SafeLoader)
        if isinstance(event, yaml.ScalarEvent) and event.start_mark and event.end_mark
    ]
    # Outside of its scalars, YAML has no other use for the sign.
    return any(
        char == "#" and not any(start <= at < end for start, end in spans)
        for at, char in enumerate(text)
    )


# --- inside ---------------------------------------------------------------------------------------


def _refuse_yaml_tricks(text: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=_SafeLoader):
        line = event.start_mark.line + 1 if event.start_mark else 0
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            _refuse(f"anchors and aliases are not accepted (line {line}); write the value out")
        if tag := getattr(event, "tag", None):
            _refuse(f"the tag {tag!r} is not accepted (line {line}); a spec is plain data")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                _refuse(f"nested deeper than {MAX_DEPTH} levels")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _unique(pairs: list[tuple[Any, Any]], lines: Sequence[int] = ()) -> dict[Any, Any]:
    """The pairs as a mapping; `lines`: each key's line, if known."""
    document: dict[Any, Any] = {}
    for (key, value), line in zip_longest(pairs, lines):
        where = f" (line {line})" if line else ""
        if not isinstance(key, str):
            point = ", and decimal numbers with a point" if type(key) in (int, float) else ""
            _refuse(f"the key {key!r} is not a string{where}; write it in quotes{point}")
        if key in document:
            _refuse(f"the key {key!r} occurs twice in one mapping{where}")
        document[key] = value
    return document


def _refuse_constant(name: str) -> NoReturn:
    _refuse(f"{name} is not JSON; numbers must be finite")


def _refuse_deep(document: Any) -> None:
    level = [document]
    for _ in range(MAX_DEPTH + 1):
        level = [
            child
            for node in level
            if isinstance(node, dict | list)
            for child in (node.values() if isinstance(node, dict) else node)
        ]
        if not level:
            return
    _refuse(f"nested deeper than {MAX_DEPTH} levels")


def _refuse(detail: str) -> NoReturn:
    raise InvalidSpec([Fault("", detail)])
