"""Claims: which queued trials start now."""

import functools
import heapq
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Self

from sqlalchemy import (
    ColumnElement,
    Integer,
    Row,
    Select,
    bindparam,
    case,
    exists,
    func,
    insert,
    or_,
    select,
)
from sqlalchemy.orm import Session

from lrd_core.execution import Execution, Resources
from service.lifecycle import TrialState
from service.placement import Need, Node, Place, Rooms
from service.store.models import Arm, Attempt, Report, Sweep, Trial
from service.store.ready import Wanted, count_of_each, is_ready, next_of_each
from service.store.remembered import Memory
from service.store.session import db_now
from service.store.transitions import switch

MAX_SWEEPS = 100
"""So many open sweeps are looked at first in a round, and as many of the others while these leave
something free. Those that could start nothing, whatever is free, do not count."""

MAX_CLAIMS = 200
"""So many trials are claimed in one round: while 10,000 start, reports are recorded in between."""

PATIENCE = 20
"""About so many trials go before a larger one of their own priority: then room is made for it. It
costs what stands empty of one node until the last trial has ended that is in the way."""

RESOURCES = Sweep.spec["resources"].label("resources")
_EXECUTION = Sweep.spec["execution"].label("execution")
"""These parts of a spec are read, for a hundred sweeps ten times a second; a spec with thousands of
arms takes ten milliseconds."""


@dataclass(frozen=True)
class Share:
    """Where trials of one sweep start now."""

    sweep_id: str
    places: tuple[Place, ...]
    """Of one size, unless the trials are to run alone."""
    alone: bool = False
    """Those that are to run alone."""


@dataclass(frozen=True)
class Assignment:
    """A claimed trial: all that is needed to run it."""

    trial_id: int
    sweep_id: str
    attempt: int
    spec: dict[str, Any]
    """A TrialSpec as plain data."""
    place: Place
    timeout_seconds: float | None
    checkpoints: list[tuple[int, str, str]]
    """(epoch, name, sha256) of the newest recorded checkpoints, newest first."""


def plan(session: Session, rooms: Rooms, memory: Memory | None = None) -> list[Share]:
    """What fits now, and where: by priority, and in equal parts where that is equal.

    A trial that is to run alone is the next of its sweep, as soon as a node is empty; one node at a
    time is kept for such trials, so that others do not take each CPU that becomes free. Nor do
    sweeps of lower priority take the room for which a larger trial waits; once `PATIENCE` trials of
    its own priority have gone before it, nor do these.

    With a memory, what the first sweeps leave free is for some of the others, in turn from round
    to round.
    """
    first_alone, memory = memory is None, memory or Memory()
    places: dict[tuple[str, bool], list[Place]] = {}
    queues = _queues(session, rooms, memory)
    _give(session, queues, rooms, memory, places)
    if len(queues) == MAX_SWEEPS and rooms and not first_alone:
        queues = _queues(session, rooms, memory, memory.turn * MAX_SWEEPS)
        memory.turn = memory.turn + 1 if len(queues) == MAX_SWEEPS else 1
        _give(session, queues, rooms, memory, places)
    return [Share(sweep_id, tuple(found), alone) for (sweep_id, alone), found in places.items()]


def claim(session: Session, holder: str, shares: Sequence[Share]) -> list[Assignment]:
    """Claim the planned trials, as far as they are still to be had, in a few statements for all.

    A sweep that another transaction holds is left for the next round: a request that hangs in the
    middle of one sweep does not keep the others waiting.
    """
    specs = _lock_free(session, {share.sweep_id for share in shares})
    taken = _take(session, holder, [share for share in shares if share.sweep_id in specs])
    configs = _configs(session, [trial for trial, _ in taken])
    return [
        _assignment(session, specs[trial.sweep_id], trial, configs[trial.arm_id], place)
        for trial, place in taken
    ]


