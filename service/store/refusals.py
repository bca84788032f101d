"""Why a request on a sweep or a trial is refused in its present state.

`requests` refuses by these rules, and `GET …/refusals` says the same before anybody asks. A reason
is what follows "this sweep" or "this trial" in the sentence.
"""

from typing import NamedTuple

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from service.formatting import count
from service.lifecycle import Reason, TrialState
from service.store.models import Sweep, Trial

MAY_RETRY = or_(Trial.reason.is_(None), Trial.reason != Reason.diverged)
"""Condition on a failed or cancelled trial. A diverged one is a finding and stays, because the same
seed would diverge again."""


class Refusal(NamedTuple):
    """Why a request has nothing to do."""

    why: str
    is_repeat: bool = False
    """Whether what is asked for is already so: the request is then answered without a change."""


def cancel_sweep(sweep: Sweep) -> Refusal | None:
    """None if some of its trials have yet to end, and nobody has cancelled it."""
    cancelled = sweep.cancel_requested_at is not None
    if sweep.has_ended:
        return Refusal("has ended; there is nothing to cancel", cancelled)
    return Refusal("is already being cancelled", True) if cancelled else None


def pause(sweep: Sweep) -> Refusal | None:
    """None if some of its trials have yet to end, and nobody has paused or cancelled it."""
    paused = sweep.paused_at is not None
    if sweep.has_ended:
        return Refusal("has ended; there is nothing to pause", paused)
    if sweep.cancel_requested_at is not None:
        return Refusal("is being cancelled; there will be nothing to pause", paused)
    return Refusal("is already paused", True) if paused else None


def resume(sweep: Sweep) -> Refusal | None:
    """None if it is paused."""
    if sweep.cancel_requested_at is not None:
        return Refusal("was cancelled; retry its cancelled trials instead")
    return Refusal("is not paused", True) if sweep.paused_at is None else None


def retry_sweep(session: Session, sweep: Sweep, *, cancelled: bool) -> Refusal | None:
    """None if a failed trial, or with `cancelled` a cancelled one, may be retried."""
    if sweep.cancel_requested_at is not None and sweep.running:
        return Refusal("is being cancelled; retry when its trials have stopped")
    with_cancelled = f"with cancelled=true (`lrd retry {sweep.id} --cancelled`)"
    if sweep.cancel_requested_at is not None and not cancelled:
        return Refusal(f"was cancelled; retry it {with_cancelled}")
    states = [TrialState.failed, TrialState.cancelled] if cancelled else [TrialState.failed]
    if any(sweep.counts[state] for state in states):
        some = select(Trial.id).where(Trial.sweep_id == sweep.id, Trial.state.in_(states))
        if session.scalar(some.where(MAY_RETRY).limit(1)) is not None:
            return None
    why = f"has no {' or '.join(states)} trial to retry"
    if sweep.failed:
        why = "has nothing to retry: its failed trials diverged, and that is their result"
    if sweep.cancelled and not cancelled:
        why += f"; its cancelled trials are retried {with_cancelled}"
    return Refusal(why, is_repeat=not sweep.has_ended)


def extend(sweep: Sweep) -> Refusal | None:
    """None unless it was cancelled."""
    cancelled = sweep.cancel_requested_at is not None
    return Refusal("was cancelled; clone it instead") if cancelled else None


def delete_sweep(sweep: Sweep) -> Refusal | None:
    """None if it has ended."""
    if sweep.has_ended:
        return None
    if sweep.cancel_requested_at is not None:
        return Refusal("is being cancelled; delete it when its trials have stopped")
    left = f"{count(sweep.queued, 'queued trial')} and {count(sweep.running, 'running one')}"
    return Refusal(
        f"has {left}; cancel it first (`lrd cancel {sweep.id}`), and delete it when its trials "
        "have stopped"
    )


def cancel_trial(trial: Trial) -> Refusal | None:
    """None if it has yet to end, and nobody has cancelled it."""
    if trial.state in (TrialState.succeeded, TrialState.failed):
        return Refusal(f"has {trial.state}; there is nothing to cancel")
    if trial.state == TrialState.cancelled:
        return Refusal("is already cancelled", True)
    asked = trial.cancel_requested_at is not None
    return Refusal("is already being cancelled", True) if asked else None


def retry_trial(trial: Trial, sweep: Sweep) -> Refusal | None:
    """None if it failed, but did not diverge, or was cancelled, and its `sweep` stands still."""
    if trial.state in (TrialState.queued, TrialState.running):
        if trial.cancel_requested_at is not None:
            return Refusal("is being cancelled; retry it when it has stopped")
        return Refusal("has not ended", True)
    if trial.state == TrialState.succeeded or trial.reason == Reason.diverged:
        ended = "diverged" if trial.reason == Reason.diverged else "succeeded"
        return Refusal(f"{ended}: that is its result, and a retry would repeat it")
    if sweep.cancel_requested_at is not None and sweep.running:
        return Refusal("belongs to a sweep that is being cancelled; retry it when that has ended")
    return None
