"""Why sweeps wait: no node can ever run their trials, or no dispatcher is there to start them."""

from collections.abc import Sequence

from sqlalchemy import func, or_, select, update
from sqlalchemy.orm import Session

from service.formatting import NO_DISPATCHER
from service.placement import Node, shortage
from service.store import turns
from service.store.models import Sweep
from service.store.transitions import lock_sweeps
from service.store.turns import RESOURCES, is_open, need_of, open_sweeps


def note_shortages(session: Session, nodes: Sequence[Node]) -> dict[str, str | None]:
    """Sweep id -> why none of its trials can ever start on these nodes, where that has changed.

    Looks at the sweeps whose turn is next, and at some of those that wait for another cluster.
    """
    changed = {}
    some = (
        select(Sweep.id, Sweep.waiting_for, Sweep.gpu_share, RESOURCES)
        .where(Sweep.waiting_for.is_not(None), *is_open())
        .order_by(func.random())
        .limit(turns.MAX_SWEEPS)
    )
    for sweep in (*session.execute(some), *open_sweeps(session)):
        why = shortage(need_of(sweep, nodes), nodes)
        if why != sweep.waiting_for:
            changed[sweep.id] = why
    return changed


def write_shortages(session: Session, shortages: dict[str, str | None]) -> None:
    """Store the reasons for the readers; sweeps that a request holds get theirs the next time."""
    for sweep_id in sorted(lock_sweeps(session, shortages, skip_locked=True)):
        session.execute(
            update(Sweep)
            .where(Sweep.id == sweep_id)
            .values(waiting_for=shortages[sweep_id], version=Sweep.version + 1)
        )


def note_no_dispatcher(session: Session) -> int:
    """Note on some more of the open sweeps that no dispatcher starts their trials; on how many.
    The next dispatcher takes that back (`note_shortages`)."""
    untold = or_(Sweep.waiting_for.is_(None), Sweep.waiting_for != NO_DISPATCHER)
    query = select(Sweep.id).where(untold, *is_open()).order_by(Sweep.id).limit(turns.MAX_SWEEPS)
    sweep_ids = session.scalars(query).all()
    write_shortages(session, dict.fromkeys(sweep_ids, NO_DISPATCHER))
    return len(sweep_ids)