def open_sweeps(session: Session, skipped: int = 0) -> Sequence[Row[Any]]:
    """The sweeps in the order of their turns, and whether any of their trials is to run alone.

    Those that wait for another cluster are among them: it may have come since that was noted.
    """
    return session.execute(_in_turn(), {"most": MAX_SWEEPS, "skipped": skipped}).all()


@functools.cache  # to write it down anew takes as long as to ask, and it is asked at each end
def _in_turn() -> Select[Any]:
    has_room = or_(Sweep.max_concurrent.is_(None), Sweep.running < Sweep.max_concurrent)
    first = select(Sweep.id).where(*is_open(), has_room).order_by(*turns())
    most, skipped = bindparam("most", type_=Integer), bindparam("skipped", type_=Integer)
    these = first.limit(most).offset(skipped).subquery()  # parts of specs are for these alone
    lonely = exists().where(Trial.sweep_id == Sweep.id, is_ready(), Trial.alone.is_(True))
    query = select(
        Sweep.id, Sweep.priority, Sweep.queued, Sweep.running, Sweep.max_concurrent,
        Sweep.waiting_for, Sweep.gpu_share, RESOURCES, lonely.label("lonely"),
    )  # fmt: skip
    return query.join(these, these.c.id == Sweep.id).order_by(*turns())


def turns() -> tuple[Any, ...]:
    """What the sweeps are ordered by; last come those that wait for another cluster."""
    waits = case((Sweep.waiting_for.is_(None), 0), else_=1)
    return waits, Sweep.priority.desc(), Sweep.running, Sweep.created_at, Sweep.id


def is_open() -> list[ColumnElement[bool]]:
    return [Sweep.queued > 0, Sweep.paused_at.is_(None), Sweep.cancel_requested_at.is_(None)]


def need_of(sweep: Row[Any], nodes: Sequence[Node]) -> Need:
    """What each trial of the sweep takes on this cluster, as far as is known by now."""
    asked = Resources.model_validate(sweep.resources or {})
    return need(asked, nodes, sweep.gpu_share)


def need(asked: Resources, nodes: Sequence[Node], gpu_share: float | None = None) -> Need:
    """What a trial takes on this cluster; `gpu_share`: as it was measured, if one of its sweep has
    used a GPU. From then on all do, also while the last node with GPUs is away for a moment."""
    gpus = asked.num_gpus
    if gpus in ("auto", "shared"):
        part = gpu_share if gpus == "shared" and gpu_share is not None else 1.0
        gpus = part if gpu_share is not None or any(node.gpus > 0 for node in nodes) else 0.0
    return Need(
        asked.num_cpus,
        float(gpus),
        asked.memory_gib or 0.0,
        asked.accelerator_type,
        asked.labels or {},
    )


# --- inside ---------------------------------------------------------------------------------------


@dataclass
class _Queue:
    """What an open sweep may still start in this round."""

    sweep_id: str
    priority: int
    rank: float
    """The priority, and a half more for one that has been passed over too often."""
    running: int
    need: Need
    room: int
    ready_alone: int
    """So many trials are ready that are to run alone; no more are counted than there are nodes."""
    kept: bool = False
    """A node is kept for one of them."""
    ready: int | None = None
    """So many of the others are ready; None until that is asked."""


