"""Requests of people on sweeps and trials: cancel, pause, resume, retry, extend, change, delete.

A request that is illegal in the present state raises a Conflict that says why; `refusals` has these
rules. Repeated, a request changes nothing the second time. A running trial that is cancelled or
paused stays `running` until it has stopped.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, func, update
from sqlalchemy.orm import Session

from lrd_core.changing import Changes, changed
from lrd_core.spec import SweepSpec, expand_arms
from service.errors import Conflict
from service.formatting import count
from service.lifecycle import Reason, TrialState
from service.store import history, refusals, reuse, submission, sweeps, webhooks
from service.store.models import Event, Sweep, Trial
from service.store.refusals import Refusal
from service.store.session import clock, db_now
from service.store.transitions import Moved, lock_sweeps, switch

# --- sweeps ---------------------------------------------------------------------------------------


def locked(session: Session, sweep_id: str) -> Sweep:
    """Lock the sweep until the transaction ends, and read it.

    Raises:
        NotFound: there is none with this id, or it was deleted.
    """
    lock_sweeps(session, [sweep_id])
    # An earlier read of this session may be out of date.
    return sweeps.get(session, sweep_id, anew=True)


def cancel_sweep(session: Session, sweep_id: str) -> Sweep:
    """End a sweep: queued trials now, running ones as soon as they have stopped.

    Raises:
        Conflict: it has ended with other results.
    """
    sweep = locked(session, sweep_id)
    if not _proceeds(sweep, refusals.cancel_sweep(sweep)):
        return sweep
    mine = Trial.sweep_id == sweep_id
    switch(session, TrialState.queued, TrialState.cancelled, mine, reason=Reason.user)
    session.execute(
        update(Trial)
        .where(mine, Trial.state == TrialState.running)
        .values(cancel_requested_at=func.coalesce(Trial.cancel_requested_at, db_now()))
    )
    return _changed(session, sweep, "cancel requested", cancel_requested_at=db_now())


def pause(session: Session, sweep_id: str) -> Sweep:
    """Start no more trials; running ones save their state and go back to the queue.

    Raises:
        Conflict: it has ended, or is being cancelled.
    """
    sweep = locked(session, sweep_id)
    if not _proceeds(sweep, refusals.pause(sweep)):
        return sweep
    return _changed(session, sweep, "paused", paused_at=db_now(), paused_because=None)


def resume(session: Session, sweep_id: str) -> Sweep:
    """Go on after a pause.

    Raises:
        Conflict: it was cancelled meanwhile.
    """
    sweep = locked(session, sweep_id)
    if not _proceeds(sweep, refusals.resume(sweep)):
        return sweep
    return _changed(session, sweep, "resumed", paused_at=None, paused_because=None, paced_from=None)


def retry_sweep(session: Session, sweep_id: str, *, cancelled: bool = False) -> Sweep:
    """Queue failed trials again, and with `cancelled` cancelled ones, from the last checkpoint.

    Diverged trials are findings and stay, because the same seed would diverge again.

    Raises:
        Conflict: it has ended without any such trial, or it is still being cancelled.
    """
    sweep = locked(session, sweep_id)
    if not _proceeds(sweep, refusals.retry_sweep(session, sweep, cancelled=cancelled)):
        return sweep
    mine = Trial.sweep_id == sweep_id
    moved = len(_requeue(session, TrialState.failed, mine))
    if cancelled:
        moved += len(_requeue(session, TrialState.cancelled, mine))
    return _changed(session, sweep, f"retried {count(moved, 'trial')}", cancel_requested_at=None)


def extend(session: Session, sweep_id: str, spec: SweepSpec) -> Sweep:
    """Extend the sweep to `spec`, which has all of its arms and seeds, and more.

    Only the missing trials are added and run. `spec` must derive from that of the `locked` sweep.

    Raises:
        Conflict: it was cancelled.
        InvalidSpec: the extended sweep is not valid.
    """
    sweep = locked(session, sweep_id)
    refuse_cancelled(sweep)
    now = clock(session)
    arms = expand_arms(spec)
    added, reused = submission.add_trials(session, sweep, arms, spec, now)
    if not added:
        return sweep
    submission.rename(session, sweep_id, arms)
    extended = _changed(
        session,
        sweep,
        f"{history.EXTENDED} by {count(added, 'trial')}",
        spec=spec.model_dump(mode="json", exclude_unset=True),
        trials_total=Sweep.trials_total + added,
        queued=Sweep.queued + added - reused,
        succeeded=Sweep.succeeded + reused,
        paced_from=None,
        **({"finished_at": now} if reused else {}),
    )
    webhooks.announce(session, [sweep_id])  # in case all results are reused
    return extended


def refuse_cancelled(sweep: Sweep) -> None:
    """Refuse to extend a cancelled sweep.

    Raises:
        Conflict: it was cancelled.
    """
    _proceeds(sweep, refusals.extend(sweep))


def change(session: Session, sweep_id: str, changes: Changes) -> Sweep:
    """Change what no result depends on, even while the sweep runs. The spec changes too, so that a
    clone has the same values.

    Raises:
        InvalidSpec: the table or the expected numbers do not fit the sweep.
    """
    sweep = locked(session, sweep_id)
    spec = changed(sweep.spec, changes)
    new = {name for name in Changes.model_fields if spec.get(name) != sweep.spec.get(name)}
    if not new:
        return sweep
    said = [
        f"{name} = {spec[name]}" if isinstance(spec.get(name), int) else f"{name} changed"
        for name in sorted(new)
    ]
    return _changed(
        session,
        sweep,
        ", ".join(said),
        spec=spec,
        name=spec["name"],
        tags=spec.get("tags", []),
        priority=spec.get("priority", 0),
        max_concurrent=spec.get("max_concurrent"),
        max_failures=spec.get("max_failures"),
    )


def delete_sweep(session: Session, sweep_id: str) -> None:
    """Hide a sweep that has ended from every reader, for good; `store.purging` deletes its rows.

    Its pending webhook messages are dropped, and no other sweep reuses its results any more.

    Raises:
        Conflict: it has not ended.
    """
    sweep = locked(session, sweep_id)
    _proceeds(sweep, refusals.delete_sweep(sweep))
    reuse.wait_for_takers(session)
    webhooks.drop(session, sweep_id)
    session.execute(
        update(Sweep)
        .where(Sweep.id == sweep_id)
        .values(deleted_at=db_now(), version=Sweep.version + 1)
    )


# --- trials ---------------------------------------------------------------------------------------


def cancel_trial(session: Session, trial_id: int) -> Trial:
    """End a trial: at once if it is queued, otherwise as soon as it has stopped.

    Raises:
        Conflict: it has succeeded or failed.
    """
    trial = _locked_trial(session, trial_id)
    if not _proceeds(trial, refusals.cancel_trial(trial)):
        return trial
    this = Trial.id == trial_id
    switch(session, TrialState.queued, TrialState.cancelled, this, reason=Reason.user)
    session.execute(
        update(Trial)
        .where(this, Trial.state == TrialState.running)
        .values(cancel_requested_at=func.coalesce(Trial.cancel_requested_at, db_now()))
    )
    return _fresh_trial(session, trial_id)


def retry_trial(session: Session, trial_id: int) -> Trial:
    """Queue a failed or cancelled trial again, from its last checkpoint.

    Raises:
        Conflict: it succeeded or diverged, which are results, or its sweep is being cancelled.
    """
    trial = _locked_trial(session, trial_id)
    sweep = locked(session, trial.sweep_id)
    if not _proceeds(trial, refusals.retry_trial(trial, sweep)):
        return trial
    if sweep.cancel_requested_at is not None:
        _changed(session, sweep, f"retried trial {trial_id}", cancel_requested_at=None)
    for state in (TrialState.failed, TrialState.cancelled):
        _requeue(session, state, Trial.id == trial_id)
    return _fresh_trial(session, trial_id)


# --- inside ---------------------------------------------------------------------------------------


def _locked_trial(session: Session, trial_id: int) -> Trial:
    lock_sweeps(session, [sweeps.get_trial(session, trial_id).sweep_id])
    return sweeps.get_trial(session, trial_id, anew=True)


def _fresh_trial(session: Session, trial_id: int) -> Trial:
    return session.get_one(Trial, trial_id, populate_existing=True)


def _proceeds(of: Sweep | Trial, refusal: Refusal | None) -> bool:
    """Whether the request on `of` has anything to do.

    Raises:
        Conflict: it is refused, and no repetition.
    """
    if refusal is not None and not refusal.is_repeat:
        raise Conflict(f"{type(of).__name__.lower()} {of.id} {refusal.why}")
    return refusal is None


def _requeue(
    session: Session, state: TrialState, *conditions: ColumnElement[bool]
) -> Sequence[Moved]:
    return switch(
        session,
        state,
        TrialState.queued,
        *conditions,
        refusals.MAY_RETRY,
        losses=0,
        alone=False,
        not_before=None,
        cancel_requested_at=None,
        finished_at=None,
    )


def _changed(session: Session, sweep: Sweep, event: str, **values: Any) -> Sweep:
    session.execute(
        update(Sweep).where(Sweep.id == sweep.id).values(version=Sweep.version + 1, **values)
    )
    now = clock(session)
    session.add(Event(sweep_id=sweep.id, at=now, kind=history.REQUEST, message=event))
    session.flush()
    return session.get_one(Sweep, sweep.id, populate_existing=True)
