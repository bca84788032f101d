"""Attempts that end together: each as if it had ended alone, in statements shared by all."""

from typing import Any

import pytest
from sqlalchemy import event, select, update

from lrd_core.spec import SweepSpec, expand_arms
from service.lifecycle import MAX_LOST, Reason
from service.placement import Node, Rooms
from service.store import claims, leases, recording, requests, settling, submission, turns
from service.store.claims import Assignment
from service.store.models import Attempt, Event, Sweep, Trial
from service.store.recording import ReportedEpoch
from service.store.session import Database
from service.store.settling import Ending
from tests.conftest import small_sweep

ENDS = [
    Ending(None, weights_sha256="a" * 64),
    Ending(None, weights_sha256="b" * 64),
    Ending(None, weights_sha256="c" * 64),  # short of an epoch
    Ending(None, weights_sha256="d" * 64),  # cancelled
    Ending(Reason.user, "drained"),
    Ending(Reason.user, "drained"),
    Ending(Reason.lost, "its node died"),
    Ending(Reason.lost, "its node died"),  # for the last time
    Ending(Reason.error, "ValueError: one"),
    Ending(Reason.error, "ValueError: two"),
    Ending(Reason.diverged, "the loss is nan"),
    Ending(Reason.oom, "CUDA out of memory.", unshared=True),
    Ending(Reason.oom, "CUDA out of memory."),
    Ending(Reason.stalled),  # stale
]
SHORT, CANCELLED, OFTEN_LOST, STALE = 2, 3, 7, 13


def running(database: Database, trials: int) -> list[Assignment]:
    """The claimed trials of a new sweep."""
    spec = SweepSpec.parse(small_sweep(grid={}, seeds=trials))
    with database.write() as session:
        submission.create(session, spec, expand_arms(spec), code_version="1")
        leases.take(session, "d", host="", pid=1, seconds=1000)
        shares = turns.plan(session, Rooms([Node(trials, 0)]))
        return claims.claim(session, "d", shares)


def told(database: Database, *, together: bool) -> Any:
    """What is stored of a sweep of which each trial has ended in a way of its own."""
    tries = running(database, len(ENDS))
    with database.write() as session:
        for number, each in enumerate(tries):
            for epoch in (1,) if number == SHORT else (1, 2):
                said = {"epoch": epoch, "loss": 1.0, "seconds": 1.0}
                recording.record(session, ReportedEpoch(each.trial_id, 1, said, None))
        requests.cancel_trial(session, tries[CANCELLED].trial_id)
        often = Trial.id == tries[OFTEN_LOST].trial_id
        session.execute(update(Trial).where(often).values(losses=MAX_LOST))
    ends = {
        (each.trial_id, each.attempt + (number == STALE)): end
        for number, (each, end) in enumerate(zip(tries, ENDS, strict=True))
    }
    with database.write() as session:
        if together:
            states = list(settling.settle_all(session, ends).values())
        else:
            states = [settling.settle_all(session, {key: ends[key]})[key] for key in ends]
    assert states[STALE] is None
    of = Trial.sweep_id == tries[0].sweep_id
    left_out = {"id", "sweep_id", "arm_id", "trial_id", "started_at", "reported_at", "created_at"}
    left_out |= {"ended_at", "finished_at", "not_before", "cancel_requested_at", "version"}

    def columns(row: Any) -> dict[str, Any]:
        names = row.__table__.columns.keys()
        return {name: getattr(row, name) for name in names if name not in left_out}

    with database.write() as session:
        trials = session.scalars(select(Trial).where(of).order_by(Trial.id)).all()
        ids = [each.id for each in trials]
        attempts = session.scalars(select(Attempt).where(Attempt.trial_id.in_(ids)))
        events = session.scalars(select(Event).where(Event.trial_id.in_(ids)).order_by(Event.id))
        sweep = session.get_one(Sweep, tries[0].sweep_id)
        counts = {state: getattr(sweep, state) for state in {each.state for each in trials}}
        stored = (
            states,
            counts,
            [(columns(each), each.not_before is None, each.finished_at is None) for each in trials],
            sorted((each.trial_id - ids[0], each.outcome, each.message) for each in attempts
                   if each.outcome),
            sorted((each.trial_id - ids[0], each.attempt, each.to_state, str(each.reason))
                   for each in events),
        )  # fmt: skip
        requests.cancel_sweep(session, sweep.id)  # its queued trials are not for the next one
        return stored


def test_attempts_that_end_together_are_as_if_settled_in_turn(database: Database) -> None:
    states, counts, trials, *rest = told(database, together=True)
    again = told(database, together=False)
    assert [states, counts, trials, *rest] == list(again)
    assert counts == {"succeeded": 2, "failed": 6, "cancelled": 1, "queued": 4, "running": 1}
    assert [row["weights_sha256"] for row, *_ in trials[:2]] == ["a" * 64, "b" * 64]


@pytest.mark.parametrize("end", [Ending(None), Ending(Reason.user, "drained")])
def test_many_that_end_alike_take_no_more_statements_than_a_few(
    database: Database, end: Ending
) -> None:
    """Catches: 10 seconds in which nobody else could write, while thousands were settled."""
    statements: list[list[str]] = []
    event.listen(
        database.engine, "before_cursor_execute", lambda *args: statements[-1].append(args[2])
    )
    for trials in (2, 40):
        statements.append([])
        tries = running(database, trials)
        with database.write() as session:
            statements.append([])
            settling.settle_all(session, {(each.trial_id, 1): end for each in tries})
    assert len(statements[1]) == len(statements[3]) < 15