def _give(
    session: Session,
    queues: Sequence[_Queue],
    rooms: Rooms,
    memory: Memory,
    places: dict[tuple[str, bool], list[Place]],
) -> None:
    """Add to `places`, by sweep and whether alone, what starts now."""
    for queue in queues:
        if queue.ready_alone and queue.room > 0:
            queue.kept = rooms.keep(queue.need, queue.priority, queue.sweep_id)
    heap = [(-queue.rank, queue.running, at) for at, queue in enumerate(queues)]
    heapq.heapify(heap)
    _look_ahead(session, [queues[at] for *_, at in sorted(heap)], rooms)
    blocked: list[_Queue] = []
    claimed = sum(map(len, places.values()))
    while heap and claimed < MAX_CLAIMS:
        rank, running, at = heapq.heappop(heap)
        queue = queues[at]
        if blocked and queue.rank < blocked[0].rank:
            _hold_back(session, blocked, rooms)
            blocked = []
        may_start = queue.room > queue.kept
        taken = _next(session, queue, rooms)
        if taken is not None:
            claimed += 1
            places.setdefault((queue.sweep_id, taken.again), []).append(taken)
            heapq.heappush(heap, (rank, running + 1, at))
            memory.passed.update(each.sweep_id for each in blocked)
            del memory.passed[queue.sweep_id]
        elif may_start and rooms.is_blocked(queue.need, queue.rank):
            blocked.append(queue)
    if len(queues) == MAX_SWEEPS:  # of the others many have a lower priority
        _hold_back(session, blocked, rooms)


def _hold_back(session: Session, blocked: Sequence[_Queue], rooms: Rooms) -> None:
    """The next trial of each of these waits for others to end; lower ranks are not to take what
    that leaves."""
    ready = count_of_each(session, [Wanted(queue.sweep_id, 1) for queue in blocked])
    for queue, count in zip(blocked, ready, strict=True):
        if count:
            rooms.reserve(queue.need, queue.rank)


def _queues(session: Session, rooms: Rooms, memory: Memory, skipped: int = 0) -> list[_Queue]:
    """Of each open sweep whose turn it is, `skipped` of them left out."""
    found = open_sweeps(session, skipped)
    lonely = [Wanted(each.id, each.lonely * len(rooms.nodes), alone=True) for each in found]
    queues = []
    for sweep, alone in zip(found, count_of_each(session, lonely), strict=True):
        room = sweep.queued
        if sweep.max_concurrent is not None:
            room = min(room, sweep.max_concurrent - sweep.running)
        each = replace(need_of(sweep, rooms.nodes), avoided=memory.avoided(sweep.id))
        rank = sweep.priority + 0.5 * (memory.passed[sweep.id] >= PATIENCE)
        queues.append(_Queue(sweep.id, sweep.priority, rank, sweep.running, each, room, alone))
    return queues


def _next(session: Session, queue: _Queue, rooms: Rooms) -> Place | None:
    """Room for the sweep's next trial; None if there is none, or no trial."""
    if queue.room <= 0:
        return None
    place = None
    if queue.ready_alone:
        place = rooms.take_alone(queue.need, queue.priority, queue.sweep_id)
    if place is not None:
        queue.ready_alone, queue.kept = queue.ready_alone - 1, False
    elif queue.room > queue.kept:  # the kept node is for one of those that may run
        if queue.ready is None:
            _count_ready(session, [queue], rooms)
        if queue.ready:
            place = rooms.take(queue.need, queue.rank)
            queue.ready -= 1
    queue.room -= 1
    return place


def _look_ahead(session: Session, queues: Sequence[_Queue], rooms: Rooms) -> None:
    """Count at once for all whose turn is sure to come what each may start, in order of turns."""
    able = [queue for queue in queues if queue.room > queue.kept]
    most = max((rooms.most(queue.need) for queue in able), default=0)
    _count_ready(session, able[: min(most, MAX_CLAIMS)], rooms)


def _count_ready(session: Session, queues: Sequence[_Queue], rooms: Rooms) -> None:
    wanted = [
        Wanted(queue.sweep_id, min(queue.room, rooms.most(queue.need), MAX_CLAIMS))
        for queue in queues
    ]
    for queue, count in zip(queues, count_of_each(session, wanted), strict=True):
        queue.ready = count


