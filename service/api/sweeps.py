"""/sweeps: submit, list, read and change them."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse
from sqlalchemy.orm import Session

from lrd_core import sources
from lrd_core.changing import Changes
from lrd_core.errors import Fault, InvalidSpec
from lrd_core.extending import Extension, extended, in_extension
from lrd_core.faults import parsed
from lrd_core.presets import apply_preset
from lrd_core.spec import Arm, SweepSpec, expand_arms
from lrd_core.texts import Text
from service.access import Caller, caller_of, refuse_others
from service.api.conditional import (
    Tagged,
    etag_of,
    matches_if_none_match,
    passes_if_match,
    unchanged,
)
from service.api.context import (
    DatabaseDep,
    DocumentDep,
    OptionalDocumentDep,
    PageSize,
    PageToken,
    SweepId,
    cursor_of,
    decode_token,
    encode_token,
    page_of,
)
from service.api.events import event_page
from service.api.limits import refuse_over_quota
from service.api.once import Once, OnceDep
from service.api.openapi import gives, gives_nothing, takes
from service.api.schemas.sent import Clone, FromPreset
from service.api.schemas.sweeps import (
    EventPage,
    FailurePage,
    Sweep,
    SweepPage,
    SweepPlan,
    TrialPage,
)
from service.api.views import failure_view, sweep_summary, sweep_view, trial_view
from service.errors import HasChanged, Unprocessable, refuse_large_sweep
from service.lifecycle import SweepState, TrialState
from service.plans import plan_sweep
from service.store import failures as failed
from service.store import models, requests, submission
from service.store import sweeps as store

router = APIRouter(prefix="/sweeps", tags=["sweeps"], route_class=Tagged)


@router.post("", **gives(Sweep, 201, plan=SweepPlan), **takes(SweepSpec, FromPreset))
def submit(
    document: DocumentDep,
    request: Request,
    once: OnceDep,
    database: DatabaseDep,
    validate_only: bool = False,
) -> JSONResponse:
    """Store a sweep and queue its trials; with `validate_only`, return the plan and store nothing.

    The body is a sweep, or a preset with changes.
    """
    if not validate_only:
        return _create(document, request, once)
    caller = caller_of(request)
    spec = _limit(_spec_of(document), caller)
    arms = expand_arms(spec)
    with database.read() as session:
        planned = plan_sweep(session, spec, arms, owner=caller.owner)
    return JSONResponse(planned)


@router.get("", **gives(SweepPage))
def index(
    database: DatabaseDep,
    page_size: PageSize = 50,
    page_token: PageToken = None,
    state: SweepState | None = None,
    search: Annotated[
        Text, Query(max_length=200, description="part of a name, or the beginning of an id")
    ] = "",
    tag: Annotated[Text, Query(max_length=50, description="one of the sweep's tags")] = "",
) -> dict[str, Any]:
    """Sweeps, newest first: all of them, or those in a state, matching a search, or with a tag."""
    after = None
    if page_token:
        at, sweep_id = decode_token(page_token, float, str)
        after = (at, sweep_id)
    with database.read() as session:
        found = store.page(session, after, page_size + 1, state=state, search=search, tag=tag)
        items = [sweep_summary(sweep) for sweep in found[:page_size]]
    more = len(found) > page_size
    last = found[page_size - 1] if more else None
    return {
        "items": items,
        "next_page_token": encode_token([last.created_at, last.id]) if last else None,
    }


@router.get("/{sweep_id}", **gives(Sweep))
def read(
    sweep_id: SweepId,
    request: Request,
    database: DatabaseDep,
) -> Response:
    """One sweep; with `If-None-Match`, 304 as long as nothing has changed."""
    with database.read() as session:
        sweep = store.get(session, sweep_id)
        if matches_if_none_match(request, etag_of(sweep)):
            return unchanged(etag_of(sweep))
        return JSONResponse(sweep_view(sweep), headers={"ETag": etag_of(sweep)})


@router.patch("/{sweep_id}", **gives(Sweep), **takes(Changes))
def change(
    sweep_id: SweepId, document: DocumentDep, request: Request, once: OnceDep
) -> JSONResponse:
    """Change what no result depends on, even while the sweep runs; null restores a default.

    As with every change of a sweep: a token may change its own sweeps, with the role admin any; and
    `If-Match` with its `ETag` makes the service refuse (412) if the sweep has changed since that
    was read.
    """
    changes = Changes.parse(document)
    return once.sweep(_asking(partial(requests.change, changes=changes), sweep_id, request))


@router.delete("/{sweep_id}", **gives_nothing())
def delete(sweep_id: SweepId, request: Request, once: OnceDep) -> Response:
    """Permanently delete a sweep that has ended, with its results, checkpoints and logs.

    Results that other sweeps took over from it by `reuse` stay theirs.
    """

    def remove(session: Session) -> None:
        _meant(session, sweep_id, request)
        requests.delete_sweep(session, sweep_id)

    return once.remove(remove)


@router.post("/{sweep_id}/cancel", **gives(Sweep))
def cancel(sweep_id: SweepId, request: Request, once: OnceDep) -> JSONResponse:
    """Cancel the sweep: queued trials now, running ones as soon as they have stopped."""
    return once.sweep(_asking(requests.cancel_sweep, sweep_id, request))


@router.post("/{sweep_id}/pause", **gives(Sweep))
def pause(sweep_id: SweepId, request: Request, once: OnceDep) -> JSONResponse:
    """Start no more trials; running ones save their state after the current epoch and wait."""
    return once.sweep(_asking(requests.pause, sweep_id, request))


@router.post("/{sweep_id}/resume", **gives(Sweep))
def resume(sweep_id: SweepId, request: Request, once: OnceDep) -> JSONResponse:
    """Continue after a pause."""
    return once.sweep(_asking(requests.resume, sweep_id, request))


@router.post("/{sweep_id}/retry", **gives(Sweep))
def retry(
    sweep_id: SweepId, request: Request, once: OnceDep, cancelled: bool = False
) -> JSONResponse:
    """Queue failed trials again, and with `cancelled` the cancelled ones; diverged trials stay."""
    caller = caller_of(request)

    def again(session: Session) -> models.Sweep:
        before = _meant(session, sweep_id, request).queued
        sweep = requests.retry_sweep(session, sweep_id, cancelled=cancelled)
        mine = sweep.owner == caller.owner
        refuse_over_quota(session, caller, sweep.queued - before, counted=mine)
        return sweep

    return once.sweep(again)


@router.post("/{sweep_id}/extend", **gives(Sweep, plan=SweepPlan), **takes(Extension))
def extend(
    sweep_id: SweepId,
    document: DocumentDep,
    request: Request,
    once: OnceDep,
    database: DatabaseDep,
    validate_only: bool = False,
) -> JSONResponse:
    """Add seeds, values of an axis or arms; only the missing trials run. With `validate_only`,
    return the plan of the resulting sweep and change nothing."""
    more, caller = Extension.parse(document), caller_of(request)

    def add(session: Session) -> models.Sweep:
        sweep = _meant(session, sweep_id, request)
        had = SweepSpec.parse(sweep.spec)
        with _located_in(more, had):
            spec = _limit(extended(had, more), caller)
            refuse_over_quota(session, caller, spec.trials_total() - sweep.trials_total)
            return requests.extend(session, sweep_id, spec)

    if not validate_only:
        return once.sweep(add)
    with database.read() as session:
        sweep = store.get(session, sweep_id)
        requests.refuse_cancelled(sweep)
        had = SweepSpec.parse(sweep.spec)
        with _located_in(more, had):
            spec = _limit(extended(had, more), caller)
            arms = expand_arms(spec)
        planned = plan_sweep(session, spec, arms, owner=sweep.owner, extends=sweep_id)
    return JSONResponse(planned)


@router.post("/{sweep_id}/clone", **gives(Sweep, 201), **takes(Clone, required=False))
def clone(
    sweep_id: SweepId,
    document: OptionalDocumentDep,
    request: Request,
    once: OnceDep,
    database: DatabaseDep,
) -> JSONResponse:
    """Submit a copy of this sweep; the body may replace parts of its spec, e.g. `{"seeds": 5}`."""
    with database.read() as session:
        sweep = store.get(session, sweep_id)
    if not isinstance(document, dict):
        raise Unprocessable("the body of clone is an object with parts of a sweep, or absent")
    return _create(sweep.spec | document, request, once, like=sweep)


@router.get("/{sweep_id}/events", **gives(EventPage))
def events(
    sweep_id: SweepId,
    database: DatabaseDep,
    page_size: PageSize = 100,
    page_token: PageToken = None,
    newest_first: bool = False,
) -> JSONResponse:
    """Events of the sweep and its trials, oldest first by default."""
    with database.read() as session:
        store.get(session, sweep_id)
        return event_page(
            session, page_size, page_token, newest_first=newest_first, sweep_id=sweep_id
        )


@router.get("/{sweep_id}/failures", **gives(FailurePage))
def failures(sweep_id: SweepId, database: DatabaseDep) -> JSONResponse:
    """Why trials failed: the 20 most frequent messages, each once with its count.

    If more than 10,000 trials have failed, only 10,000 of them are counted.
    """
    with database.read() as session:
        store.get(session, sweep_id)
        items = [failure_view(each) for each in failed.causes(session, sweep_id)]
    return JSONResponse({"items": items, "next_page_token": None})


@router.get("/{sweep_id}/trials", **gives(TrialPage))
def trials(
    sweep_id: SweepId,
    database: DatabaseDep,
    page_size: PageSize = 100,
    page_token: PageToken = None,
    state: TrialState | None = None,
    arm_id: Annotated[int | None, Query(ge=1, le=2**63 - 1)] = None,
) -> JSONResponse:
    """The sweep's trials in order: all of them, or those in a state or of an arm."""
    after = cursor_of(page_token) or 0
    with database.read() as session:
        store.get(session, sweep_id)
        if arm_id is not None and not store.has_arm(session, sweep_id, arm_id):
            detail = f"the sweep has no arm {arm_id}; its /arms has the ids"
            raise Unprocessable("a parameter is not valid", (Fault("/query/arm_id", detail),))
        found = store.trials(
            session, sweep_id, after=after, size=page_size + 1, state=state, arm_id=arm_id
        )
    return page_of([trial_view(trial, arm) for trial, arm in found], page_size)


