"""The dispatcher: reap, claim, follow, settle, over an Executor.

It alone starts trials; the lease ensures that one dispatcher works at a time. Reports that arrive
together are committed together. Those that cannot be committed are kept until they are.
"""

import logging
import os
import socket
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from typing import Any

from sqlalchemy.orm import Session

from lrd_core.execution import Resources
from lrd_core.messages import Ended, Key, Outcome
from service.executor import Executor, had_memory_alone, reason_of
from service.heard import Batch, Heard, split_by_lock
from service.held import Held, Listening, Totals
from service.lifecycle import Reason, TrialState
from service.patience import Patience
from service.placement import Node, Rooms
from service.store import claims, gpu_memory, leases, recording, shortages, turns, watching
from service.store.away import is_unfit
from service.store.claims import Assignment
from service.store.models import Lease
from service.store.plan_history import PlanHistory
from service.store.recording import Recorded
from service.store.session import Database
from service.store.settling import SETTLED_TOGETHER, Ending, settle, settle_all, with_succeeded
from service.store.transitions import lock_sweeps

log = logging.getLogger(__name__)

KILL_AFTER_SECONDS = 10
"""A cancelled trial that has not stopped by then is hanging, and its process is killed."""
PLAN_SECONDS = 0.1
"""How often to look for more work while no trial ends. With 10,000 running, a look takes 5 ms."""
WATCH_SECONDS = 1.0
"""How often to look for requests, stalled trials and shortages."""
IDLE_SECONDS = 0.05
LEAVE_SECONDS = 5.0
"""How long after its time a drain still waits for a database, to give back what runs."""