def _lock_free(session: Session, sweep_ids: Collection[str]) -> dict[str, "_Spec"]:
    """Hold these sweeps, but those that others hold, or have paused or cancelled since the plan."""
    query = (
        select(Sweep.id, RESOURCES, _EXECUTION)
        .where(
            Sweep.id.in_(sorted(sweep_ids)),
            Sweep.paused_at.is_(None),
            Sweep.cancel_requested_at.is_(None),
        )
        .with_for_update(skip_locked=True)
    )
    return {sweep_id: _Spec.of(*parts) for sweep_id, *parts in session.execute(query)}


def _take(session: Session, holder: str, shares: Sequence[Share]) -> list[tuple[Trial, Place]]:
    """The next trials, each with its place; the sweeps are held, so nobody else moves any."""
    if not shares:
        return []
    # A statement of its own: within the update, PostgreSQL may evaluate the limited query more than
    # once, and claims more than asked for.
    wanted = [Wanted(share.sweep_id, len(share.places), share.alone) for share in shares]
    pairs = [
        pair
        for share, found in zip(shares, next_of_each(session, wanted), strict=True)
        for pair in zip(found, share.places, strict=False)
    ]
    taken: list[tuple[Trial, Place]] = []
    for (cpus, gpus), of_one_size in _by_size(pairs).items():
        trials = switch(
            session,
            TrialState.queued,
            TrialState.running,
            Trial.id.in_(list(of_one_size)),
            attempt=Trial.attempt + 1,
            dispatcher_id=holder,
            cpus=cpus,
            gpus=gpus,
            started_at=func.coalesce(Trial.started_at, db_now()),
            reported_at=db_now(),
        )
        taken += [(trial, of_one_size[trial.id]) for trial in trials]
    if taken:
        session.connection().execute(
            insert(Attempt.__table__).values(started_at=db_now()),  # type: ignore[arg-type]
            [
                {"trial_id": trial.id, "attempt": trial.attempt, "dispatcher_id": holder}
                for trial, _ in taken
            ],
        )
    return sorted(taken, key=lambda pair: pair[0].id)


def _by_size(
    pairs: Iterable[tuple[int, Place]],
) -> dict[tuple[float, float], dict[int, Place]]:
    found: dict[tuple[float, float], dict[int, Place]] = {}
    for trial_id, place in pairs:
        found.setdefault((place.cpus, place.gpus), {})[trial_id] = place
    return found


def _configs(session: Session, trials: Sequence[Trial]) -> dict[int, dict[str, Any]]:
    arms = select(Arm.id, Arm.config).where(Arm.id.in_({trial.arm_id for trial in trials}))
    return dict(map(tuple, session.execute(arms)))


class _Spec(NamedTuple):
    """What a sweep's spec says of how its trials run; its arms, thousands maybe, are not read."""

    resources: Resources
    execution: Execution

    @classmethod
    def of(cls, resources: dict[str, Any] | None, execution: dict[str, Any] | None) -> Self:
        return cls(
            Resources.model_validate(resources or {}), Execution.model_validate(execution or {})
        )


def _assignment(
    session: Session, spec: _Spec, trial: Trial, config: dict[str, Any], place: Place
) -> Assignment:
    saved: Sequence[Any] = []
    if trial.attempt > 1:
        saved = session.execute(
            select(Report.epoch, Report.checkpoint, Report.checkpoint_sha256)
            .where(Report.trial_id == trial.id, Report.checkpoint.is_not(None))
            .order_by(Report.epoch.desc())
            .limit(2)
        ).all()
    resources = spec.resources.model_dump(mode="json")
    return Assignment(
        trial_id=trial.id,
        sweep_id=trial.sweep_id,
        attempt=trial.attempt,
        spec={
            **config,
            "seed": trial.seed,
            "execution": spec.execution.model_dump(mode="json"),
            # Its threads stay as many when it has a node to itself: numbers depend on them.
            "resources": resources | {"num_gpus": place.gpus},
        },
        place=place,
        timeout_seconds=spec.resources.timeout_seconds,
        checkpoints=[(epoch, str(name), str(sha)) for epoch, name, sha in saved],
    )
