"""The dispatcher: reap, claim, follow, settle, over an Executor.

It is the only writer of running trials, one process at a time (the lease sees to it). Reports that
arrive together are committed together.
"""

import logging
import os
import socket
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from service.lifecycle import Reason
from service.store import dispatching as store
from service.store.dispatching import Recorded
from service.store.session import Database

log = logging.getLogger(__name__)

Message = tuple[Any, ...]


class Executor(Protocol):
    """Runs trials somewhere and tells what they yield."""

    def resources(self) -> Mapping[str, float]:
        """All that there is, free or not, e.g. `{"CPU": 8.0, "GPU": 1.0}`."""

    def start(
        self,
        trial_id: int,
        attempt: int,
        spec: dict[str, Any],
        checkpoints: list[tuple[int, str, str]],
    ) -> None:
        """Start an attempt; what it yields comes from `poll`."""

    def poll(self, timeout: float) -> list[tuple[int, int, Message]]:
        """(trial, attempt, message) in order, waiting up to `timeout` seconds for the first."""

    def cancel(self, trial_id: int, attempt: int) -> None:
        """Stop an attempt; its end comes as a message."""

    def running(self) -> list[tuple[int, int]]:
        """(trial, attempt) of what has not ended."""

    def close(self) -> None:
        """Stop everything."""


class Dispatcher:
    """Leases queued trials, has them run, and records what they report."""

    def __init__(self, database: Database, executor: Executor, lease_seconds: float) -> None:
        self.id = str(uuid.uuid4())
        self._database, self._executor = database, executor
        self._lease_seconds = lease_seconds
        self._leads = False
        self._renew_at = 0.0
        self._sweep_at = 0.0
        self._held: dict[tuple[int, int], tuple[float, float]] = {}
        """CPUs and GPUs of each running attempt: Ray's own count of what is free lags behind."""

    def run(self, stopped: Callable[[], bool]) -> None:
        """Work until `stopped()`, then drain: requeue what runs, without counting a loss."""
        while not stopped():
            if not self.step():
                time.sleep(0.05)
        self.drain()

    def step(self, timeout: float = 0.05) -> bool:
        """Renew, reap, claim, follow once; whether anything happened."""
        if not self._keep_lease():
            return False
        if time.monotonic() >= self._sweep_at:
            self._sweep_at = time.monotonic() + 1
            self._stop_cancelled()
        started = self._claim()
        messages = self._executor.poll(timeout)
        if messages:
            self._record(messages)
        return bool(started or messages or self._held)

    def drain(self) -> None:
        """Give everything back: a planned restart costs no trial a failure."""
        with self._database.write() as session:
            for trial_id, attempt in self._held:
                store.settle(session, trial_id, attempt, Reason.user, "drained")
            store.drop_lease(session, self.id)
        log.info("drained: %d trials went back to the queue", len(self._held))
        self._held.clear()

    def _keep_lease(self) -> bool:
        if time.monotonic() < self._renew_at:
            return self._leads
        self._renew_at = time.monotonic() + min(5.0, self._lease_seconds / 6)
        with self._database.write() as session:
            led, self._leads = (
                self._leads,
                store.take_lease(
                    session, self.id, socket.gethostname(), os.getpid(), self._lease_seconds
                ),
            )
            lost = store.reap(session) if self._leads else 0
        if led and not self._leads:
            log.warning("another dispatcher took the lease; stopping %d trials", len(self._held))
            for trial_id, attempt in list(self._held):
                self._executor.cancel(trial_id, attempt)
            self._held.clear()
        elif self._leads and not led:
            log.info("dispatcher %s leads", self.id)
        if lost:
            log.warning("%d trials were lost with their dispatcher and are queued again", lost)
        return self._leads

    def _stop_cancelled(self) -> None:
        with self._database.read() as session:
            wanted = store.to_stop(session, self.id)
        for trial_id, attempt in wanted:
            self._executor.cancel(trial_id, attempt)

    def _claim(self) -> int:
        total = self._executor.resources()
        cpus = total.get("CPU", 0.0) - sum(held[0] for held in self._held.values())
        gpus = total.get("GPU", 0.0) - sum(held[1] for held in self._held.values())
        if cpus <= 0:
            return 0
        with self._database.read() as session:
            if not store.has_work(session):
                return 0
        with self._database.write() as session:
            assignments = store.claim(session, self.id, cpus, gpus, total.get("GPU", 0.0) > 0)
        for each in assignments:
            needs = each.resources
            assert needs.num_gpus != "auto"
            self._held[each.trial_id, each.attempt] = (needs.num_cpus, needs.num_gpus)
            self._executor.start(each.trial_id, each.attempt, each.spec, each.checkpoints)
            log.info(
                "sweep %s trial %d attempt %d started", each.sweep_id, each.trial_id, each.attempt
            )
        return len(assignments)

    def _record(self, messages: list[tuple[int, int, Message]]) -> None:
        stale: set[tuple[int, int]] = set()
        with self._database.write() as session:
            for trial_id, attempt, message in messages:
                match message:
                    case "started", environment:
                        store.record_environment(session, trial_id, attempt, environment)
                    case "epoch", report, checkpoint:
                        outcome = store.record(session, trial_id, attempt, report, checkpoint)
                        if outcome in (Recorded.stale, Recorded.gap):
                            stale.add((trial_id, attempt))
                        elif outcome is Recorded.different:
                            log.error(
                                "trial %d epoch %d was recomputed with other numbers; the first "
                                "ones stay", trial_id, report["epoch"],
                            )  # fmt: skip
                    case "ended", reason, text:
                        self._held.pop((trial_id, attempt), None)
                        state = store.settle(
                            session, trial_id, attempt, Reason(reason) if reason else None, text
                        )
                        log.info("trial %d attempt %d: %s %s", trial_id, attempt, state, text or "")
        for trial_id, attempt in stale:
            log.warning("trial %d attempt %d is stale; stopping it", trial_id, attempt)
            self._held.pop((trial_id, attempt), None)
            self._executor.cancel(trial_id, attempt)
