"""The store under the dispatcher: claims, fences, reports once, ends, and counts that add up."""

import random
import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import event, select, update

from lrd_core.spec import SweepSpec, expand_arms
from lrd_core.trial_folder import Checkpoint
from service.lifecycle import MAX_LOST, Reason, TrialState
from service.placement import Node, Rooms
from service.store import (
    claims,
    leases,
    recording,
    requests,
    settling,
    submission,
    sweeps,
    turns,
    watching,
)
from service.store.claims import Assignment
from service.store.models import Attempt, Event, Lease, Sweep, Trial
from service.store.plan_history import PlanHistory
from service.store.recording import Recorded, ReportedEpoch
from service.store.session import Database
from tests.conftest import small_sweep


def submit(database: Database, **changes: Any) -> str:
    spec = SweepSpec.parse(small_sweep(**changes))
    with database.write() as session:
        return submission.create(session, spec, expand_arms(spec), code_version="test").id


def lead(database: Database, holder: str = "d1", seconds: float = 60) -> bool:
    with database.write() as session:
        return leases.take(session, holder, host="host", pid=1, seconds=seconds)


def claim(
    database: Database,
    cpus: float = 1,
    gpus: float = 0,
    *,
    nodes: Sequence[Node] = (),
    held: Iterable[Assignment] = (),
    history: PlanHistory | None = None,
) -> list[Assignment]:
    with database.write() as session:
        rooms = Rooms(nodes or [Node(cpus, gpus)], [each.place for each in held])
        return claims.claim(session, "d1", turns.plan(session, rooms, history))


def report(epoch: int, loss: float = 1.0) -> dict[str, Any]:
    return {"epoch": epoch, "train_loss": loss, "seconds": 0.5}


def checkpoint_of(trial: Assignment, epoch: int) -> Checkpoint:
    return Checkpoint(epoch, f"{trial.trial_id}-{epoch}.pt", "0" * 64)


def record(database: Database, trial: Assignment, epoch: int, **changes: Any) -> Recorded:
    with database.write() as session:
        said = ReportedEpoch(trial.trial_id, trial.attempt, report(epoch, **changes), None)
        return recording.record(session, said)


def settle(database: Database, trial: Assignment, reason: Reason | None) -> TrialState | None:
    with database.write() as session:
        return settling.settle(session, trial.trial_id, trial.attempt, reason)


def row(database: Database, trial: Assignment) -> Trial:
    with database.read() as session:
        return session.get_one(Trial, trial.trial_id)


def counts(database: Database, sweep_id: str) -> dict[str, int]:
    """The sweep's counters, after checking them against its trials."""
    with database.read() as session:
        sweep = session.get_one(Sweep, sweep_id)
        states = session.scalars(select(Trial.state).where(Trial.sweep_id == sweep_id)).all()
    counted = {str(state): getattr(sweep, state) for state in TrialState}
    assert counted == {str(state): states.count(state) for state in TrialState}
    return {state: count for state, count in counted.items() if count}


def test_a_trial_goes_from_queue_to_success(database: Database) -> None:
    sweep_id = submit(database)
    lead(database)
    (trial,) = claim(database)
    assert counts(database, sweep_id) == {"queued": 3, "running": 1}
    assert record(database, trial, 1) is Recorded.new
    assert record(database, trial, 2) is Recorded.new
    assert settle(database, trial, None) is TrialState.succeeded
    assert counts(database, sweep_id) == {"queued": 3, "succeeded": 1}
    assert row(database, trial).seconds == 1.0
    with database.read() as session:
        moves = session.execute(
            select(Event.from_state, Event.to_state).where(Event.trial_id == trial.trial_id)
        ).all()
    assert [tuple(move) for move in moves] == [("queued", "running"), ("running", "succeeded")]


def test_claims_take_what_fits_and_each_trial_once(database: Database) -> None:
    submit(database)
    taken = [trial.trial_id for _ in range(3) for trial in claim(database, cpus=1.9)]
    assert len(set(taken)) == len(taken) == 3
    assert len(claim(database, cpus=8)) == 1


def test_gpus_are_given_only_where_there_are_any(database: Database) -> None:
    submit(database)
    assert claim(database, cpus=1)[0].place.gpus == 0
    assert [each.place.gpus for each in claim(database, cpus=8, gpus=1)] == [1]


def test_a_sweep_of_higher_priority_goes_first_and_equals_share(database: Database) -> None:
    low, high = submit(database), submit(database)
    with database.write() as session:
        session.execute(update(Sweep).where(Sweep.id == high).values(priority=1))
    assert {trial.sweep_id for trial in claim(database, cpus=4)} == {high}
    other = submit(database)
    first, second = claim(database)[0], claim(database)[0]
    assert {first.sweep_id, second.sweep_id} == {low, other}


def test_no_more_run_than_the_sweep_allows(database: Database) -> None:
    sweep_id = submit(database)
    with database.write() as session:
        session.execute(update(Sweep).where(Sweep.id == sweep_id).values(max_concurrent=2))
    assert len(claim(database, cpus=8)) == 2
    assert claim(database, cpus=8) == []


