"""States, reasons and legal transitions of a trial, and the derived state of a sweep. Pure.

    queued ──claim──▶ running ──finish──▶ succeeded
      │  ◀─lost, stalled,──┤
      │    stopped,        ├──error, diverged, oom, …──▶ failed
      │    oom (once)      │
      └──────cancel────────┴──────────▶ cancelled
    failed, cancelled ──retry by the user──▶ queued

Cancel and pause are requests, stored as fields: a running trial stays `running` until it stops.
"""

from enum import StrEnum


class TrialState(StrEnum):
    """The state of a trial."""

    queued = "queued"
    running = "running"
    succeeded = "succeeded"
    failed = "failed"
    cancelled = "cancelled"


class Reason(StrEnum):
    """Why a trial is in its state."""

    diverged = "diverged"
    """The loss is not finite: a finding, counted and shown, never retried."""
    oom = "oom"
    """Out of memory: the first time it is queued again, to run alone; the second time it fails."""
    error = "error"
    """The trial raised; the same code would raise again."""
    stalled = "stalled"
    """No report for longer than the limit; retried with backoff."""
    lost = "lost"
    """Its worker, node or dispatcher vanished, or its checkpoints could not be read; retried with
    backoff."""
    timeout = "timeout"
    """Ran longer than its limit of wall time."""
    user = "user"
    """Somebody asked for it."""


class SweepState(StrEnum):
    """Where a sweep is; derived by `sweep_state`."""

    queued = "queued"
    running = "running"
    paused = "paused"
    succeeded = "succeeded"
    failed = "failed"
    cancelled = "cancelled"


TRANSITIONS: dict[TrialState, frozenset[TrialState]] = {
    TrialState.queued: frozenset({TrialState.running, TrialState.cancelled}),
    TrialState.running: frozenset(
        {TrialState.succeeded, TrialState.failed, TrialState.cancelled, TrialState.queued}
    ),
    TrialState.succeeded: frozenset(),
    TrialState.failed: frozenset({TrialState.queued}),
    TrialState.cancelled: frozenset({TrialState.queued}),
}

TERMINAL = frozenset({TrialState.succeeded, TrialState.failed, TrialState.cancelled})
ENDED = frozenset(SweepState(state) for state in TERMINAL)
"""The states in which all trials of a sweep have ended."""

MAX_LOST = 20
"""A trial lost more often than this fails: it may be what kills its workers."""
MAX_STALLED = 5
"""A trial that stalls again after this many losses fails: it would be silent for ever."""


def patience(losses: int) -> int:
    """How many times the limit a trial may be silent after its n-th loss: 1, 2, 4, 8, 16. Nobody
    knows how long its data and its first epoch take, and if it were killed at the same point each
    time, it would never get past that."""
    return 1 << min(losses, 4)


def backoff_seconds(losses: int) -> float:
    """The pause of a trial after its n-th loss: 1, 2, 4 … at most 300 s."""
    return float(min(300, 2 ** max(0, losses - 1)))


def sweep_state(counts: dict[TrialState, int], *, paused: bool = False) -> SweepState:
    """The state of a sweep with these counts of trials by state."""
    waiting, active = counts[TrialState.queued], counts[TrialState.running]
    if waiting == active == 0:
        if counts[TrialState.failed]:
            return SweepState.failed
        return SweepState.cancelled if counts[TrialState.cancelled] else SweepState.succeeded
    if paused and not active:
        return SweepState.paused
    started = active or sum(counts.values()) > waiting
    return SweepState.running if started else SweepState.queued
