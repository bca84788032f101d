"""Limits of a caller: trials in one sweep, and trials in the queue."""

from sqlalchemy.orm import Session

from service.access import Caller
from service.errors import TooMany
from service.formatting import count
from service.store import sweeps as store


def refuse_over_quota(
    session: Session, caller: Caller, more: int, *, counted: bool = False
) -> None:
    """Refuse `more` trials if the caller would then have too many in the queue.

    `counted`: this transaction has already queued them, in the caller's own sweeps.

    Raises:
        TooMany: the caller's `max_queued_trials` would be exceeded.
    """
    limit = caller.max_queued_trials
    if limit is None or caller.owner is None or more == 0:
        return
    waiting = store.queued_of(session, caller.owner) - (more if counted else 0)
    if waiting + more > limit:
        raise TooMany(
            f"{caller.owner} has {count(waiting, 'trial')} queued, and {more} more would exceed "
            f"the limit of {limit}: wait until some have run, or cancel some"
        )
