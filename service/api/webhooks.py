"""/webhooks: addresses that are notified when a sweep has ended; for admins only."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path
from fastapi.responses import JSONResponse
from sqlalchemy.orm import Session

from lrd_core.errors import Fault
from lrd_core.faults import parsed
from service import access
from service.api.conditional import Tagged
from service.api.context import (
    DatabaseDep,
    DocumentDep,
    PageSize,
    PageToken,
    SettingsDep,
    cursor_of,
    page_of,
)
from service.api.once import OnceDep
from service.api.openapi import gives, takes
from service.api.schemas.sent import WebhookRequest
from service.api.schemas.service import DeliveryPage, NewWebhook, Webhook, WebhookPage
from service.api.views import delivery_view, webhook_view
from service.errors import Unprocessable
from service.store import webhooks as store
from service.webhooks import NotAllowed, refuse_private

router = APIRouter(
    prefix="/webhooks",
    tags=["webhooks"],
    route_class=Tagged,
    dependencies=[Depends(access.admin)],
)

WebhookId = Annotated[int, Path(ge=1, le=2**63 - 1)]


@router.post("", **gives(NewWebhook, 201), **takes(WebhookRequest))
def create(document: DocumentDep, once: OnceDep, settings: SettingsDep) -> JSONResponse:
    """Notify `url` of every sweep that ends. The secret signs messages; it is shown only once."""
    url = str(parsed(WebhookRequest, document).url)
    try:
        refuse_private(url, private=settings.webhook_private)
    except NotAllowed as error:
        raise Unprocessable("no such webhook", (Fault("/url", str(error)),)) from None

    def add(session: Session) -> dict[str, Any]:
        webhook = store.add(session, url)
        return webhook_view(webhook) | {"secret": webhook.secret}

    return once.create(add, "/api/v1/webhooks")


@router.get("", **gives(WebhookPage))
def index(database: DatabaseDep) -> dict[str, Any]:
    """All webhooks."""
    with database.read() as session:
        items = [webhook_view(each) for each in store.listing(session)]
    return {"items": items, "next_page_token": None}


@router.get("/{webhook_id}", **gives(Webhook))
def read(webhook_id: WebhookId, database: DatabaseDep) -> dict[str, Any]:
    """One webhook."""
    with database.read() as session:
        return webhook_view(store.get(session, webhook_id))


@router.delete("/{webhook_id}", **gives(Webhook))
def remove(webhook_id: WebhookId, once: OnceDep) -> JSONResponse:
    """Remove the webhook; its pending messages are dropped."""
    return once(lambda session: webhook_view(store.remove(session, webhook_id)))


@router.get("/{webhook_id}/deliveries", **gives(DeliveryPage))
def deliveries(
    webhook_id: WebhookId,
    database: DatabaseDep,
    page_size: PageSize = 100,
    page_token: PageToken = None,
) -> JSONResponse:
    """Messages to the webhook, sent or pending, newest first."""
    with database.read() as session:
        store.get(session, webhook_id)
        found = store.deliveries(session, webhook_id, cursor_of(page_token), page_size + 1)
    return page_of([delivery_view(each) for each in found], page_size)
