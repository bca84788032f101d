"""What a request knows of what it asks for, by its `If-None-Match` and `If-Match` (RFC 9110, 13.1):
whether a reader has the answer already, and whether a change is meant for what is there."""

import re

from fastapi import Request

_TAGS = re.compile(r'(W/)?("[^"]*")')  # commas may stand within the quotes


def knows(request: Request, tag: str) -> bool:
    """Whether it names this tag among others, weak or strong: a proxy that compresses answers
    makes their tags weak. `*` is any."""
    given = ",".join(request.headers.getlist("if-none-match"))
    return given.strip() == "*" or tag in (each for _, each in _TAGS.findall(given))


def means(request: Request, tag: str) -> bool:
    """Whether it names no tag, or this one among others; `*` is any. A weak one names none: what
    it stands for may differ."""
    lines = request.headers.getlist("if-match")
    given = ",".join(lines)
    return not lines or given.strip() == "*" or ("", tag) in _TAGS.findall(given)
