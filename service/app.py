"""create_app: the routes, the page, and the background work: requeue lost trials, send webhooks,
purge deleted sweeps."""

import asyncio
import contextlib
import functools
import logging
from collections.abc import AsyncIterator, Callable
from functools import partial

from fastapi import APIRouter, Depends, FastAPI
from sqlalchemy.exc import SQLAlchemyError

from lrd_core.errors import first_line
from service import access, health, pages, problems, reference
from service.api import (
    audit,
    cluster,
    exports,
    openapi,
    presets,
    refusals,
    results,
    sweeps,
    trials,
    webhooks,
)
from service.api.context import known_parameters
from service.front import Front
from service.metrics import Metrics
from service.purge import Purger
from service.results_cache import ResultsCache
from service.settings import Settings
from service.store import answers, leases, tokens
from service.store.session import Database
from service.versions import VERSION
from service.webhooks import Sender

log = logging.getLogger(__name__)


def create_app(settings: Settings, database: Database) -> FastAPI:
    """The service's API and page over a migrated database."""
    uses = access.Uses()

    @contextlib.asynccontextmanager
    async def working(_: FastAPI) -> AsyncIterator[None]:
        sender = Sender(database, private=settings.webhook_private)
        tasks = [
            asyncio.create_task(_housekeeping(database, uses, settings.lease_seconds / 2)),
            asyncio.create_task(_send(sender)),
        ]
        purger = Purger(database, settings.trials, settings.lease_seconds)
        purger.start()
        yield
        sender.close()  # wait for its thread
        await asyncio.to_thread(purger.close)
        for task in tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    app = FastAPI(
        lifespan=working,
        title="Learning Rate Dropout experiments",
        version=VERSION,
        description="Sweeps in, tables out. arXiv 1912.00144.",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.settings, app.state.database = settings, database
    app.state.rates, app.state.uses = access.Rates(), uses
    app.state.metrics = Metrics(database)
    app.state.results = ResultsCache(database)
    app.router.routes.extend(_api().routes)
    app.include_router(health.router)
    problems.mount(app)
    reference.mount(app)
    pages.mount(app)
    openapi.complete(app)
    app.add_middleware(Front, metrics=app.state.metrics)
    return app


@functools.cache
def _api() -> APIRouter:
    """The routes of every noun, made once per process: they hold nothing of an application, and
    what the first request derives from them takes 50 ms. Each test has an application of its own.
    """
    router = APIRouter(
        prefix="/api/v1",
        dependencies=[
            Depends(access.check),
            Depends(openapi.declared),
            Depends(known_parameters),
        ],
        responses=openapi.PROBLEMS,
    )
    nouns = (sweeps, results, exports, trials, refusals, presets, cluster, webhooks, audit)
    for noun in nouns:
        router.include_router(noun.router)
    return router


async def _housekeeping(database: Database, uses: access.Uses, seconds: float) -> None:
    """Keep the database tidy, also while no dispatcher runs."""
    steps: dict[str, Callable[[], object]] = {
        "looking after dispatchers": partial(_look_after, database, leases.Lookout(database)),
        "forgetting old idempotency keys": partial(_forget_answers, database),
        "noting which tokens were used": partial(_note_uses, database, uses),
    }
    while True:
        await asyncio.sleep(seconds)
        for name, step in steps.items():
            try:
                await asyncio.to_thread(step)
            except Exception as error:
                _note_failure(name, error)
                break


def _note_failure(what: str, error: Exception) -> None:
    """Log what failed, and an error that nobody foresaw in full: background work goes on after any
    error, because nobody would notice that it has ended."""
    foreseen = isinstance(error, SQLAlchemyError)  # away, or its schema is being changed
    log.warning("%s failed: %s", what, first_line(error), exc_info=None if foreseen else error)


def _look_after(database: Database, lookout: leases.Lookout) -> None:
    """Once the leading dispatcher is gone, requeue its trials and tell the sweeps that wait."""
    if lookout.gone():
        if lost := leases.reap(database):
            log.warning("%d trials were lost with their dispatcher and are queued again", lost)
        leases.note_no_dispatcher_leads(database)


async def _send(sender: Sender) -> None:
    """Send webhooks within a second or two."""
    while True:
        await asyncio.sleep(1)
        try:
            await asyncio.to_thread(sender.step)
        except Exception as error:
            _note_failure("sending webhooks", error)


def _forget_answers(database: Database) -> None:
    """Forget idempotency keys that are too old."""
    with database.read() as session:
        if not answers.any_old(session):
            return
    with database.write() as session:
        answers.forget(session)


def _note_uses(database: Database, uses: access.Uses) -> None:
    """Note when tokens were last used."""
    if used := uses.take():
        with database.write() as session:
            tokens.used(session, used)
