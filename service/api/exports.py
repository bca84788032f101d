"""Everything of a sweep as files: CSV, Parquet, a bundle; and a bundle taken in again."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from sqlalchemy.orm import Session

from service import exports
from service.access import caller_of
from service.api.context import DatabaseDep, SettingsDep, SweepId, read_body
from service.api.limits import room
from service.api.once import IdempotencyKey, Once
from service.api.openapi import gives, gives_bytes, takes_bytes
from service.api.schemas.sweeps import Sweep
from service.api.views import sweep_view
from service.bundles.checking import checked
from service.bundles.packing import pack
from service.bundles.storing import store_bundle
from service.errors import UnsupportedMedia
from service.store import sweeps as store
from service.store.session import Database

router = APIRouter(tags=["exports"])


@router.get(
    "/sweeps/{sweep_id}/export",
    **gives_bytes("text/csv", "application/vnd.apache.parquet", "application/zip"),
)
def export(
    sweep_id: SweepId,
    database: DatabaseDep,
    format: Literal["csv", "parquet", "bundle"] = "csv",
    of: Annotated[Literal["trials", "reports"], Query(description="csv and parquet")] = "reports",
) -> Response:
    """All trials or all epoch reports, nothing sampled; or a zip of everything (`bundle`)."""
    if format == "bundle":
        return _zip(pack(database, sweep_id), f"{sweep_id}.zip")
    with database.read() as session:
        store.get(session, sweep_id)
        if format == "parquet":
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "rows.parquet"
                exports.write_parquet(session, sweep_id, of, path)
                content = path.read_bytes()
            kind = "application/vnd.apache.parquet"
            return _download(content, f"{sweep_id}-{of}.parquet", kind)
    return StreamingResponse(
        _csv(database, sweep_id, of),
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{sweep_id}-{of}.csv"'},
    )


@router.post("/import", **gives(Sweep, 201), **takes_bytes("application/zip"))
async def import_bundle(
    request: Request,
    database: DatabaseDep,
    settings: SettingsDep,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Take in a bundle that another service made; the body is the zip.

    Its sweep keeps its id and becomes the sender's. What no service would have written is refused,
    by file and row; so is one of more trials than the token may submit.
    """
    if request.headers.get("content-type", "").split(";")[0] != "application/zip":
        raise UnsupportedMedia("send the bundle as application/zip")
    content = await read_body(request, settings.max_bundle_bytes, settings.body_seconds)
    once, caller = Once(request, database, content, idempotency_key), caller_of(request)

    def take() -> Response:
        # All that takes time comes before the transaction.
        with checked(content, caller.max_sweep_trials) as bundle:

            def keep(session: Session) -> dict[str, Any]:
                room(session, caller, bundle.retryable, "of the bundle could join them by a retry")
                return sweep_view(store_bundle(session, bundle, caller.owner))

            return once.create(keep, "/api/v1/sweeps")

    return await run_in_threadpool(take)


def _csv(database: Database, sweep_id: str, of: str) -> Iterator[str]:
    with database.read() as session:
        yield from exports.csv_lines(session, sweep_id, of)


def _zip(file: IO[bytes], name: str) -> Response:
    size = file.seek(0, os.SEEK_END)
    file.seek(0)

    def parts() -> Iterator[bytes]:
        with file:
            while part := file.read(1 << 16):
                yield part

    headers = {
        "Content-Disposition": f'attachment; filename="{name}"',
        "Content-Length": str(size),
    }
    return StreamingResponse(parts(), media_type="application/zip", headers=headers)


def _download(content: bytes, name: str, kind: str) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(content, media_type=kind, headers=headers)
