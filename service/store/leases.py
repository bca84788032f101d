"""The right to dispatch: one dispatcher holds it until it expires, and then loses its trials.

Only the database's clock decides.
"""

import contextlib
from typing import Any

from sqlalchemy import exists, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from service.lifecycle import Reason, TrialState
from service.store.models import Lease, Trial
from service.store.session import Database, clock, db_now
from service.store.settling import SETTLED_TOGETHER, Ending, settle_all
from service.store.shortages import note_no_dispatcher
from service.store.transitions import lock_sweeps

DISPATCH = "dispatch"
DROPPED = 0
"""The expiry of a lease that its holder has dropped."""


def take(
    session: Session,
    holder: str,
    *,
    host: str,
    pid: int,
    seconds: float,
    cluster: dict[str, Any] | None = None,
    patient: bool = False,
) -> bool:
    """Take or renew the right to dispatch for `seconds`; False while another holds it.

    Args:
        session: a writing transaction.
        holder: the dispatcher that asks.
        host: the machine it runs on.
        pid: its process.
        seconds: for how long.
        cluster: what it sees of the cluster, for the readers.
        patient: leave an expired lease to its holder, unless it was dropped: the database was away
            for both dispatchers, and the holder's trials still run.
    """
    now = clock(session)
    lease = session.get(Lease, DISPATCH, with_for_update=True)
    if lease is None:
        _first(session, Lease(
            name=DISPATCH, holder=holder, host=host, pid=pid, term=1,
            acquired_at=now, expires_at=now,
        ))  # fmt: skip
        lease = session.get_one(Lease, DISPATCH, with_for_update=True)
    if lease.holder != holder:
        if lease.expires_at > now:
            return False
        if patient and lease.expires_at > DROPPED:
            return False
        lease.holder, lease.host, lease.pid = holder, host, pid
        lease.term, lease.acquired_at = lease.term + 1, now
    lease.expires_at, lease.cluster = now + seconds, cluster
    return True


def _first(session: Session, lease: Lease) -> None:
    """Insert the table's only row, unless another dispatcher does so at the same moment."""
    with contextlib.suppress(IntegrityError), session.begin_nested():
        session.add(lease)


def drop(session: Session, holder: str) -> None:
    """Let another dispatcher take over at once."""
    session.execute(
        update(Lease)
        .where(Lease.name == DISPATCH, Lease.holder == holder)
        .values(expires_at=DROPPED)
    )


def current(session: Session) -> Lease | None:
    """The lease, if its holder is alive."""
    return session.scalar(select(Lease).where(Lease.name == DISPATCH, Lease.expires_at > db_now()))


class Lookout:
    """Whether the leading dispatcher is gone, to a process that looks now and then.

    A lease that has lapsed is not enough: while a reader of SQLite held up every writer, or the
    machine slept, the dispatcher could not renew it, and its trials still run. So the lease must
    still be the same at the look after one at which this process could write to it.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lapsed: float | None = None
        """The expiry of the lease when it had lapsed, and could be written to."""

    def gone(self) -> bool:
        """Look once. True at once if the lease was dropped, or never taken."""
        with self._database.read() as session:
            lease = session.get(Lease, DISPATCH)
            expires_at = DROPPED if lease is None else lease.expires_at
            led = expires_at > clock(session)
        if expires_at == DROPPED or (not led and expires_at == self._lapsed):
            return True
        self._lapsed = None
        if not led:
            # It changes nothing, but is committed only when the dispatcher could have renewed.
            same = update(Lease).where(Lease.expires_at == expires_at)
            with self._database.write() as session:
                session.execute(same.values(expires_at=Lease.expires_at))
            self._lapsed = expires_at
        return False


def reap(database: Database) -> int:
    """Requeue the running trials whose dispatcher has let its lease expire; how many. Trials of
    sweeps that others hold are left for the next time.

    The dispatcher that takes over does this, and so does every API once the leader is gone (see
    `Lookout`): readers see the truth even when all dispatchers are gone.
    """
    led = exists().where(Lease.holder == Trial.dispatcher_id, Lease.expires_at > db_now())
    orphans = select(Trial.id, Trial.attempt, Trial.sweep_id).where(
        Trial.state == TrialState.running, ~led
    )
    some = orphans.order_by(Trial.id).limit(SETTLED_TOGETHER)
    with database.read() as session:
        if session.execute(orphans.limit(1)).first() is None:
            return 0
    total, end = 0, Ending(Reason.lost, "its dispatcher vanished")
    held_by_others: set[str] = set()
    while True:
        with database.write() as session:
            lost = session.execute(some.where(Trial.sweep_id.not_in(held_by_others))).all()
            sweep_ids = {sweep_id for *_, sweep_id in lost}
            locked = lock_sweeps(session, sweep_ids, skip_locked=True)
            states = settle_all(session, {(of, by): end for of, by, at in lost if at in locked})
        total += sum(state is not None for state in states.values())
        held_by_others |= sweep_ids - locked
        if len(lost) < SETTLED_TOGETHER:
            return total


def note_no_dispatcher_leads(database: Database) -> int:
    """Note on waiting sweeps that no dispatcher leads, if so; on how many it is new.

    Every API does this, because `lrd dispatch` may never have been started.
    """
    with database.read() as session:
        if current(session) is not None:
            return 0
    with database.write() as session:
        return 0 if current(session) is not None else note_no_dispatcher(session)
