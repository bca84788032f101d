"""Turns: which open sweeps go first, and which of their queued trials start now, and where."""

import functools
import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import ColumnElement, Integer, Row, Select, bindparam, case, exists, or_, select
from sqlalchemy.orm import Session

from lrd_core.execution import Resources
from service.placement import Need, Node, Place, Rooms
from service.store.models import Sweep, Trial
from service.store.plan_history import PlanHistory
from service.store.ready import Wanted, count_of_each, is_ready

MAX_SWEEPS = 100
"""Open sweeps looked at first in a round; as many others follow if these leave something free.
Sweeps that could start nothing even on an empty cluster do not count."""

MAX_CLAIMS = 200
"""Trials claimed per round, at most: while 10,000 start, reports are recorded between rounds."""

PATIENCE = 20
"""After about this many trials of equal priority have overtaken a larger one, a node is reserved
for it. Part of that node then stands idle until the last trial in the way has ended."""

RESOURCES = Sweep.spec["resources"].label("resources")
"""Read instead of the whole spec, for a hundred sweeps ten times a second: a spec with thousands of
arms takes ten milliseconds."""


@dataclass(frozen=True)
class Share:
    """Where trials of one sweep start now."""

    sweep_id: str
    places: tuple[Place, ...]
    """All of one size, unless the trials must run alone."""
    alone: bool = False
    """Whether these are the sweep's trials that must run alone."""


def plan(session: Session, rooms: Rooms, history: PlanHistory | None = None) -> list[Share]:
    """Decide what starts now, and where: by priority, and in equal parts among equals.

    A trial that must run alone is the next of its sweep as soon as a node is empty. One node at a
    time is drained for such trials, because others would take each CPU that becomes free. Sweeps of
    lower priority do not take the room for which a larger trial waits. Once `PATIENCE` trials of
    its own priority have overtaken it, sweeps of that priority do not take it either.

    With a history, what the first sweeps leave free goes to some of the others, in turn from round
    to round.
    """
    only_first_page = history is None
    history = history or PlanHistory()
    this = _Round(session, rooms, history)
    looked_at = this.place_trials()
    if looked_at == MAX_SWEEPS and rooms and not only_first_page:
        looked_at = this.place_trials(skipped=history.turn * MAX_SWEEPS)
        history.turn = history.turn + 1 if looked_at == MAX_SWEEPS else 1
    return [
        Share(sweep_id, tuple(found), alone) for (sweep_id, alone), found in this.places.items()
    ]


def open_sweeps(session: Session, skipped: int = 0) -> Sequence[Row[Any]]:
    """A page of the open sweeps in the order of their turns, each with whether it has a ready trial
    that must run alone.

    Sweeps that wait for another cluster are included, because it may have come since.
    """
    return session.execute(_open_sweeps(), {"most": MAX_SWEEPS, "skipped": skipped}).all()


@functools.cache  # building the query takes as long as running it, and it runs after each end
def _open_sweeps() -> Select[Any]:
    has_room = or_(Sweep.max_concurrent.is_(None), Sweep.running < Sweep.max_concurrent)
    first = select(Sweep.id).where(*is_open(), has_room).order_by(*in_turn())
    most, skipped = bindparam("most", type_=Integer), bindparam("skipped", type_=Integer)
    these = first.limit(most).offset(skipped).subquery()  # only their specs are opened
    lonely = exists().where(Trial.sweep_id == Sweep.id, is_ready(), Trial.alone.is_(True))
    query = select(
        Sweep.id, Sweep.priority, Sweep.queued, Sweep.running, Sweep.max_concurrent,
        Sweep.waiting_for, Sweep.gpu_share, RESOURCES, lonely.label("lonely"),
    )  # fmt: skip
    return query.join(these, these.c.id == Sweep.id).order_by(*in_turn())


def in_turn() -> tuple[Any, ...]:
    """The order of the sweeps; those that wait for another cluster come last."""
    waits = case((Sweep.waiting_for.is_(None), 0), else_=1)
    return waits, Sweep.priority.desc(), Sweep.running, Sweep.created_at, Sweep.id


def is_open() -> list[ColumnElement[bool]]:
    """Conditions on a sweep: it has queued trials, and is neither paused nor being cancelled."""
    return [Sweep.queued > 0, Sweep.paused_at.is_(None), Sweep.cancel_requested_at.is_(None)]


def need_of(sweep: Row[Any], nodes: Sequence[Node]) -> Need:
    """What each trial of the sweep needs on this cluster, as far as is known by now."""
    asked = Resources.model_validate(sweep.resources or {})
    return need(asked, nodes, sweep.gpu_share)


