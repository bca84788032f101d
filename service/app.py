"""create_app: the routes, the page, and what it does besides: trials that a dispatcher has
lost are given back, webhooks are told, deleted sweeps are purged."""

import asyncio
import contextlib
import functools
import logging
from collections.abc import AsyncIterator

from fastapi import APIRouter, Depends, FastAPI
from sqlalchemy.exc import SQLAlchemyError

from service import access, health, pages, problems, reference
from service.api import audit, cluster, exports, openapi, presets, results, sweeps, trials, webhooks
from service.api.context import known_parameters
from service.front import Front
from service.metrics import Metrics
from service.pictures import Pictures
from service.purge import Purger
from service.settings import Settings
from service.store import answers, leases
from service.store.session import Database
from service.versions import VERSION
from service.webhooks import Sender

log = logging.getLogger(__name__)


def create_app(settings: Settings, database: Database) -> FastAPI:
    """The service's API and page over a migrated database."""

    @contextlib.asynccontextmanager
    async def working(_: FastAPI) -> AsyncIterator[None]:
        sender = Sender(database, private=settings.webhook_private)
        tasks = [
            asyncio.create_task(_reap(database, settings.lease_seconds / 2)),
            asyncio.create_task(_send(sender)),
        ]
        purger = Purger(database, settings.trials, settings.lease_seconds)
        purger.start()
        yield
        sender.close()  # its thread is waited for
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
    )
    app.state.settings, app.state.database = settings, database
    app.state.rates, app.state.metrics = access.Rates(), Metrics(database)
    app.state.pictures = Pictures(database)
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
    """The routes of every noun. They hold nothing of an application, and all have the same: what
    the first request makes of them takes 50 ms, and each test has an application of its own."""
    router = APIRouter(
        prefix="/api/v1",
        dependencies=[
            Depends(access.check),
            Depends(openapi.declared),
            Depends(known_parameters),
        ],
        responses=openapi.PROBLEMS,
    )
    for noun in (sweeps, results, exports, trials, presets, cluster, webhooks, audit):
        router.include_router(noun.router)
    return router


async def _reap(database: Database, seconds: float) -> None:
    """With every dispatcher gone, the readers still see what became of its trials.

    After an outage the dispatcher comes first: its lease has lapsed, and it lives.
    """
    was_away = False
    while True:
        await asyncio.sleep(seconds)
        try:
            lost = 0
            if not was_away:
                lost = await asyncio.to_thread(leases.reap, database)
                await asyncio.to_thread(leases.tell, database)
            await asyncio.to_thread(_forget, database)
            was_away = False
        except SQLAlchemyError as error:  # away, or its schema is just being changed
            log.warning("lost trials wait: %s", str(error).splitlines()[0])
            was_away = True
            continue
        if lost:
            log.warning("%d trials were lost with their dispatcher and are queued again", lost)


async def _send(sender: Sender) -> None:
    """Webhooks are told within a second or two."""
    while True:
        await asyncio.sleep(1)
        try:
            await asyncio.to_thread(sender.step)
        except SQLAlchemyError as error:
            log.warning("webhooks wait: %s", str(error).splitlines()[0])


def _forget(database: Database) -> None:
    with database.read() as session:
        if not answers.any_old(session):
            return
    with database.write() as session:
        answers.forget(session)
