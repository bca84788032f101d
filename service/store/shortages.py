"""Why sweeps wait: no node could ever run their trials, or nobody is there to start them."""

from collections.abc import Sequence

from sqlalchemy import func, or_, select, update
from sqlalchemy.orm import Session

from service.formatting import NO_DISPATCHER
from service.placement import Node, shortage
from service.store import claims
from service.store.claims import RESOURCES, is_open, need_of, open_sweeps
from service.store.models import Sweep
from service.store.transitions import lock_sweeps


def note_shortages(session: Session, nodes: Sequence[Node]) -> dict[str, str | None]:
    """Sweep id -> why none of its trials can ever start here, where that has changed.

    Of those whose turn is next, and of some of those that wait for another cluster.
    """
    changed = {}
    some = (
        select(Sweep.id, Sweep.waiting_for, Sweep.gpu_share, RESOURCES)
        .where(Sweep.waiting_for.is_not(None), *is_open())
        .order_by(func.random())
        .limit(claims.MAX_SWEEPS)
    )
    for sweep in (*session.execute(some), *open_sweeps(session)):
        why = shortage(need_of(sweep, nodes), nodes)
        if why != sweep.waiting_for:
            changed[sweep.id] = why
    return changed


def write_shortages(session: Session, shortages: dict[str, str | None]) -> None:
    """Tell the readers; of sweeps that a request holds, the next time."""
    for sweep_id in sorted(lock_sweeps(session, shortages, skip_locked=True)):
        session.execute(
            update(Sweep)
            .where(Sweep.id == sweep_id)
            .values(waiting_for=shortages[sweep_id], version=Sweep.version + 1)
        )


def note_no_dispatcher(session: Session) -> int:
    """Tell the readers of open sweeps, of some at a time, that nobody starts their trials; how
    many. The next dispatcher takes it back, as `note_shortages` has it."""
    told = or_(Sweep.waiting_for.is_(None), Sweep.waiting_for != NO_DISPATCHER)
    query = select(Sweep.id).where(told, *is_open()).order_by(Sweep.id).limit(claims.MAX_SWEEPS)
    untold = session.scalars(query).all()
    write_shortages(session, dict.fromkeys(untold, NO_DISPATCHER))
    return len(untold)
