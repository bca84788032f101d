"""Bundles that no service made: a real one with rows changed, and sums that fit."""

import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from fastapi.testclient import TestClient
from httpx2 import Response

Rows = dict[str, list[Any]]
"""File of rows/ -> its rows."""
NAMES = ("sweep", "arms", "trials", "attempts", "reports", "events")
ELSEWHERE = "0123456789ab"
"""The id of a sweep that is not here."""


def files_of(bundle: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(bundle)) as read:
        return {each: read.read(each) for each in read.namelist()}


def zipped(files: dict[str, bytes], kind: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip of these files, with sums that fit."""
    sums = "".join(
        f"{hashlib.sha256(data).hexdigest()}  {name}\n"
        for name, data in files.items()
        if name != "SHA256SUMS"
    )
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", kind) as write:
        for name, data in (files | {"SHA256SUMS": sums.encode()}).items():
            write.writestr(name, data)
    return out.getvalue()


def forged(
    bundle: bytes,
    change: Callable[[Rows], Any],
    sweep_id: str = ELSEWHERE,
    names: Mapping[str, str] = MappingProxyType({}),
) -> bytes:
    """The bundle as one of the sweep `sweep_id`, with its rows changed; in what is then written
    there, texts that are `names` become what they name."""
    files = files_of(bundle)
    rows: Rows = {
        name: [json.loads(line) for line in files[f"rows/{name}.jsonl"].splitlines()]
        for name in NAMES
    }
    rows["sweep"][0]["id"] = sweep_id
    for name in ("arms", "trials", "events"):
        for row in rows[name]:
            row["sweep_id"] = sweep_id
    change(rows)
    for name in NAMES:
        text = "".join(f"{json.dumps(row)}\n" for row in rows[name])
        for old, new in names.items():
            text = text.replace(f'"{old}"', f'"{new}"')
        files[f"rows/{name}.jsonl"] = text.encode()
    return zipped(files)


def sent(api: TestClient, content: bytes, **headers: str) -> Response:
    return api.post(
        "/api/v1/import", content=content, headers={"Content-Type": "application/zip"} | headers
    )