# --- inside ---------------------------------------------------------------------------------------


def _asking(
    ask: Callable[[Session, str], models.Sweep], sweep_id: str, request: Request
) -> Callable[[Session], models.Sweep]:
    def asked(session: Session) -> models.Sweep:
        _meant(session, sweep_id, request)
        return ask(session, sweep_id)

    return asked


@contextmanager
def _located_in(more: Extension, had: SweepSpec) -> Iterator[None]:
    """Move faults of the extended sweep to the corresponding places in the extension sent."""
    try:
        yield
    except InvalidSpec as error:
        raise InvalidSpec([in_extension(each, had, more) for each in error.faults]) from None


def _meant(session: Session, sweep_id: str, request: Request) -> models.Sweep:
    """Lock and return the sweep, provided that the caller may change it and that its version is the
    one that the request names.

    Raises:
        NotFound: there is none with this id.
        Forbidden: it is somebody else's.
        HasChanged: it has changed since.
    """
    sweep = requests.locked(session, sweep_id)
    refuse_others(request, sweep.owner)
    _refuse_changed(sweep, request)
    return sweep


def _refuse_changed(sweep: models.Sweep, request: Request) -> None:
    if not passes_if_match(request, etag_of(sweep)):
        raise HasChanged(
            f"sweep {sweep.id} now has the ETag {etag_of(sweep)}, which If-Match does not name: "
            "read it again"
        )


