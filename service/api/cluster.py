"""/cluster: the dispatcher, the cluster's resources, and how much of them is in use."""

from typing import Any

from fastapi import APIRouter

from service.api.conditional import Tagged
from service.api.context import DatabaseDep
from service.api.openapi import gives
from service.api.schemas.service import Cluster
from service.api.views import cluster_view, running_view, waiting_view
from service.store import leases, queue

router = APIRouter(prefix="/cluster", tags=["cluster"], route_class=Tagged)


@router.get("", **gives(Cluster))
def read(database: DatabaseDep) -> dict[str, Any]:
    """The cluster as the leading dispatcher last saw it: what runs where, and what waits for what.

    `dispatcher` is null while none leads.
    """
    with database.read() as session:
        view = cluster_view(leases.current(session), queue.in_use(session))
        running, waiting = queue.running(session), queue.waiting(session)
    free = {
        name: view[kind]["total"] - view[kind]["held"]
        for kind, name in (("cpus", "CPU"), ("gpus", "GPU"))
        if view[kind]["total"]
    }
    leads = view["dispatcher"] is not None
    return view | {
        "running": [running_view(each) for each in running],
        "waiting": [waiting_view(each, free, leads=leads) for each in waiting],
    }
