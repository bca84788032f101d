"""/sweeps: submit, list and read them, and what may be asked of one."""

from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lrd_core.errors import InvalidSpec
from lrd_core.faults import fault_of
from lrd_core.presets import apply_preset
from lrd_core.spec import Extension, SweepSpec, expand_arms, extended
from service.api.context import (
    DatabaseDep,
    DocumentDep,
    OptionalDocumentDep,
    PageSize,
    PageToken,
    SettingsDep,
    Tagged,
    decode_token,
    encode_token,
    etag_of,
    page_of,
    unchanged,
)
from service.api.views import event_view, sweep_view, trial_view
from service.errors import Unprocessable
from service.lifecycle import SweepState, TrialState
from service.plans import plan_sweep
from service.settings import Settings
from service.store import history, requests
from service.store import sweeps as store
from service.store.session import Database

router = APIRouter(prefix="/sweeps", tags=["sweeps"], route_class=Tagged)

IdempotencyKey = Annotated[
    str | None, Header(max_length=255, description="sent again, the first answer comes again")
]


class Changes(BaseModel):
    """What may change while a sweep runs."""

    model_config = ConfigDict(extra="forbid", strict=True)

    priority: int = Field(0, ge=-1000, le=1000)
    max_concurrent: int | None = Field(None, ge=1, le=1_000_000)


@router.post("", status_code=201)
def submit(
    document: DocumentDep,
    request: Request,
    response: Response,
    database: DatabaseDep,
    settings: SettingsDep,
    validate_only: bool = False,
    idempotency_key: IdempotencyKey = None,
) -> dict[str, Any]:
    """Store a sweep and queue its trials; with `validate_only` answer the plan and store nothing.

    The body is a sweep, or a preset with changes.
    """
    if not validate_only:
        return _create(document, request, response, database, settings, idempotency_key)
    spec = _limit(_spec_of(document), settings)
    response.status_code = 200
    with database.read() as session:
        return plan_sweep(session, spec, expand_arms(spec))


@router.get("")
def index(
    database: DatabaseDep,
    page_size: PageSize = 50,
    page_token: PageToken = None,
    state: SweepState | None = None,
    search: Annotated[str, Query(max_length=200, description="part of a name, or an id")] = "",
) -> dict[str, Any]:
    """Sweeps, newest first: all, or those in a state or with a name."""
    after = None
    if page_token:
        at, sweep_id = decode_token(page_token, 2)
        after = (float(at), str(sweep_id))
    with database.read() as session:
        found = store.page(session, after, page_size + 1, state=state, search=search)
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


@router.patch("/{sweep_id}")
def change(sweep_id: str, changes: Changes, database: DatabaseDep) -> dict[str, Any]:
    """Another `priority` or `max_concurrent`, also while it runs."""
    with database.write() as session:
        given = changes.model_dump(exclude_unset=True)
        return sweep_view(requests.change(session, sweep_id, given))


@router.post("/{sweep_id}/cancel")
def cancel(sweep_id: str, database: DatabaseDep) -> dict[str, Any]:
    """End the sweep: queued trials now, running ones as soon as they have stopped."""
    with database.write() as session:
        return sweep_view(requests.cancel_sweep(session, sweep_id))


@router.post("/{sweep_id}/pause")
def pause(sweep_id: str, database: DatabaseDep) -> dict[str, Any]:
    """Start no more trials; running ones save their state after their epoch and wait."""
    with database.write() as session:
        return sweep_view(requests.pause(session, sweep_id))


@router.post("/{sweep_id}/resume")
def resume(sweep_id: str, database: DatabaseDep) -> dict[str, Any]:
    """Go on after a pause."""
    with database.write() as session:
        return sweep_view(requests.resume(session, sweep_id))


@router.post("/{sweep_id}/retry")
def retry(sweep_id: str, database: DatabaseDep, cancelled: bool = False) -> dict[str, Any]:
    """Queue again what failed, and with `cancelled` what was cancelled; diverged trials stay."""
    with database.write() as session:
        return sweep_view(requests.retry_sweep(session, sweep_id, cancelled=cancelled))


