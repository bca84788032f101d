"""/audit: who changed what; for admins only."""

from fastapi import APIRouter, Depends
from fastapi.responses import JSONResponse

from service import access
from service.api.conditional import Tagged
from service.api.context import DatabaseDep, PageSize, PageToken, cursor_of, page_of
from service.api.openapi import gives
from service.api.schemas.service import AuditPage
from service.api.views import audit_view
from service.store import audit as store

router = APIRouter(
    prefix="/audit", tags=["audit"], route_class=Tagged, dependencies=[Depends(access.admin)]
)


@router.get("", **gives(AuditPage))
def index(
    database: DatabaseDep, page_size: PageSize = 100, page_token: PageToken = None
) -> JSONResponse:
    """Every change that was requested and made, newest first."""
    with database.read() as session:
        found = store.page(session, cursor_of(page_token), page_size + 1)
    return page_of([audit_view(each) for each in found], page_size)
