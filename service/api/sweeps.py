"""/sweeps: submit, list, read, cancel."""

from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response

from lrd_core.spec import SweepSpec, expand_arms
from service.api.context import (
    DatabaseDep,
    DocumentDep,
    SettingsDep,
    decode_token,
    encode_token,
    etag_of,
    unchanged,
)
from service.api.views import sweep_view, trial_view
from service.errors import Unprocessable
from service.store import sweeps as store

router = APIRouter(prefix="/sweeps", tags=["sweeps"])

PageSize = Annotated[int, Query(ge=1, le=1000)]
PageToken = Annotated[str | None, Query(max_length=500)]


@router.post("", status_code=201)
def submit(
    document: DocumentDep,
    request: Request,
    response: Response,
    database: DatabaseDep,
    settings: SettingsDep,
    validate_only: bool = False,
    idempotency_key: Annotated[str | None, Header(max_length=255)] = None,
) -> dict[str, Any]:
    """Store a sweep and queue its trials; with `validate_only` say what would run."""
    spec = SweepSpec.parse(document)
    if spec.trials_total() > settings.max_trials:
        raise Unprocessable(
            f"the sweep has {spec.trials_total()} trials; this service takes {settings.max_trials}"
        )
    arms = expand_arms(spec)
    if validate_only:
        response.status_code = 200
        return {
            "arms_total": len(arms),
            "trials_total": spec.trials_total(),
            "arms": [{"label": arm.label, "is_baseline": arm.is_baseline} for arm in arms],
        }
    with database.write() as session:
        sweep, new = store.create(
            session,
            spec,
            arms,
            code_version=request.app.version,
            idempotency_key=idempotency_key,
        )
        view = sweep_view(sweep)
    response.headers["Location"] = f"/api/v1/sweeps/{sweep.id}"
    if not new:
        response.headers["Idempotent-Replayed"] = "true"
    return view


@router.get("")
def index(
    database: DatabaseDep, page_size: PageSize = 50, page_token: PageToken = None
) -> dict[str, Any]:
    """All sweeps, newest first."""
    after = None
    if page_token:
        at, sweep_id = decode_token(page_token, 2)
        after = (float(at), str(sweep_id))
    with database.read() as session:
        found = store.page(session, after, page_size + 1)
        items = [sweep_view(sweep) for sweep in found[:page_size]]
    more = len(found) > page_size
    last = found[page_size - 1] if more else None
    return {
        "items": items,
        "next_page_token": encode_token([last.created_at, last.id]) if last else None,
    }


@router.get("/{sweep_id}")
def read(
    sweep_id: str,
    request: Request,
    response: Response,
    database: DatabaseDep,
) -> Any:
    """One sweep; with `If-None-Match` 304 as long as nothing has changed."""
    with database.read() as session:
        sweep = store.get(session, sweep_id)
        if request.headers.get("if-none-match") == etag_of(sweep):
            return unchanged(sweep)
        response.headers["ETag"] = etag_of(sweep)
        return sweep_view(sweep)


@router.post("/{sweep_id}/cancel")
def cancel(sweep_id: str, database: DatabaseDep) -> dict[str, Any]:
    """End the sweep: queued trials now, running ones as soon as they have stopped."""
    with database.write() as session:
        return sweep_view(store.cancel(session, sweep_id))


@router.get("/{sweep_id}/trials")
def trials(
    sweep_id: str, database: DatabaseDep, page_size: PageSize = 100, page_token: PageToken = None
) -> dict[str, Any]:
    """The sweep's trials in order."""
    after = int(decode_token(page_token, 1)[0]) if page_token else 0
    with database.read() as session:
        store.get(session, sweep_id)
        found = store.trials(session, sweep_id, after=after, size=page_size + 1)
    items = [trial_view(trial, config) for trial, config in found[:page_size]]
    more = len(found) > page_size
    return {
        "items": items,
        "next_page_token": encode_token([items[-1]["id"]]) if more else None,
    }