@router.post("/{sweep_id}/extend")
def extend(
    sweep_id: str, document: DocumentDep, database: DatabaseDep, settings: SettingsDep
) -> dict[str, Any]:
    """More seeds, more values of an axis, more arms: only the missing trials run."""
    more = Extension.parse(document)
    with database.write() as session:
        spec = extended(SweepSpec.model_validate(store.get(session, sweep_id).spec), more)
        _limit(spec, settings)
        return sweep_view(requests.extend(session, sweep_id, spec))


@router.post("/{sweep_id}/clone", status_code=201)
def clone(
    sweep_id: str,
    document: OptionalDocumentDep,
    request: Request,
    response: Response,
    database: DatabaseDep,
    settings: SettingsDep,
    idempotency_key: IdempotencyKey = None,
) -> dict[str, Any]:
    """A new sweep like this one; the body may replace parts of its spec, e.g. `{"seeds": 5}`."""
    with database.read() as session:
        spec = store.get(session, sweep_id).spec
    if not isinstance(document, dict):
        raise Unprocessable("the body of clone is an object with parts of a sweep, or absent")
    return _create(spec | document, request, response, database, settings, idempotency_key)


@router.get("/{sweep_id}/events")
def events(
    sweep_id: str,
    database: DatabaseDep,
    page_size: PageSize = 100,
    page_token: PageToken = None,
    newest_first: bool = False,
) -> dict[str, Any]:
    """What happened to the sweep and its trials, oldest first unless asked otherwise."""
    after = int(decode_token(page_token, 1)[0]) if page_token else None
    with database.read() as session:
        store.get(session, sweep_id)
        found = history.events(
            session, sweep_id=sweep_id, after=after, size=page_size + 1, newest_first=newest_first
        )
    return page_of([event_view(event) for event in found], page_size)


@router.get("/{sweep_id}/trials")
def trials(
    sweep_id: str,
    database: DatabaseDep,
    page_size: PageSize = 100,
    page_token: PageToken = None,
    state: TrialState | None = None,
    arm_id: Annotated[int | None, Query(ge=1, le=2**63 - 1)] = None,
) -> dict[str, Any]:
    """The sweep's trials in order: all, or those in a state or of an arm."""
    after = int(decode_token(page_token, 1)[0]) if page_token else 0
    with database.read() as session:
        store.get(session, sweep_id)
        found = store.trials(
            session, sweep_id, after=after, size=page_size + 1, state=state, arm_id=arm_id
        )
    return page_of([trial_view(trial, arm) for trial, arm in found], page_size)


# --- inside ---------------------------------------------------------------------------------------


def _create(
    document: Any,
    request: Request,
    response: Response,
    database: Database,
    settings: Settings,
    idempotency_key: str | None,
) -> dict[str, Any]:
    spec = _limit(_spec_of(document), settings)
    arms = expand_arms(spec)
    with database.write() as session:
        sweep, new = store.create(
            session,
            spec,
            arms,
            code_version=request.app.version,
            idempotency_key=idempotency_key,
            owner=getattr(request.state, "owner", None),
        )
        view = sweep_view(sweep)
    response.headers["Location"] = f"/api/v1/sweeps/{sweep.id}"
    if not new:
        response.headers["Idempotent-Replayed"] = "true"
    return view


class _Preset(BaseModel):
    """`{"preset": "table-2", "set": {"base.epochs": 2}, "seeds": 1}`."""

    model_config = ConfigDict(extra="forbid", strict=True)

    preset: str
    set: dict[str, Any] = {}
    seeds: Any = None


def _spec_of(document: Any) -> SweepSpec:
    """The sweep that the body holds, or the preset that it names."""
    if not (isinstance(document, dict) and "preset" in document):
        return SweepSpec.parse(document)
    try:
        asked = _Preset.model_validate(document)
    except ValidationError as error:
        details = error.errors(include_url=False)
        raise InvalidSpec([fault_of(detail, document) for detail in details]) from None
    return apply_preset(asked.preset, asked.set, asked.seeds)


def _limit(spec: SweepSpec, settings: Settings) -> SweepSpec:
    total, limit = spec.trials_total(), settings.max_trials
    if total > limit:
        raise Unprocessable(f"the sweep has {total} trials; this service takes {limit}")
    return spec
