"""Rows as the API shows them: JSON-safe, times in RFC 3339."""

from typing import Any

from lrd_core.execution import Execution
from service.formatting import NO_DISPATCHER, count, rfc3339
from service.store.failures import Failure
from service.store.models import (
    Arm,
    Attempt,
    AuditEntry,
    Delivery,
    Event,
    Lease,
    Report,
    Sweep,
    Trial,
    Webhook,
)
from service.store.queue import InUse, Running, Waiting


def sweep_view(sweep: Sweep) -> dict[str, Any]:
    """A sweep as `sweep_summary`, with its spec."""
    return {
        **sweep_summary(sweep),
        "notes": sweep.spec.get("notes", ""),
        "spec": sweep.spec,
    }


def sweep_summary(sweep: Sweep) -> dict[str, Any]:
    """A sweep with its derived state and the number of its trials in each state."""
    return {
        "id": sweep.id,
        "name": sweep.name,
        "tags": sweep.tags,
        "state": sweep.state,
        "trials_total": sweep.trials_total,
        "trials": {str(state): count for state, count in sweep.counts.items()},
        "created_at": rfc3339(sweep.created_at),
        "started_at": rfc3339(sweep.started_at),
        "paced_from": rfc3339(sweep.paced_from),
        "finished_before": sweep.finished_before,
        "finished_at": rfc3339(sweep.finished_at) if sweep.has_ended else None,
        "paused_at": rfc3339(sweep.paused_at),
        "paused_because": sweep.paused_because,
        "cancel_requested_at": rfc3339(sweep.cancel_requested_at),
        "priority": sweep.priority,
        "max_concurrent": sweep.max_concurrent,
        "max_failures": sweep.max_failures,
        "waiting_for": sweep.waiting_for if sweep.queued else None,
        "code_version": sweep.code_version,
        "owner": sweep.owner,
        "gpu_share": sweep.gpu_share,
    }


def trial_view(trial: Trial, arm: Arm) -> dict[str, Any]:
    """A trial with its state, the reason for it, and its newest report."""
    return {
        "id": trial.id,
        "sweep_id": trial.sweep_id,
        "arm_id": trial.arm_id,
        "label": arm.label,
        "seed": trial.seed,
        "state": trial.state,
        "reason": trial.reason,
        "message": trial.message,
        "attempt": trial.attempt,
        "epochs": trial.epochs,
        "epochs_done": trial.epochs_done,
        "last_report": trial.last_report,
        "seconds": trial.seconds,
        "config": arm.config,
        "losses": trial.losses,
        "not_before": rfc3339(trial.not_before),
        "cpus": trial.cpus,
        "gpus": trial.gpus,
        "alone": trial.alone,
        "weights_sha256": trial.weights_sha256,
        "reused_from": trial.reused_from,
        "created_at": rfc3339(trial.created_at),
        "started_at": rfc3339(trial.started_at),
        "finished_at": rfc3339(trial.finished_at),
        "cancel_requested_at": rfc3339(trial.cancel_requested_at),
    }


def provenance_view(
    trial: Trial, arm: Arm, sweep: Sweep, attempt: Attempt | None
) -> dict[str, Any]:
    """Everything that a trial's numbers depend on; the environment is that of its newest attempt,
    None until that has begun."""
    execution = Execution().model_dump(mode="json") | sweep.spec.get("execution", {})
    return {
        "code_version": sweep.code_version,
        "config_sha256": arm.config_sha256,
        "seed": trial.seed,
        "execution": execution,
        "reused_from": trial.reused_from,
        "weights_sha256": trial.weights_sha256,
        "environment": None if attempt is None else attempt.environment,
    }


def report_view(report: Report) -> dict[str, Any]:
    """One epoch as a flat object, with the attempt that recorded it."""
    return {**report.report, "attempt": report.attempt, "recorded_at": rfc3339(report.recorded_at)}


def attempt_view(attempt: Attempt) -> dict[str, Any]:
    """One attempt at a trial: when, where, on what, and how it ended."""
    return {
        "attempt": attempt.attempt,
        "dispatcher_id": attempt.dispatcher_id,
        "started_at": rfc3339(attempt.started_at),
        "ended_at": rfc3339(attempt.ended_at),
        "outcome": attempt.outcome,
        "message": attempt.message,
        "environment": attempt.environment,
        "recomputed_from": attempt.recomputed_from,
        "recomputed_to": attempt.recomputed_to,
        "different_epoch": attempt.different_epoch,
    }