def need(asked: Resources, nodes: Sequence[Node], gpu_share: float | None = None) -> Need:
    """What a trial needs on this cluster.

    `gpu_share`: as measured, if a trial of the sweep has used a GPU. From then on all its trials
    need one, even while the last node with GPUs is away for a moment.
    """
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
    """The priority, plus a half for a sweep that has been overtaken too often."""
    running: int
    need: Need
    room: int
    """How many more trials it may start."""
    ready_alone: int
    """Ready trials that must run alone, counted up to the number of nodes."""
    kept: bool = False
    """Whether a node is drained for one of them."""
    ready: int | None = None
    """Other ready trials; None until they are counted."""


@dataclass
class _Round:
    """One round of planning: the open sweeps take turns until nothing more fits."""

    session: Session
    rooms: Rooms
    history: PlanHistory
    places: dict[tuple[str, bool], list[Place]] = field(default_factory=dict)
    """(sweep, whether the trials must run alone) -> where its next trials start."""

    def place_trials(self, skipped: int = 0) -> int:
        """Find places for trials of the next open sweeps after `skipped` of them; the number of
        sweeps looked at."""
        queues = self._queues(skipped)
        for queue in queues:
            if queue.ready_alone and queue.room > 0:
                queue.kept = self.rooms.keep(queue.need, queue.priority, queue.sweep_id)
        heap = [(-queue.rank, queue.running, at) for at, queue in enumerate(queues)]
        heapq.heapify(heap)
        self._look_ahead([queues[at] for *_, at in sorted(heap)])
        blocked: list[_Queue] = []
        claimed = sum(map(len, self.places.values()))
        while heap and claimed < MAX_CLAIMS:
            rank, running, at = heapq.heappop(heap)
            queue = queues[at]
            if blocked and queue.rank < blocked[0].rank:
                self._reserve_for(blocked)
                blocked = []
            may_start = queue.room > queue.kept
            taken = self._next_place(queue)
            if taken is not None:
                claimed += 1
                self.places.setdefault((queue.sweep_id, taken.isolated), []).append(taken)
                heapq.heappush(heap, (rank, running + 1, at))
                self.history.overtaken.update(each.sweep_id for each in blocked)
                del self.history.overtaken[queue.sweep_id]
            elif may_start and self.rooms.is_blocked(queue.need, queue.rank):
                blocked.append(queue)
        if len(queues) == MAX_SWEEPS:  # many of the others have a lower priority
            self._reserve_for(blocked)
        return len(queues)

    def _queues(self, skipped: int) -> list[_Queue]:
        found = open_sweeps(self.session, skipped)
        nodes = self.rooms.nodes
        lonely = [Wanted(each.id, each.lonely * len(nodes), alone=True) for each in found]
        queues = []
        for sweep, alone in zip(found, count_of_each(self.session, lonely), strict=True):
            room = sweep.queued
            if sweep.max_concurrent is not None:
                room = min(room, sweep.max_concurrent - sweep.running)
            each = replace(need_of(sweep, nodes), avoided=self.history.avoided(sweep.id))
            rank = sweep.priority + 0.5 * (self.history.overtaken[sweep.id] >= PATIENCE)
            queues.append(_Queue(sweep.id, sweep.priority, rank, sweep.running, each, room, alone))
        return queues

    def _reserve_for(self, blocked: Sequence[_Queue]) -> None:
        """Reserve room for the next trial of each blocked sweep, so that lower ranks do not take
        it."""
        ready = count_of_each(self.session, [Wanted(queue.sweep_id, 1) for queue in blocked])
        for queue, count in zip(blocked, ready, strict=True):
            if count:
                self.rooms.reserve(queue.need, queue.rank)

    def _next_place(self, queue: _Queue) -> Place | None:
        """Take a place for the sweep's next trial; None if no trial is ready, or none fits."""
        if queue.room <= 0:
            return None
        place = None
        if queue.ready_alone:
            place = self.rooms.take_alone(queue.need, queue.priority, queue.sweep_id)
        if place is not None:
            queue.ready_alone, queue.kept = queue.ready_alone - 1, False
        elif queue.room > queue.kept:  # one that it may start is for the node that is drained
            if queue.ready is None:
                self._count_ready([queue])
            if queue.ready:
                place = self.rooms.take(queue.need, queue.rank)
                queue.ready -= 1
        queue.room -= 1
        return place

    def _look_ahead(self, queues: Sequence[_Queue]) -> None:
        """Count the ready trials of all sweeps whose turn is sure to come, in one go.

        `queues`: in the order of their turns.
        """
        able = [queue for queue in queues if queue.room > queue.kept]
        most = max((self.rooms.most(queue.need) for queue in able), default=0)
        self._count_ready(able[: min(most, MAX_CLAIMS)])

    def _count_ready(self, queues: Sequence[_Queue]) -> None:
        wanted = [
            Wanted(queue.sweep_id, min(queue.room, self.rooms.most(queue.need), MAX_CLAIMS))
            for queue in queues
        ]
        for queue, count in zip(queues, count_of_each(self.session, wanted), strict=True):
            queue.ready = count