def test_an_epoch_is_recorded_once(database: Database) -> None:
    submit(database)
    (trial,) = claim(database)
    assert record(database, trial, 1) is Recorded.new
    assert record(database, trial, 1) is Recorded.duplicate
    assert record(database, trial, 1, loss=2.0) is Recorded.different
    assert row(database, trial).last_report == report(1)
    assert row(database, trial).seconds == 0.5


def test_what_a_later_attempt_recomputes_is_known(database: Database) -> None:
    """Catches: a trial that does not repeat itself, known to the dispatcher's log alone; and a
    message that came twice, taken for an epoch that was computed twice."""
    submit(database)
    (first,) = claim(database)
    for epoch in (1, 2, 3, 3):
        record(database, first, epoch)
    assert recomputed(database, first) == (None, None, None)
    settle(database, first, Reason.lost)
    with database.write() as session:
        session.execute(update(Trial).values(not_before=None))
    (second,) = claim(database)
    assert (second.trial_id, second.attempt) == (first.trial_id, 2)
    for epoch, loss in ((2, 1.0), (3, 2.0), (2, 1.0), (3, 3.0), (4, 1.0)):
        record(database, second, epoch, loss=loss)
    assert recomputed(database, second) == (2, 3, 3)
    assert recomputed(database, first) == (None, None, None)


def recomputed(database: Database, trial: Assignment) -> tuple[int | None, ...]:
    with database.read() as session:
        attempt = session.get_one(Attempt, (trial.trial_id, trial.attempt))
        return attempt.recomputed_from, attempt.recomputed_to, attempt.different_epoch


@pytest.mark.parametrize("draw", range(12))
def test_reports_recorded_together_are_as_if_recorded_in_turn(
    database: Database, draw: int
) -> None:
    """Whatever is in the way of some, and wherever it stands."""
    together, in_turn = (said_and_stored(database, draw, one_by_one=each) for each in (False, True))
    assert together == in_turn


def said_and_stored(database: Database, draw: int, *, one_by_one: bool) -> Any:
    """What became of some groups of reports, and the trials and epochs after them."""
    draws = random.Random(draw)
    sweep_id = submit(database, base=small_sweep()["base"] | {"epochs": 4})
    trials = claim(database, cpus=4)
    settle(database, trials[3], Reason.error)
    outcomes = []
    for _ in range(4):
        said = []
        for trial in draws.choices(trials, weights=[5, 5, 5, draws.randrange(2)], k=4):
            done = row(database, trial).epochs_done
            epoch = max(1, done + 1 + draws.choice([-1, 0, 0, 0, 0, 1]))
            loss = draws.choice([1.0, 1.0, 1.0, 2.0])
            saved = draws.choice([None, Checkpoint(epoch, f"epoch-{epoch}", "0" * 64)])
            said.append(ReportedEpoch(trial.trial_id, trial.attempt, report(epoch, loss), saved))
        with database.write() as session:
            if one_by_one:
                outcomes += [recording.record(session, each) for each in said]
            else:
                outcomes += recording.record_all(session, said)
    first = trials[0].trial_id
    with database.read() as session:
        stored = [
            (trial.id - first, trial.epochs_done, trial.last_report, trial.seconds, trial.losses)
            for trial, _ in sweeps.trials(session, sweep_id)
        ]
        epochs = [
            (trial.id - first, each.epoch, each.attempt, each.report, each.sha256,
             each.checkpoint, each.checkpoint_sha256)
            for trial, _ in sweeps.trials(session, sweep_id)
            for each in sweeps.reports(session, trial.id)
        ]  # fmt: skip
    return outcomes, stored, epochs


def test_an_epoch_may_not_be_skipped(database: Database) -> None:
    submit(database)
    (trial,) = claim(database)
    assert record(database, trial, 2) is Recorded.gap
    assert row(database, trial).epochs_done == 0


def test_a_stale_attempt_writes_nothing(database: Database) -> None:
    submit(database, seeds=1, grid={})
    (old,) = claim(database)
    settle(database, old, Reason.user)
    (new,) = claim(database)
    assert (new.trial_id, new.attempt) == (old.trial_id, 2)
    assert record(database, old, 1) is Recorded.stale
    assert settle(database, old, None) is None
    assert row(database, new).state == TrialState.running
    assert record(database, new, 1) is Recorded.new


def test_success_needs_every_epoch(database: Database) -> None:
    submit(database)
    (trial,) = claim(database)
    record(database, trial, 1)
    assert settle(database, trial, None) is TrialState.failed
    assert row(database, trial).message == "ended after 1 of 2 epochs"


def test_a_lost_trial_waits_longer_each_time_and_fails_in_the_end(database: Database) -> None:
    submit(database, seeds=1, grid={})
    waits = []
    for losses in range(1, MAX_LOST + 1):
        (trial,) = claim(database)
        assert settle(database, trial, Reason.lost) is TrialState.queued
        assert claim(database) == []
        after = row(database, trial)
        assert after.losses == losses
        assert after.not_before is not None
        with database.read() as session:
            ended = session.get_one(Attempt, (trial.trial_id, trial.attempt)).ended_at
        assert ended is not None
        waits.append(after.not_before - ended)
        with database.write() as session:
            session.execute(update(Trial).values(not_before=None))
    assert waits[:7] == pytest.approx([1, 2, 4, 8, 16, 32, 64], abs=0.9)
    (trial,) = claim(database)
    assert settle(database, trial, Reason.lost) is TrialState.failed


