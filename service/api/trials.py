"""/trials: a single training run with its epochs, attempts, events and log; cancel and retry."""

from contextlib import suppress
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, PlainTextResponse
from sqlalchemy.orm import Session

from lrd_core.spelling import did_you_mean
from lrd_core.trial_folder import TrialFolder, log_name, trial_folder
from service import storage
from service.access import caller_of, refuse_others
from service.api.conditional import Tagged
from service.api.context import (
    DatabaseDep,
    PageSize,
    PageToken,
    SettingsDep,
    TrialId,
    cursor_of,
    page_of,
)
from service.api.events import event_page
from service.api.limits import refuse_over_quota
from service.api.once import OnceDep
from service.api.openapi import gives, gives_text
from service.api.results import Metric, Points
from service.api.schemas import sweeps as schemas
from service.api.schemas.results import Plot
from service.api.views import attempt_view, provenance_view, report_view, trial_view
from service.drawing.trial_curves import metrics_of, trial_curves
from service.errors import NotFound, Unprocessable
from service.formatting import count
from service.store import history, requests
from service.store import sweeps as store
from service.store.models import Arm, Attempt, Sweep, Trial
from service.store.session import Database
from service.weights import folder_of_weights

LINE_BYTES = 200
"""A log's line is about as long."""

router = APIRouter(prefix="/trials/{trial_id}", tags=["trials"], route_class=Tagged)


@router.get("", **gives(schemas.TrialDetail))
def read(trial_id: TrialId, database: DatabaseDep, settings: SettingsDep) -> dict[str, Any]:
    """One trial, with the provenance of its numbers."""
    with database.read() as session:
        trial = store.get_trial(session, trial_id)
        arm, sweep = session.get_one(Arm, trial.arm_id), session.get_one(Sweep, trial.sweep_id)
        attempt = session.get(Attempt, (trial_id, trial.attempt))
        provenance = provenance_view(trial, arm, sweep, attempt)
        view = trial_view(trial, arm)
    kept = False
    if provenance["execution"]["keep_weights"]:  # otherwise there is no need to ask the storage
        with suppress(OSError):  # everything else is known without it
            kept = folder_of_weights(settings.trials, trial) is not None
    return {**view, "sweep": sweep.name, "has_weights": kept, "provenance": provenance}


@router.post("/cancel", **gives(schemas.Trial))
def cancel(trial_id: TrialId, request: Request, once: OnceDep) -> JSONResponse:
    """Cancel the trial: at once if it is queued, otherwise as soon as it has stopped."""

    def end(session: Session) -> dict[str, Any]:
        _sweep_of(session, trial_id, request)
        return _view(session, requests.cancel_trial(session, trial_id))

    return once(end)


@router.post("/retry", **gives(schemas.Trial))
def retry(trial_id: TrialId, request: Request, once: OnceDep) -> JSONResponse:
    """Queue the trial again, from its last checkpoint."""
    caller = caller_of(request)

    def again(session: Session) -> dict[str, Any]:
        sweep = _sweep_of(session, trial_id, request)
        before = sweep.queued
        trial = requests.retry_trial(session, trial_id)
        session.refresh(sweep)
        mine = sweep.owner == caller.owner
        refuse_over_quota(session, caller, sweep.queued - before, counted=mine)
        return _view(session, trial)

    return once(again)


@router.get("/reports", **gives(schemas.ReportPage))
def reports(
    trial_id: TrialId,
    database: DatabaseDep,
    after_epoch: Annotated[int, Query(ge=0, le=2**31 - 1)] = 0,
    page_size: Annotated[int, Query(ge=1, le=10_000)] = 1000,
    page_token: PageToken = None,
) -> JSONResponse:
    """The trial's epochs after `after_epoch`, in order."""
    cursor = cursor_of(page_token)
    after_epoch = after_epoch if cursor is None else cursor
    with database.read() as session:
        store.get_trial(session, trial_id)
        found = store.reports(session, trial_id, after_epoch=after_epoch, size=page_size + 1)
    return page_of([report_view(each) for each in found], page_size, key="epoch")


@router.get("/plot", **gives(Plot))
def plot(
    trial_id: TrialId, database: DatabaseDep, metric: Metric = None, points: Points = 1000
) -> JSONResponse:
    """The trial's metrics over its epochs, or one of them, as Plotly JSON for a page to draw."""
    with database.read() as session:
        store.get_trial(session, trial_id)
        found = [each.report for each in store.reports(session, trial_id)]
    names = metrics_of(found)
    if metric is not None and names and metric not in names:
        raise Unprocessable(
            f"trial {trial_id} does not report {metric!r}{did_you_mean(metric, names)}; "
            f"it reports {', '.join(names)}"
        )
    return JSONResponse(trial_curves(found, metric, points=points))


@router.get("/attempts", **gives(schemas.AttemptPage))
def attempts(trial_id: TrialId, database: DatabaseDep) -> dict[str, Any]:
    """The attempts at the trial: when, where, on what, and how each ended."""
    with database.read() as session:
        store.get_trial(session, trial_id)
        found = history.attempts(session, trial_id)
    return {"items": [attempt_view(each) for each in found], "next_page_token": None}


@router.get("/events", **gives(schemas.EventPage))
def events(
    trial_id: TrialId,
    database: DatabaseDep,
    page_size: PageSize = 100,
    page_token: PageToken = None,
    newest_first: bool = False,
) -> JSONResponse:
    """The trial's events, oldest first by default."""
    with database.read() as session:
        store.get_trial(session, trial_id)
        return event_page(
            session, page_size, page_token, newest_first=newest_first, trial_id=trial_id
        )


@router.get("/logs", **gives_text("text/plain"))
def logs(
    trial_id: TrialId,
    database: DatabaseDep,
    settings: SettingsDep,
    attempt: Annotated[int | None, Query(ge=1, le=2**31 - 1)] = None,
    tail: Annotated[int, Query(ge=1, le=100_000, description="last lines")] = 1000,
) -> PlainTextResponse:
    """The log of an attempt, by default the newest."""
    trial = _existing(database, trial_id)
    number = attempt or trial.attempt
    if number > trial.attempt:
        raise NotFound(f"trial {trial_id} has had {count(trial.attempt, 'attempt')}, not {number}")
    with storage.answering():
        lines = _last_lines(trial_folder(settings.trials, trial_id), log_name(number), tail)
    return PlainTextResponse("".join(lines))


def _sweep_of(session: Session, trial_id: int, request: Request) -> Sweep:
    """Lock and return the trial's sweep, provided that the caller may change it.

    Raises:
        NotFound: there is no such trial.
        Forbidden: it is somebody else's.
    """
    sweep = requests.locked(session, store.get_trial(session, trial_id).sweep_id)
    refuse_others(request, sweep.owner)
    return sweep


def _view(session: Session, trial: Trial) -> dict[str, Any]:
    return trial_view(trial, session.get_one(Arm, trial.arm_id))


def _existing(database: Database, trial_id: int) -> Trial:
    with database.read() as session:
        return store.get_trial(session, trial_id)


def _last_lines(folder: TrialFolder, name: str, count: int) -> list[str]:
    size = LINE_BYTES * count
    try:
        while True:
            end = folder.read_end(name, size)
            lines = end.decode(errors="replace").splitlines(keepends=True)
            if len(lines) > count or len(end) < size:
                return lines[-count:]
            size *= 4  # the first of these lines may lack its beginning
    except FileNotFoundError:
        return []
