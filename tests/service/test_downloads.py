"""A file that somebody downloads: whole before its first byte is sent, gone after the last."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import update
from starlette.types import ASGIApp, Message

from service.api import download
from service.api.download import Download, made
from service.app import create_app
from service.settings import Settings
from service.store.models import Sweep
from service.store.session import Database
from tests.conftest import small_sweep
from tests.seeded import seed

Reader = Callable[[bytes], bool]
"""Takes a part of the body; False where it goes away instead of taking another."""


def ask(app: ASGIApp, path: str, query: str, reader: Reader) -> dict[bytes, bytes]:
    """GET it as uvicorn does: a reader that goes is told by `receive`. The answer's headers."""
    sent: list[Message] = []

    async def asked() -> None:
        gone = asyncio.Event()

        async def receive() -> Message:
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            sent.append(message)
            if message.get("body") and not reader(message["body"]):
                gone.set()
                await asyncio.Event().wait()  # nobody takes the rest

        await app(scope, receive, send)

    scope = {
        "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1",
        "method": "GET", "scheme": "http", "path": path, "raw_path": path.encode(),
        "query_string": query.encode(), "root_path": "", "headers": [(b"host", b"127.0.0.1")],
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80),
    }  # fmt: skip
    asyncio.run(asyncio.wait_for(asked(), 60))
    assert sent[0]["status"] == 200
    return dict(sent[0]["headers"])


def in_use(database: Database) -> int:
    return int(database.engine.pool.checkedout())  # type: ignore[attr-defined]


class TestExport:
    @pytest.fixture
    def path(self, database: Database) -> str:
        """Of a sweep whose reports are several parts of a file."""
        base = small_sweep()["base"] | {"epochs": 20}
        return f"/api/v1/sweeps/{seed(database, small_sweep(base=base, seeds=50))}/export"

    @pytest.mark.parametrize("form", ["csv", "parquet"])
    def test_everybody_writes_while_somebody_reads(
        self, settings: Settings, database: Database, path: str, form: str
    ) -> None:
        # Catches: a slow download that kept SQLite's lock from every writer, and that PostgreSQL
        # cut off after five seconds without a question.
        got: list[bytes] = []

        def slow(part: bytes) -> bool:
            got.append(part)
            assert in_use(database) == 0
            with database.write() as session:
                session.execute(update(Sweep).values(priority=Sweep.priority + 1))
            return True

        headers = ask(create_app(settings, database), path, f"format={form}", slow)
        assert int(headers[b"content-length"]) == len(b"".join(got)) > 0

    def test_a_reader_that_goes_leaves_no_transaction(
        self, settings: Settings, database: Database, path: str
    ) -> None:
        # Catches: a transaction that an aborted download kept until the garbage was collected.
        ask(create_app(settings, database), path, "", lambda _: False)
        assert in_use(database) == 0


class TestFile:
    @pytest.mark.parametrize("stays", [True, False])
    def test_is_gone_once_it_was_sent_or_its_reader_went(
        self, monkeypatch: pytest.MonkeyPatch, stays: bool
    ) -> None:
        # Catches: files of aborted downloads that fill the disk.
        monkeypatch.setattr(download, "CHUNK", 10)
        file = made(lambda out: out.writelines([b"0123456789"] * 3))
        ask(Download(file, "a.csv", "text/csv"), "/", "", lambda _: stays)
        assert file.closed

    def test_is_sent_in_parts(self, monkeypatch: pytest.MonkeyPatch) -> None:
        # Catches: a file that is read into memory as a whole.
        monkeypatch.setattr(download, "CHUNK", 10)
        sizes: list[int] = []

        def count(part: bytes) -> bool:
            sizes.append(len(part))
            return True

        file = made(lambda out: out.writelines([b"12345"] * 5))
        ask(Download(file, "a.csv", "text/csv"), "/", "", count)
        assert sizes == [10, 10, 5]

    def test_is_gone_if_it_could_not_be_written(self) -> None:
        # Catches: an open file for each export that the database broke off.
        files: list[Any] = []

        def breaks(out: Any) -> None:
            files.append(out)
            raise RuntimeError("the database is away")

        with pytest.raises(RuntimeError, match="away"):
            made(breaks)
        assert files[0].closed