@pytest.mark.parametrize("reason", [Reason.diverged, Reason.error])
def test_what_would_happen_again_is_not_tried_again(database: Database, reason: Reason) -> None:
    submit(database)
    (trial,) = claim(database)
    assert settle(database, trial, reason) is TrialState.failed
    assert row(database, trial).reason == reason


def test_a_cancelled_trial_ends_cancelled_whatever_it_says(database: Database) -> None:
    sweep_id = submit(database)
    lead(database)
    (trial,) = claim(database)
    with database.write() as session:
        requests.cancel_sweep(session, sweep_id)
    assert counts(database, sweep_id) == {"running": 1, "cancelled": 3}
    with database.read() as session:
        assert watching.asked_to_stop(session, "d1") == [(trial.trial_id, trial.attempt, True)]
    assert settle(database, trial, None) is TrialState.cancelled
    assert counts(database, sweep_id) == {"cancelled": 4}


def test_one_dispatcher_leads_until_its_lease_lapses(database: Database) -> None:
    assert lead(database, "d1")
    assert not lead(database, "d2")
    assert lead(database, "d1")
    with database.write() as session:
        session.execute(update(Lease).values(expires_at=1.0))
    assert lead(database, "d2")
    assert not lead(database, "d1")


def test_the_trials_of_a_lapsed_lease_are_queued_again(database: Database) -> None:
    sweep_id = submit(database)
    lead(database)
    (trial,) = claim(database)
    assert leases.reap(database) == 0
    with database.write() as session:
        session.execute(update(Lease).values(expires_at=1.0))
    assert leases.reap(database) == 1
    assert counts(database, sweep_id) == {"queued": 4}
    assert row(database, trial).losses == 1
    with database.read() as session:
        attempt = session.get_one(Attempt, (trial.trial_id, 1))
    assert (attempt.outcome, attempt.message) == ("lost", "its dispatcher vanished")


def test_they_are_queued_again_piece_by_piece(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: readers and writers that wait for seconds until thousands of trials are settled."""
    monkeypatch.setattr("service.store.leases.SETTLED_TOGETHER", 3)
    submit(database, seeds=4)
    lead(database)
    assert len(claim(database, cpus=8)) == 8
    written = []
    write = database.write
    monkeypatch.setattr(database, "write", lambda: written.append(1) or write())
    with write() as session:
        session.execute(update(Lease).values(expires_at=1.0))
    assert leases.reap(database) == 8
    assert len(written) == 3
    assert leases.reap(database) == 0


def test_each_resumes_from_its_newest_checkpoints_found_by_one_statement_for_all(
    database: Database,
) -> None:
    """Catches: a statement a trial while all other writers wait, where a thousand resume."""
    lead(database)
    counted, statements = [], list[str]()
    event.listen(database.engine, "before_cursor_execute", lambda *it: statements.append(it[2]))
    for trials in (2, 8):
        submit(database, grid={}, seeds=trials, base=small_sweep()["base"] | {"epochs": 5})
        first = claim(database, cpus=trials)
        with database.write() as session:
            for trial in first[1:]:
                for epoch in (1, 2, 3, 4):
                    saved = None if epoch == 3 else checkpoint_of(trial, epoch)
                    said = ReportedEpoch(trial.trial_id, 1, report(epoch), saved)
                    recording.record(session, said)
        for trial in first:
            settle(database, trial, Reason.user)
        statements.clear()
        again = claim(database, cpus=trials)
        counted.append(len(statements))
        assert [(trial.attempt, trial.checkpoints) for trial in again] == [
            (2, []),
            *((2, [checkpoint_of(trial, epoch) for epoch in (4, 2)])
              for trial in again[1:]),
        ]  # fmt: skip
        for trial in again:
            settle(database, trial, Reason.error)
    assert counted[0] == counted[1]


def test_dispatchers_that_begin_together_agree_on_who_leads(database: Database) -> None:
    # Catches: the one row of leases written twice, which ends the process that comes second.
    together = threading.Barrier(1 if database.is_sqlite else 4)  # SQLite's writers take turns

    def begin(holder: str) -> bool:
        with database.write() as session:
            together.wait(60)
            return leases.take(session, holder, host="host", pid=1, seconds=60)

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(begin, ["d1", "d2", "d3", "d4"])) == [False, False, False, True]


def test_trials_are_run_seed_by_seed(database: Database) -> None:
    """Catches: all seeds of the baseline first, and no pair to compare until half of it is done."""
    submit(database, seeds=3)
    found = [
        (each.spec["seed"], each.spec["optimizer"]["keep_prob"]) for each in claim(database, 6)
    ]
    assert found == [(0, 1.0), (0, 0.5), (1, 1.0), (1, 0.5), (2, 1.0), (2, 0.5)]
