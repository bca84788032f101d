"""/trials: one training run, and its epochs."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query

from service.api.context import DatabaseDep
from service.api.views import report_view, trial_view
from service.store import sweeps as store
from service.store.models import Arm

router = APIRouter(prefix="/trials", tags=["trials"])

TrialId = Annotated[int, Path(ge=1, le=2**63 - 1)]


@router.get("/{trial_id}")
def read(trial_id: TrialId, database: DatabaseDep) -> dict[str, Any]:
    """One trial."""
    with database.read() as session:
        trial = store.get_trial(session, trial_id)
        return trial_view(trial, session.get_one(Arm, trial.arm_id).config)


@router.get("/{trial_id}/reports")
def reports(
    trial_id: TrialId,
    database: DatabaseDep,
    after_epoch: Annotated[int, Query(ge=0, le=2**31 - 1)] = 0,
    page_size: Annotated[int, Query(ge=1, le=10_000)] = 1000,
) -> dict[str, Any]:
    """The trial's epochs after `after_epoch`, in order."""
    with database.read() as session:
        store.get_trial(session, trial_id)
        found = store.reports(session, trial_id, after_epoch=after_epoch)
    return {"items": [report_view(each) for each in found[:page_size]], "next_page_token": None}
