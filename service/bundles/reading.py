"""A bundle's files: sizes are checked first, then they are read line by line against their sums."""

import contextlib
import hashlib
import io
import json
import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO, TypeVar

from pydantic import BaseModel, ValidationError

from lrd_core.configuration import Spec
from lrd_core.documents import parse_json
from lrd_core.errors import InvalidSpec
from lrd_core.faults import fault_of
from service.bundles.rows import ROWS
from service.bundles.tables import VERSION
from service.errors import Unprocessable

MAX_UNPACKED = 2 << 30
"""A bundle that unpacks to more bytes is refused."""
DOCUMENTS = {"sweep", "arms"}
"""Files whose rows contain what users wrote, which is read as a request's body is."""
MAX_LINE = 16 << 20
"""Bytes of one row. The largest is the sweep's, because its spec was once a request's body."""

R = TypeVar("R", bound=Spec)


class Files:
    """The rows in a bundle.

    Raises:
        Unprocessable: it is not a bundle, or unpacks to too many bytes.
    """

    def __init__(self, content: bytes) -> None:
        with _zip_faults():
            self._zip = zipfile.ZipFile(io.BytesIO(content))
            # `zipfile` reads no more of a file than its entry states, so this limits the output.
            if sum(entry.file_size for entry in self._zip.infolist()) > MAX_UNPACKED:
                raise Unprocessable(f"the bundle unpacks to more than {MAX_UNPACKED} bytes")
            sums = self._whole("SHA256SUMS").decode().splitlines()
            listed = {name: sha256 for sha256, _, name in (line.partition("  ") for line in sums)}
            for name in ("version.json", *(f"{table}.jsonl" for table in ROWS)):
                if self._sum(f"rows/{name}") != listed.get(f"rows/{name}"):
                    raise Unprocessable(f"rows/{name} is not what the bundle was made with")
            stated = json.loads(self._whole("rows/version.json"))
            if not isinstance(stated, dict) or stated.get("version") != VERSION:
                raise Unprocessable(f"this service reads bundles of version {VERSION}")

    def rows(self, name: str, kind: type[R]) -> Iterator[tuple["Place", R]]:
        """Each row of rows/NAME.jsonl with its place.

        Raises:
            Unprocessable: a row does not belong to this table, or the file has been changed.
        """
        assert ROWS[name] is kind
        with _zip_faults():
            for number, line in enumerate(self._lines(f"rows/{name}.jsonl"), start=1):
                place = Place(name, number)
                try:
                    if name in DOCUMENTS:
                        row = kind.model_validate(parse_json(line.decode()))
                    else:
                        row = kind.model_validate_json(line)
                except InvalidSpec as error:
                    raise place.wrong(error.faults[0].detail) from None
                except ValidationError as error:
                    raise place.wrong(_said(error, line, kind)) from None
                yield place, row

    # --- inside -----------------------------------------------------------------------------------

    def _whole(self, name: str) -> bytes:
        with self._open(name) as file:
            data: bytes = file.read(MAX_LINE)
        if len(data) == MAX_LINE:
            raise Unprocessable(f"{name} has more than {MAX_LINE} bytes")
        return data

    def _sum(self, name: str) -> str:
        sha256 = hashlib.sha256()
        with self._open(name) as file:
            while part := file.read(1 << 20):
                sha256.update(part)
        return sha256.hexdigest()

    def _lines(self, name: str) -> Iterator[bytes]:
        with self._open(name) as file:
            while line := file.readline(MAX_LINE):
                if len(line) == MAX_LINE:
                    raise Unprocessable(f"a row of {name} has more than {MAX_LINE} bytes")
                yield line

    def _open(self, name: str) -> IO[bytes]:
        entry = self._zip.getinfo(name)
        # Other methods' decoders allocate as much memory as the entry demands.
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise Unprocessable(f"{name} is compressed by another method than deflate")
        # Its own `readline` is slow, and returns more than asked for.
        return io.BufferedReader(self._zip.open(entry), 1 << 16)  # type: ignore[type-var]


class Place:
    """Where a row is: its file and line."""

    def __init__(self, name: str, number: int) -> None:
        self.name, self.number = name, number

    def wrong(self, why: str) -> Unprocessable:
        """The error that says what is wrong at this place."""
        return Unprocessable(f"rows/{self.name}.jsonl, row {self.number}: {why}")


@contextlib.contextmanager
def _zip_faults() -> Iterator[None]:
    try:
        yield
    except KeyError as error:
        raise Unprocessable(f"this is no bundle: {error.args[0]}") from None
    except (
        zipfile.BadZipFile, zlib.error, struct.error, EOFError, ValueError, OSError,
        RuntimeError, NotImplementedError, OverflowError,
    ) as error:  # fmt: skip
        raise Unprocessable(f"this is no bundle: {error}") from None


_OTHER_COLUMNS = ("extra_forbidden", "missing")


def _said(error: ValidationError, line: bytes, kind: type[BaseModel]) -> str:
    details = error.errors(include_url=False)
    if any(each["type"] in _OTHER_COLUMNS and len(each["loc"]) == 1 for each in details):
        return "has other columns than this service"
    try:
        document = json.loads(line)
    except (ValueError, RecursionError):
        document = None
    fault = fault_of(details[0], document, kind)
    more = f" (and {len(details) - 1} more)" if len(details) > 1 else ""
    return f"{fault.pointer}: {fault.detail}{more}" if fault.pointer else f"{fault.detail}{more}"
