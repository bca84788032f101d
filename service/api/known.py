"""Whether a reader has an answer already, by its `If-None-Match` (RFC 9110, 13.1.2)."""

import re

from fastapi import Request

_TAGS = re.compile(r'(?:W/)?("[^"]*")')  # commas may stand within the quotes


def knows(request: Request, tag: str) -> bool:
    """Whether it names this tag among others, weak or strong: a proxy that compresses answers
    makes their tags weak. `*` is any."""
    given = ",".join(request.headers.getlist("if-none-match"))
    return given.strip() == "*" or tag in _TAGS.findall(given)
