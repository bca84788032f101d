"""Make a requested change exactly once, in one transaction with its entry in the audit log.

Every request that changes something may carry an `Idempotency-Key`. Repeating the request with the
same key returns the first answer.
"""

import contextlib
import hashlib
import threading
from collections.abc import Callable, Iterator
from typing import Annotated, Any

from fastapi import Depends, Header, Request, Response
from fastapi.responses import JSONResponse
from sqlalchemy.orm import Session

from service.access import caller_of
from service.api.conditional import etag_of
from service.api.context import BodyDep, DatabaseDep, refuse_unread
from service.api.views import sweep_view
from service.store import answers, audit
from service.store.answers import Key, Made
from service.store.models import Sweep
from service.store.session import Database

IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=255,
        description="any text of your choice: repeating the same request with it returns the first "
        "answer, and nothing is done twice; remembered for 30 days",
        examples=["6f0c2a4e-93b1-4b1e-a1f3-5d1c9be2a7f0"],
    ),
]

_answering: set[tuple[int, str]] = set()
_lock = threading.Lock()


class Once:
    """Carries out the change that a request asks for, and answers it."""

    def __init__(self, request: Request, database: Database, content: bytes, key: str | None):
        self._request, self._database = request, database
        self._caller = caller_of(request)
        self._key = None if key is None else Key(self._caller.key, key, _sum(request, content))

    def __call__(self, change: Callable[[Session], dict[str, Any]]) -> JSONResponse:
        """Do `change` in a transaction, and answer with what it returns."""
        return JSONResponse(**self._answer(lambda session: Made(change(session))))

    def sweep(self, change: Callable[[Session], Sweep]) -> JSONResponse:
        """Do `change`, and answer with the sweep that it returns, and its `ETag`."""

        def made(session: Session) -> Made:
            sweep = change(session)
            return Made(sweep_view(sweep), etag=etag_of(sweep))

        return JSONResponse(**self._answer(made))

    def new_sweep(self, change: Callable[[Session], Sweep]) -> JSONResponse:
        """Do `change`, and answer 201 with the sweep that it creates, its address and `ETag`."""

        def made(session: Session) -> Made:
            sweep = change(session)
            return Made(sweep_view(sweep), 201, f"/api/v1/sweeps/{sweep.id}", etag_of(sweep))

        return JSONResponse(**self._answer(made))

    def create(self, change: Callable[[Session], dict[str, Any]], path: str) -> JSONResponse:
        """Do `change`, which creates something; answer 201 with its address below `path`."""

        def made(session: Session) -> Made:
            view = change(session)
            return Made(view, 201, f"{path}/{view['id']}")

        return JSONResponse(**self._answer(made))

    def remove(self, change: Callable[[Session], None]) -> Response:
        """Do `change`, after which there is nothing to show; answer 204."""

        def made(session: Session) -> Made:
            change(session)
            return Made({}, 204)

        return Response(**self._answer(made) | {"content": None})

    def _answer(self, change: Callable[[Session], Made]) -> dict[str, Any]:
        def noted(session: Session) -> Made:
            made = change(session)
            target = self._request.url.path if made.location is None else made.location
            caller = self._caller
            audit.note(
                session, caller.name, self._request.method, target,
                token_id=caller.token_id, address=caller.address,
            )  # fmt: skip
            return made

        if self._key is None:
            with self._database.write() as session:
                made, new = noted(session), True
        else:
            with _alone(self._key), self._database.write() as session:
                made, new = answers.once(session, self._key, noted)
        headers = {} if made.location is None else {"Location": made.location}
        if made.etag is not None:
            headers["ETag"] = made.etag
        if not new:
            headers["Idempotent-Replayed"] = "true"
        return {"content": made.body, "status_code": made.status, "headers": headers}


async def _once(
    request: Request,
    database: DatabaseDep,
    content: BodyDep,
    idempotency_key: IdempotencyKey = None,
) -> Once:
    refuse_unread(request, content)
    return Once(request, database, content, idempotency_key)


OnceDep = Annotated[Once, Depends(_once)]


def _sum(request: Request, content: bytes) -> str:
    head = f"{request.method} {request.url.path}?{request.url.query}\n"
    return hashlib.sha256(head.encode() + content).hexdigest()


@contextlib.contextmanager
def _alone(key: Key) -> Iterator[None]:
    """Refuse a key whose first request this process is still answering."""
    mine = (key.token_id, key.text)
    with _lock:
        if mine in _answering:
            raise answers.in_flight()
        _answering.add(mine)
    try:
        yield
    finally:
        _answering.discard(mine)
