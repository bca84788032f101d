"""/sweeps/{id}/refusals and /trials/{id}/refusals: what the caller may not do, and why.

They are not part of the sweep, because they depend on who asks, and its `ETag` does not.
"""

from fastapi import APIRouter, Request

from service.access import caller_of, why_not
from service.api.conditional import Tagged
from service.api.context import DatabaseDep, SweepId, TrialId
from service.api.openapi import gives
from service.api.schemas.sweeps import SweepRefusals, TrialRefusals
from service.store import refusals
from service.store import sweeps as store
from service.store.refusals import Refusal

router = APIRouter(route_class=Tagged)


@router.get("/sweeps/{sweep_id}/refusals", tags=["sweeps"], **gives(SweepRefusals))
def of_sweep(sweep_id: SweepId, request: Request, database: DatabaseDep) -> dict[str, str | None]:
    """Why each change of the sweep would be refused, or would change nothing; null if neither.

    A change may still be refused for what it asks, or for a limit of the token.
    """
    with database.read() as session:
        sweep = store.get(session, sweep_id)
        caller = caller_of(request)
        forbidden = why_not(caller, sweep.owner)
        found: dict[str, Refusal | None] = {
            "cancel": refusals.cancel_sweep(sweep),
            "pause": refusals.pause(sweep),
            "resume": refusals.resume(sweep),
            "retry": refusals.retry_sweep(session, sweep, cancelled=True),
            "extend": refusals.extend(sweep),
            "change": None,
            "delete": refusals.delete_sweep(sweep),
        }
    changes = {name: forbidden or _sentence("sweep", refusal) for name, refusal in found.items()}
    return changes | {"clone": why_not(caller, caller.name)}  # as a sweep of their own


@router.get("/trials/{trial_id}/refusals", tags=["trials"], **gives(TrialRefusals))
def of_trial(trial_id: TrialId, request: Request, database: DatabaseDep) -> dict[str, str | None]:
    """Why each change of the trial would be refused, or would change nothing; null if neither."""
    with database.read() as session:
        trial = store.get_trial(session, trial_id)
        sweep = store.get(session, trial.sweep_id)
        forbidden = why_not(caller_of(request), sweep.owner)
        found = {
            "cancel": refusals.cancel_trial(trial),
            "retry": refusals.retry_trial(trial, sweep),
        }
    return {name: forbidden or _sentence("trial", refusal) for name, refusal in found.items()}


def _sentence(of: str, refusal: Refusal | None) -> str | None:
    return None if refusal is None else f"this {of} {refusal.why}"