def _create(
    document: Any, request: Request, once: Once, *, like: models.Sweep | None = None
) -> JSONResponse:
    """`like`: the sweep to clone, which must still exist."""
    caller = caller_of(request)
    spec = _limit(_spec_of(document), caller)
    arms = expand_arms(spec)
    code = _code(arms)  # may read files, for which no transaction should wait

    def create(session: Session) -> models.Sweep:
        if like is not None:
            store.get(session, like.id)
            _refuse_changed(like, request)
        refuse_over_quota(session, caller, spec.trials_total())
        return submission.create(session, spec, arms, code_version=code, owner=caller.owner)

    return once.new_sweep(create)


def _code(arms: Sequence[Arm]) -> str:
    """The code that will run, as far as this process can tell: lrd as installed here, and the
    packages that the arms use. Each attempt's environment says what did run."""
    return sources.code_version(arm.config_json() for arm in arms)


def _spec_of(document: Any) -> SweepSpec:
    """The sweep that the body holds, or the preset that it names."""
    if not (isinstance(document, dict) and "preset" in document):
        return SweepSpec.parse(document)
    asked = parsed(FromPreset, document)
    return apply_preset(asked.preset, asked.set, asked.seeds)


def _limit(spec: SweepSpec, caller: Caller) -> SweepSpec:
    refuse_large_sweep(spec.trials_total(), caller.max_sweep_trials)
    return spec
