"""A page of the events of a sweep or a trial."""

from fastapi.responses import JSONResponse
from sqlalchemy.orm import Session

from service.api.context import cursor_of, page_of
from service.api.views import event_view
from service.store import history


def event_page(
    session: Session,
    page_size: int,
    page_token: str | None,
    *,
    newest_first: bool,
    sweep_id: str | None = None,
    trial_id: int | None = None,
) -> JSONResponse:
    """The events after `page_token`, oldest first unless `newest_first`."""
    found = history.events(
        session,
        sweep_id=sweep_id,
        trial_id=trial_id,
        after=cursor_of(page_token),
        size=page_size + 1,
        newest_first=newest_first,
    )
    return page_of([event_view(event) for event in found], page_size)
