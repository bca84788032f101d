"""Rows as the reader sees them: JSON-safe, times in RFC 3339."""

from typing import Any

from service.api.context import rfc3339
from service.lifecycle import TrialState, sweep_state
from service.store.models import Report, Sweep, Trial


def sweep_view(sweep: Sweep) -> dict[str, Any]:
    """A sweep with its derived state and the count of its trials in each state."""
    counts = {state: getattr(sweep, state) for state in TrialState}
    return {
        "id": sweep.id,
        "name": sweep.name,
        "state": sweep_state(counts, paused=sweep.paused_at is not None),
        "trials_total": sweep.trials_total,
        "trials": {str(state): count for state, count in counts.items()},
        "spec": sweep.spec,
        "created_at": rfc3339(sweep.created_at),
        "started_at": rfc3339(sweep.started_at),
        "finished_at": rfc3339(sweep.finished_at) if not sweep.queued + sweep.running else None,
        "cancel_requested_at": rfc3339(sweep.cancel_requested_at),
    }


def trial_view(trial: Trial, config: dict[str, Any]) -> dict[str, Any]:
    """A trial with its state, its reason and its newest report."""
    return {
        "id": trial.id,
        "sweep_id": trial.sweep_id,
        "arm_id": trial.arm_id,
        "seed": trial.seed,
        "state": trial.state,
        "reason": trial.reason,
        "message": trial.message,
        "attempt": trial.attempt,
        "epochs": trial.epochs,
        "epochs_done": trial.epochs_done,
        "last_report": trial.last_report,
        "seconds": trial.seconds,
        "config": config,
        "created_at": rfc3339(trial.created_at),
        "started_at": rfc3339(trial.started_at),
        "finished_at": rfc3339(trial.finished_at),
        "cancel_requested_at": rfc3339(trial.cancel_requested_at),
    }


def report_view(report: Report) -> dict[str, Any]:
    """One epoch, flat, with the attempt that recorded it."""
    return {**report.report, "attempt": report.attempt, "recorded_at": rfc3339(report.recorded_at)}