class Dispatcher:
    """Claims queued trials, has them run, and records what they report."""

    def __init__(
        self,
        database: Database,
        executor: Executor,
        lease_seconds: float,
        stall_seconds: float = 600,
        drain_seconds: float = 8,
    ) -> None:
        self.id = str(uuid.uuid4())
        self._database, self._executor = database, executor
        self._lease_seconds, self._stall_seconds = lease_seconds, stall_seconds
        self._drain_seconds = drain_seconds
        self._leads = False
        self._patience = Patience()
        self._behind: tuple[str, str, int] | None = None
        """The leader (holder, host, pid) that this one last logged standing by for."""
        self._renew_at = self._watch_at = self._plan_at = 0.0
        self._nodes: list[Node] = []
        self._held: dict[Key, Held] = {}
        """Ray's own count of free resources lags behind, so they are counted from this."""
        self._heard: list[Heard] = []
        """Messages that are not in the database yet."""
        self._totals = Totals()
        self._listening = Listening()
        self._history = PlanHistory()

    def run(self, stopped: Callable[[], bool]) -> None:
        """Work until `stopped()`, then drain; wait for a database that is away."""
        while not stopped():
            if self._patience.with_(self.step) is False:
                time.sleep(IDLE_SECONDS)
        self.drain()

    def step(self, timeout: float = 0.05) -> bool:
        """Renew, reap, claim and follow once; whether anything happened."""
        if not self._keep_lease():
            return False
        if time.monotonic() >= self._watch_at:
            self._watch()
            self._watch_at = time.monotonic() + WATCH_SECONDS
        started = self._claim()
        recorded = self._follow(timeout)
        # `_follow` has waited for the trials, but not for a request that holds a sweep.
        waited = self._held and not self._heard
        return bool(started or recorded or waited)

    def drain(self) -> None:
        """Stop all trials, save their states and requeue them: a planned restart fails none."""
        for trial_id, attempt in self._held:
            self._executor.stop(trial_id, attempt)
        deadline = time.monotonic() + self._drain_seconds
        while self._held and time.monotonic() < deadline:
            if self._patience.with_(self._listen) is False:
                break
        while self._patience.with_(self._leave) is None:
            if time.monotonic() > deadline + LEAVE_SECONDS:
                log.warning("%d trials wait until the lease expires", len(self._held))
                break
        self._held.clear()

    def _listen(self) -> bool:
        """Record what the trials still report; False if another dispatcher leads."""
        if not self._keep_lease():
            return False
        if not self._follow(0.1):
            time.sleep(IDLE_SECONDS)
        return True

    def _leave(self) -> bool:
        """Requeue the trials that still run, and drop the lease."""
        held = [(key, each.assignment.sweep_id) for key, each in self._held.items()]
        for first in range(0, len(held), SETTLED_TOGETHER):
            self._give_back(dict(held[first : first + SETTLED_TOGETHER]), "drained")
        with self._database.write() as session:
            leases.drop(session, self.id)
        log.info("drained; %d trials were in the middle of an epoch", len(held))
        return True

    # --- the lease --------------------------------------------------------------------------------

    def _keep_lease(self) -> bool:
        if time.monotonic() < self._renew_at:
            return self._leads
        self._look_around()
        with self._database.write() as session:
            leads = leases.take(
                session,
                self.id,
                host=socket.gethostname(),
                pid=os.getpid(),
                seconds=self._lease_seconds,
                cluster=self._cluster(),
                patient=self._patience.has_waited,
            )
            self._stand_by(None if leads else leases.current(session))
        self._patience.has_waited = False
        self._renew_at = time.monotonic() + min(5.0, self._lease_seconds / 6)
        led, self._leads = self._leads, leads
        if led and not leads:
            log.warning("another dispatcher took the lease; stopping %d trials", len(self._held))
            for trial_id, attempt in self._held:
                self._executor.cancel(trial_id, attempt, force=True)
            self._held.clear()
            self._heard.clear()
        elif leads and not led:
            log.info("dispatcher %s leads", self.id)
        if leads and (lost := leases.reap(self._database)):
            log.warning("%d trials were lost with their dispatcher and are queued again", lost)
        return leads

    def _look_around(self) -> None:
        self._nodes = [Node.reported(each) for each in self._executor.nodes()]

    def _stand_by(self, lease: Lease | None) -> None:
        """Log each new leader once."""
        leader = None if lease is None else (lease.holder, lease.host, lease.pid)
        if leader is not None and leader != self._behind:
            log.info("standing by: the dispatcher %s on %s (pid %d) leads", *leader)
        self._behind = leader

    def _cluster(self) -> dict[str, Any]:
        return {
            "nodes": [asdict(node) for node in self._nodes],
            "totals": asdict(self._totals),
        }

    # --- claim ------------------------------------------------------------------------------------

    def _claim(self) -> int:
        """Start the trials that fit; how many."""
        if time.monotonic() < self._plan_at:
            return 0
        if self._held:
            self._plan_at = time.monotonic() + PLAN_SECONDS
        rooms = Rooms(self._nodes, [each.assignment.place for each in self._held.values()])
        if not rooms:
            return 0
        with self._database.read() as session:
            shares = turns.plan(session, rooms, self._history)
        if not shares:
            return 0
        with self._database.write() as session:
            assignments = claims.claim(session, self.id, shares)
        for each in assignments:
            key = each.trial_id, each.attempt
            self._held[key] = Held(each, self._listening.seconds)
            self._executor.start(*key, each.spec, each.checkpoints, asdict(each.place))
            log.info("sweep %s trial %d attempt %d started", each.sweep_id, *key)
        if assignments:
            self._plan_at = 0.0  # more may fit
        return len(assignments)

    # --- watch ------------------------------------------------------------------------------------

    def _watch(self) -> None:
        """Look for what no message reports: requests, hanging or overdue trials, waiting sweeps."""
        with self._database.read() as session:
            mine = watching.held_by(session, self.id)
            asked = watching.asked_to_stop(session, self.id)
            stalled = watching.stalled(session, self.id, self._stall_seconds)
            waiting = shortages.note_shortages(session, self._nodes)
        unrecorded = {each.key for each in self._heard}
        # Requeued while this process hung. What has messages to record may have ended by the first
        # try to record them, whose answer was lost; the next try finds out.
        for key in self._held.keys() - mine.keys() - unrecorded:
            log.warning("trial %d attempt %d is no longer this dispatcher's; stopping it", *key)
            self._let_go(key)
            self._executor.cancel(*key, force=True)
        never_started = {key: mine[key] for key in mine.keys() - self._held.keys()}
        if never_started:  # claimed, but the connection broke before the answer came
            self._give_back(never_started, "claimed but not started")
        for trial_id, attempt, for_good in asked:
            self._stop(trial_id, attempt, for_good=for_good)
        now = self._listening.seconds
        for key in self._held.keys() - unrecorded:  # those are not silent
            held = self._held[key]
            limit = held.assignment.timeout_seconds
            if limit is not None and now - held.listened_at_start > limit:
                self._end(key, Reason.timeout, f"ran longer than its limit of {limit:g} s")
            elif key in stalled and now - held.last_heard >= stalled[key]:
                self._end(key, Reason.stalled, f"no report for {stalled[key]:g} s or more")
        if waiting:
            with self._database.write() as session:
                shortages.write_shortages(session, waiting)

    def _give_back(self, attempts: Mapping[Key, str], message: str) -> None:
        """Requeue attempts, given with their sweeps. Those of sweeps that others hold stay, for the
        next look or the next dispatcher."""
        end = Ending(Reason.user, message)
        with self._database.write() as session:
            locked = lock_sweeps(session, set(attempts.values()), skip_locked=True)
            settle_all(session, {key: end for key, of in attempts.items() if of in locked})

    def _stop(self, trial_id: int, attempt: int, *, for_good: bool) -> None:
        held = self._held.get((trial_id, attempt))
        if held is None:
            return
        now = time.monotonic()
        if for_good:
            force = held.cancelled_at is not None and now - held.cancelled_at > KILL_AFTER_SECONDS
            if held.cancelled_at is None or force:
                self._executor.cancel(trial_id, attempt, force=force)
                held.cancelled_at = now
        elif not held.asked_to_stop:
            self._executor.stop(trial_id, attempt)
            held.asked_to_stop = True

    def _end(self, key: Key, reason: Reason, message: str) -> bool:
        """Settle an attempt that does not end by itself, then kill it; False, with nothing done, if
        others hold its sweep."""
        with self._database.write() as session:
            if not self._lock(session, [key]):
                return False
            state = settle(session, *key, reason, message)
        log.warning("trial %d attempt %d: %s; it is %s now", *key, message, state)
        self._let_go(key)
        self._executor.cancel(*key, force=True)
        return True

    # --- follow and settle ------------------------------------------------------------------------

    def _follow(self, timeout: float) -> int:
        """Record what the trials report; the number of messages recorded."""
        new = self._executor.poll(timeout)
        now = time.monotonic()
        self._heard += [Heard(*envelope, now) for envelope in new]
        ends = [message for *_, message in new if isinstance(message, Ended)]
        if any(end.outcome is Outcome.lost for end in ends):
            self._look_around()  # its node may be gone, and would lose more trials placed there
        count = len(self._heard)
        if count:
            try:
                self._record()
            except Exception as error:
                if not is_unfit(error):
                    raise
                log.warning("messages cannot be recorded together, only by trial: %s", error)
                self._record_apart()
        self._listening.go_on()
        return count - len(self._heard)

    def _record_apart(self) -> None:
        """Record each trial's messages alone; end only those that no database takes."""
        left: dict[Key, list[Heard]] = {}
        for each in self._heard:
            left.setdefault(each.key, []).append(each)
        try:
            for key in list(left):
                self._heard = left[key].copy()
                try:
                    self._record()
                except Exception as error:
                    if not is_unfit(error):
                        raise
                    if self._end(key, Reason.error, f"its report cannot be recorded: {error}"):
                        self._heard = []
                left[key] = self._heard  # kept for next time if a request holds its sweep
        finally:
            self._heard = [each for kept in left.values() for each in kept]

    def _record(self) -> None:
        with self._database.write() as session:
            locked = self._lock(session, [each.key for each in self._heard])
            heard, later = split_by_lock(self._heard, self._held, locked)
            batch = Batch.of(heard)
            for key, given in batch.gpus:
                self._held[key].set_gpus(given.numbers)
            recording.record_environments(session, batch.environments)
            for key, peak in batch.memory:
                gpu_memory.record_memory(session, *key, peak.used, peak.total)
            outcomes = recording.record_all(session, batch.epochs)
            ended = self._settle(session, batch.ends)  # after their last epochs
            sweep_ids = {self._held[epoch.key].assignment.sweep_id for epoch in batch.epochs}
            recording.touch(session, sweep_ids)
        self._count(heard)
        self._heard = later
        self._discard(batch.epochs, outcomes)
        for key, state in ended.items():
            if state is TrialState.succeeded and (done := self._held[key].checkpoints.done()):
                self._executor.discard(key[0], done)
            self._let_go(key)
        self._stop_stale(batch.epochs, outcomes)

    def _settle(
        self, session: Session, ends: list[tuple[Key, Ended]]
    ) -> dict[Key, TrialState | None]:
        """Settle these attempts; the new states of their trials."""
        said: dict[Key, Ending] = {}
        for key, end in ends:
            assignment = self._held[key].assignment
            reason = reason_of(end.outcome)
            if end.outcome is Outcome.no_data and self._try_elsewhere(assignment):
                reason = Reason.lost
            alone = had_memory_alone(end.outcome, assignment.place)
            said[key] = Ending(reason, end.text or None, end.weights_sha256, alone)
        states = with_succeeded(session, settle_all(session, said))
        for key, end in ends:
            log.info("trial %d attempt %d: %s %s", *key, states[key], end.text)
        return states

    def _try_elsewhere(self, assignment: Assignment) -> bool:
        """Have the sweep avoid a node that lacks its data; whether another node may have it. A node
        where trials end at once is always the emptiest, and would get the next one, too."""
        need = turns.need(Resources.model_validate(assignment.spec["resources"]), self._nodes)
        usable = [node.id for node in self._nodes if need.may_use(node)]
        return self._history.avoid(assignment.sweep_id, assignment.place.node, usable)

    def _discard(self, epochs: list[recording.ReportedEpoch], outcomes: list[Recorded]) -> None:
        """Delete the checkpoints that nothing will resume from; call it after the commit."""
        for epoch, outcome in zip(epochs, outcomes, strict=True):
            held = self._held.get(epoch.key)
            if held is None or epoch.checkpoint is None:
                continue
            if outcome in (Recorded.stale, Recorded.gap):
                continue  # another dispatcher may need it
            refused = outcome is Recorded.different
            old = held.checkpoints.replaced(epoch.checkpoint.name, refused=refused)
            if old:
                self._executor.discard(epoch.trial_id, old)

    def _stop_stale(self, epochs: list[recording.ReportedEpoch], outcomes: list[Recorded]) -> None:
        """Stop attempts whose epochs were stale; log epochs that were recomputed differently."""
        for epoch, outcome in zip(epochs, outcomes, strict=True):
            if outcome is Recorded.different:
                log.error(
                    "trial %d epoch %d was recomputed with other numbers; the first ones stay",
                    epoch.trial_id, epoch.report["epoch"],
                )  # fmt: skip
            elif outcome in (Recorded.stale, Recorded.gap) and epoch.key in self._held:
                log.warning("trial %d attempt %d is stale; stopping it", *epoch.key)
                self._let_go(epoch.key)
                self._executor.cancel(*epoch.key, force=True)

    def _count(self, heard: list[Heard]) -> None:
        for each in heard:
            held = self._held[each.key]
            held.last_heard = self._listening.seconds
            self._totals.count(each.message, each.at, held)

    def _let_go(self, key: Key) -> None:
        self._held.pop(key, None)
        self._plan_at = 0.0  # others may use its room at once

    def _lock(self, session: Session, keys: Iterable[Key]) -> set[str]:
        """Lock the sweeps of these attempts, except those that others hold; the ids of those
        locked. A request that holds a sweep for seconds delays the trials of that sweep alone."""
        held = [self._held[key] for key in keys if key in self._held]
        sweep_ids = {each.assignment.sweep_id for each in held}
        return lock_sweeps(session, sweep_ids, skip_locked=True)