def event_view(event: Event) -> dict[str, Any]:
    """Something that happened to a sweep or a trial."""
    return {
        "id": event.id,
        "sweep_id": event.sweep_id,
        "trial_id": event.trial_id,
        "attempt": event.attempt,
        "at": rfc3339(event.at),
        "kind": event.kind,
        "from_state": event.from_state,
        "to_state": event.to_state,
        "reason": event.reason,
        "message": event.message,
    }


def failure_view(failure: Failure) -> dict[str, Any]:
    """A reason and message shared by failed trials."""
    return failure._asdict()


def webhook_view(webhook: Webhook) -> dict[str, Any]:
    """A webhook without its secret."""
    return {"id": webhook.id, "url": webhook.url, "created_at": rfc3339(webhook.created_at)}


def delivery_view(delivery: Delivery) -> dict[str, Any]:
    """A message to a webhook."""
    return {
        "id": delivery.id,
        "sweep_id": delivery.sweep_id,
        "event": delivery.event,
        "created_at": rfc3339(delivery.created_at),
        "tries": delivery.tries,
        "next_at": rfc3339(delivery.next_at),
        "delivered_at": rfc3339(delivery.delivered_at),
        "error": delivery.error,
    }


def audit_view(entry: AuditEntry) -> dict[str, Any]:
    """Who changed what."""
    return {
        "id": entry.id,
        "at": rfc3339(entry.at),
        "name": entry.name,
        "token_id": entry.token_id,
        "address": entry.address,
        "action": entry.action,
        "target": entry.target,
    }


def cluster_view(lease: Lease | None, held: InUse) -> dict[str, Any]:
    """The nodes as the leading dispatcher last saw them, and how much running trials hold."""
    nodes = lease.nodes if lease else []
    return {
        "dispatcher": None
        if lease is None
        else {
            "id": lease.holder,
            "host": lease.host,
            "pid": lease.pid,
            "term": lease.term,
            "leads_since": rfc3339(lease.acquired_at),
        },
        "nodes": nodes,
        "cpus": {"total": sum(node["cpus"] for node in nodes), "held": held.cpus},
        "gpus": {"total": sum(node["gpus"] for node in nodes), "held": held.gpus},
        "trials_running": held.trials,
    }


def running_view(running: Running) -> dict[str, Any]:
    """A trial that is running, and where."""
    trial, environment = running.trial, running.environment or {}
    return {
        "trial_id": trial.id,
        "sweep_id": trial.sweep_id,
        "sweep": running.sweep,
        "label": running.label,
        "seed": trial.seed,
        "attempt": trial.attempt,
        "epochs": trial.epochs,
        "epochs_done": trial.epochs_done,
        "cpus": trial.cpus,
        "gpus": trial.gpus,
        "alone": trial.alone,
        "node": environment.get("node"),
        "device": environment.get("device"),
        "since": rfc3339(running.since),
    }


def waiting_view(waiting: Waiting, free: dict[str, float], *, leads: bool) -> dict[str, Any]:
    """A sweep with queued trials, and what they wait for."""
    sweep = waiting.sweep
    return {
        "sweep_id": sweep.id,
        "name": sweep.name,
        "queued": sweep.queued,
        "running": sweep.running,
        "priority": sweep.priority,
        "max_concurrent": sweep.max_concurrent,
        "why": _why(waiting, free, leads=leads),
    }


def _why(waiting: Waiting, free: dict[str, float], *, leads: bool) -> str:
    sweep = waiting.sweep
    if sweep.paused_at is not None:
        return ", because ".join(filter(None, ["it is paused", sweep.paused_because]))
    if not leads:
        return NO_DISPATCHER
    if sweep.waiting_for:
        return sweep.waiting_for
    if sweep.max_concurrent is not None and sweep.running >= sweep.max_concurrent:
        return f"its limit of {count(sweep.max_concurrent, 'trial')} at once is reached"
    if waiting.alone:
        return "a node that empties: a trial of it ran out of memory, and is to run alone"
    left = " and ".join(f"{some:g} {name}{'s' * (some != 1)}" for name, some in free.items())
    return f"its turn: {left or 'nothing'} free, given out by priority and in equal parts"
