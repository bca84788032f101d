"""/cluster: who dispatches, what the cluster has, and how much of it is in use."""

from typing import Any

from fastapi import APIRouter

from service.api.context import DatabaseDep
from service.api.views import cluster_view
from service.store import leases

router = APIRouter(prefix="/cluster", tags=["cluster"])


@router.get("")
def read(database: DatabaseDep) -> dict[str, Any]:
    """What the leading dispatcher last saw; `dispatcher` is null while none leads."""
    with database.read() as session:
        return cluster_view(leases.current(session))
