"""/healthz, /readyz, /metrics: for monitoring the service."""

from typing import Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST

from service import access
from service.api.context import DatabaseDep
from service.metrics import Metrics
from service.store import leases
from service.store.away import AWAY
from service.store.session import Database

router = APIRouter(include_in_schema=False)


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """Liveness: this process answers. It depends on nothing else, so it can decide on restarts:
    not even on a free thread, because all may be waiting for the database."""
    return {"status": "ok"}


@router.get("/readyz")
def readyz(database: DatabaseDep) -> JSONResponse:
    """Readiness: whether a sweep would run now.

    503 unless the database answers, a dispatcher leads and Ray has nodes. An API without a
    dispatcher still accepts sweeps.
    """
    parts = _parts(database)
    ready = all(part == "ok" for part in parts.values())
    return JSONResponse({"ready": ready, **parts}, 200 if ready else 503)


@router.get("/metrics", dependencies=[Depends(access.check)])
def metrics(request: Request) -> Response:
    """Metrics for Prometheus. Once tokens exist, one with the role viewer is needed."""
    found: Metrics = request.app.state.metrics
    return Response(found.text(), media_type=CONTENT_TYPE_LATEST)


def _parts(database: Database) -> dict[str, Any]:
    try:
        with database.read() as session:
            lease = leases.current(session)
    except AWAY:
        unknown = "not known: the database does not answer"
        return {"database": "does not answer", "dispatcher": unknown, "ray": unknown}
    if lease is None:
        return {"database": "ok", "dispatcher": "none leads", "ray": "not known: none leads"}
    return {"database": "ok", "dispatcher": "ok", "ray": "ok" if lease.nodes else "has no node"}
