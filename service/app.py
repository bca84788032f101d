"""create_app: the routes, the errors as RFC 9457 problems, the page."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from importlib.metadata import version

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import InterfaceError, OperationalError
from starlette.exceptions import HTTPException

from lrd_core.errors import Fault, InvalidSpec
from service import access, pages
from service.api import cluster, exports, presets, results, sweeps, trials
from service.errors import ServiceError, TooMany, Unauthorized, Unavailable, Unprocessable
from service.settings import Settings
from service.store import leases
from service.store.session import Database

log = logging.getLogger(__name__)


def create_app(settings: Settings, database: Database) -> FastAPI:
    """The service's API and page over a migrated database."""

    @contextlib.asynccontextmanager
    async def reaping(_: FastAPI) -> AsyncIterator[None]:
        reaper = asyncio.create_task(_reap(database, settings.lease_seconds / 2))
        yield
        reaper.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await reaper

    app = FastAPI(
        lifespan=reaping,
        title="Learning Rate Dropout experiments",
        version=version("learning-rate-dropout"),
        description="Sweeps in, tables out. arXiv 1912.00144.",
    )
    app.state.settings, app.state.database = settings, database
    app.state.rates = access.Rates()
    nouns = (sweeps, results, exports, trials, presets, cluster)
    for noun in nouns:
        app.include_router(noun.router, prefix="/api/v1", dependencies=[Depends(access.check)])

    @app.get("/healthz", include_in_schema=False)
    def healthz() -> dict[str, str]:
        return {"status": "ok"}

    pages.mount(app)

    @app.exception_handler(ServiceError)
    def refused(_: Request, error: ServiceError) -> JSONResponse:
        answer = _problem(error.status, error.title, str(error), error.type, error.faults)
        if isinstance(error, Unauthorized):
            answer.headers["WWW-Authenticate"] = "Bearer"
        if isinstance(error, TooMany) and error.retry_after is not None:
            answer.headers["Retry-After"] = str(error.retry_after)
        return answer

    @app.exception_handler(InvalidSpec)
    def invalid(_: Request, error: InvalidSpec) -> JSONResponse:
        count = len(error.faults)
        detail = f"the spec has {count} fault{'s' if count > 1 else ''}; nothing was stored"
        kind = Unprocessable
        return _problem(kind.status, kind.title, detail, "invalid-spec", tuple(error.faults))

    @app.exception_handler(RequestValidationError)
    def wrong_parameter(_: Request, error: RequestValidationError) -> JSONResponse:
        faults = tuple(
            Fault("/".join(["", *map(str, each["loc"])]), each["msg"]) for each in error.errors()
        )
        kind = Unprocessable
        return _problem(kind.status, kind.title, "a parameter is not valid", kind.type, faults)

    @app.exception_handler(HTTPException)
    def http_error(_: Request, error: HTTPException) -> JSONResponse:
        return _problem(error.status_code, error.detail, error.detail, "about:blank")

    @app.exception_handler(OperationalError)
    @app.exception_handler(InterfaceError)
    def database_away(_: Request, error: Exception) -> JSONResponse:
        log.error("the database does not answer: %s", str(error).splitlines()[0])
        kind = Unavailable
        detail = "the database does not answer at present; try again in a few seconds"
        answer = _problem(kind.status, kind.title, detail, kind.type)
        answer.headers["Retry-After"] = "5"
        return answer

    @app.exception_handler(Exception)
    def crashed(request: Request, error: Exception) -> JSONResponse:
        log.error("%s %s failed", request.method, request.url.path, exc_info=error)
        return _problem(500, "Internal error", "the service failed; see its log", "internal-error")

    return app


async def _reap(database: Database, seconds: float) -> None:
    """With every dispatcher gone, the readers still see what became of its trials."""
    while True:
        await asyncio.sleep(seconds)
        try:
            lost = await asyncio.to_thread(leases.reap, database)
        except (OperationalError, InterfaceError):
            continue  # the requests say it
        if lost:
            log.warning("%d trials were lost with their dispatcher and are queued again", lost)


def _problem(
    status: int, title: str, detail: str, kind: str, faults: tuple[Fault, ...] = ()
) -> JSONResponse:
    errors = [{"pointer": fault.pointer, "detail": fault.detail} for fault in faults]
    content = {"type": kind, "title": title, "status": status, "detail": detail, "errors": errors}
    # A lone surrogate of the request must not break the answer about it.
    text = {
        k: v.encode(errors="replace").decode() if isinstance(v, str) else v
        for k, v in content.items()
    }
    return JSONResponse(text, status_code=status, media_type="application/problem+json")
