"""Webhooks and their outbox of messages, written by the transaction that ends or pauses a sweep.

So a message exists exactly if that has happened. `service.webhooks` sends it.
"""

import secrets
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import ColumnElement, delete, insert, select, update
from sqlalchemy.orm import Session

from service.errors import NotFound
from service.store.models import Delivery, Sweep, Webhook
from service.store.session import clock, db_now

CLAIM_SECONDS = 60
"""A sender that has not recorded the result of a message by then is gone, and another sends it."""


class Due(NamedTuple):
    """A message that its claimer must send."""

    id: int
    webhook_id: int
    event: str
    url: str
    secret: str
    tries: int
    """This one included."""
    created_at: float
    sweep: Sweep


def add(session: Session, url: str) -> Webhook:
    """Add a webhook that tells `url` of every sweep that ends, or pauses by itself, from now on."""
    now = clock(session)
    webhook = Webhook(url=url, secret=secrets.token_hex(32), created_at=now)
    session.add(webhook)
    session.flush()
    return webhook


def listing(session: Session) -> list[Webhook]:
    """All webhooks, the oldest first."""
    return list(session.scalars(select(Webhook).order_by(Webhook.id)))


def get(session: Session, webhook_id: int) -> Webhook:
    """The webhook.

    Raises:
        NotFound: there is none with this id.
    """
    webhook = session.get(Webhook, webhook_id)
    if webhook is None:
        raise NotFound(f"there is no webhook {webhook_id}")
    return webhook


def remove(session: Session, webhook_id: int) -> Webhook:
    """Delete a webhook with its unsent messages; the webhook as it was.

    Raises:
        NotFound: there is none with this id.
    """
    webhook = get(session, webhook_id)
    session.delete(webhook)
    session.flush()
    return webhook


def deliveries(
    session: Session, webhook_id: int, before: int | None, size: int
) -> Sequence[Delivery]:
    """The webhook's messages below the id `before`, the newest first."""
    query = select(Delivery).where(Delivery.webhook_id == webhook_id)
    if before is not None:
        query = query.where(Delivery.id < before)
    return session.scalars(query.order_by(Delivery.id.desc()).limit(size)).all()


def announce(session: Session, sweep_ids: Iterable[str]) -> None:
    """Write a message to every webhook about each of these sweeps that has ended."""
    ended = session.scalars(
        select(Sweep)
        .where(Sweep.id.in_(list(sweep_ids)), Sweep.queued == 0, Sweep.running == 0)
        .execution_options(populate_existing=True)
    ).all()
    if ended:
        tell(session, {sweep.id: sweep.state for sweep in ended})


def tell(session: Session, states: Mapping[str, str]) -> None:
    """Write a message to every webhook about each of these sweeps: id -> its new state."""
    # Locked, so that none is removed before this transaction ends: its message would refer to
    # nothing. One that is being removed is waited for, and gets no message.
    held = select(Webhook.id).order_by(Webhook.id).with_for_update(read=True, key_share=True)
    webhooks = session.scalars(held).all()
    if not webhooks:
        return
    now = clock(session)
    session.execute(
        insert(Delivery),
        [
            {
                "webhook_id": webhook_id,
                "sweep_id": sweep_id,
                "event": f"sweep.{state}",
                "created_at": now,
                "tries": 0,
                "next_at": now,
            }
            for sweep_id, state in states.items()
            for webhook_id in webhooks
        ],
    )


def drop(session: Session, sweep_id: str) -> None:
    """Delete all messages, sent or not, about a deleted sweep."""
    session.execute(delete(Delivery).where(Delivery.sweep_id == sweep_id))


def any_due(session: Session, passed_over: Collection[int] = ()) -> bool:
    """Whether a message is due to any webhook that is not passed over."""
    due = select(Delivery.id).where(_is_due(passed_over)).limit(1)
    return session.scalar(due) is not None


def claim(session: Session, passed_over: Collection[int] = ()) -> Due | None:
    """Claim for `CLAIM_SECONDS` the message that has been due for longest, except to webhooks that
    are passed over."""
    found = session.execute(
        select(Delivery, Webhook, Sweep)
        .join(Webhook, Webhook.id == Delivery.webhook_id)
        .join(Sweep, Sweep.id == Delivery.sweep_id)
        .where(_is_due(passed_over))
        .order_by(Delivery.next_at)
        .limit(1)
        .with_for_update(of=Delivery, skip_locked=True)
    ).first()
    if found is None:
        return None
    delivery, webhook, sweep = found
    session.execute(
        update(Delivery)
        .where(Delivery.id == delivery.id)
        .values(tries=Delivery.tries + 1, next_at=db_now() + CLAIM_SECONDS)
        .execution_options(synchronize_session=False)
    )
    return Due(
        delivery.id,
        delivery.webhook_id,
        delivery.event,
        webhook.url,
        webhook.secret,
        delivery.tries + 1,
        delivery.created_at,
        sweep,
    )


def delivered(session: Session, due: Due) -> None:
    """Record that the message has arrived."""
    _settle(session, due, delivered_at=db_now(), next_at=None, error=None)


def failed(session: Session, due: Due, error: str, again_in: float | None) -> None:
    """Record that it has not; try again in `again_in` seconds, or never if that is None."""
    _settle(session, due, error=error, next_at=None if again_in is None else db_now() + again_in)


def _is_due(passed_over: Collection[int]) -> ColumnElement[bool]:
    return (Delivery.next_at <= db_now()) & Delivery.webhook_id.not_in(passed_over)


def _settle(session: Session, due: Due, **values: object) -> None:
    # A claim that was too slow, and taken over, writes nothing.
    mine = (Delivery.id == due.id) & (Delivery.tries == due.tries)
    session.execute(update(Delivery).where(mine).values(**values))
