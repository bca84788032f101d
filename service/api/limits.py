"""What a caller may have: trials in one sweep, and trials in the queue."""

from sqlalchemy.orm import Session

from service.access import Caller
from service.errors import TooMany
from service.formatting import count
from service.store import sweeps as store


def room(
    session: Session,
    caller: Caller,
    more: int,
    would: str = "would join",
    *,
    counted: bool = False,
) -> None:
    """Refuse `more` trials of one who has too many in the queue.

    `counted`: this transaction has put them there already, among those of the caller's sweeps.

    Raises:
        TooMany: so it is; the sentence says what the new ones `would` do.
    """
    limit = caller.max_queued_trials
    if limit is None or caller.owner is None or more == 0:
        return
    waiting = store.queued_of(session, caller.owner) - (more if counted else 0)
    if waiting + more > limit:
        raise TooMany(
            f"{caller.owner} has {count(waiting, 'trial')} queued and {more} {would}; the limit "
            f"is {limit}: wait until some have run, or cancel some"
        )
