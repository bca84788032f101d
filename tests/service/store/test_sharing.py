"""Shares of GPUs by measured memory, and trials that ran out of it: once more, alone."""

import re
from typing import Any

import pytest
from sqlalchemy import event, select, text, update
from sqlalchemy.orm import Session

from service.lifecycle import Reason, TrialState
from service.placement import Node, Rooms
from service.store import claims, gpu_memory, ready, requests, settling, shortages, turns
from service.store.claims import Assignment
from service.store.models import Event, Sweep, Trial
from service.store.ready import Wanted
from service.store.session import Database
from service.store.settling import Ending
from tests.service.store.test_dispatching import claim, counts, row, settle, submit

GIB = 2**30
SHARED = {"num_gpus": "shared"}


def measure(database: Database, trial: Assignment, peak: float, total: float = 80) -> float | None:
    with database.write() as session:
        gpu_memory.record_memory(
            session, trial.trial_id, trial.attempt, int(peak * GIB), int(total * GIB)
        )
    with database.read() as session:
        return session.get_one(Sweep, trial.sweep_id).gpu_share


def oom(database: Database, trial: Assignment) -> TrialState | None:
    with database.write() as session:
        end = Ending(Reason.oom, "CUDA out of memory.", unshared=trial.place.exclusive)
        key = trial.trial_id, trial.attempt
        return settling.settle_all(session, {key: end})[key]


@pytest.mark.parametrize(
    ("peak", "share"),
    [(0.001, 1 / 16), (4.3, 1 / 16), (4.4, 2 / 16), (34, 8 / 16), (70, 1), (80, 1), (90, 1)],
)
def test_a_share_has_15_percent_of_room_and_is_in_sixteenths(peak: float, share: float) -> None:
    assert gpu_memory.share_of(int(peak * GIB), 80 * GIB) == share


def test_the_first_take_a_whole_gpu_and_the_others_the_largest_share_seen(
    database: Database,
) -> None:
    sweep_id = submit(database, seeds=20, resources=SHARED)
    first, second = claim(database, cpus=99, gpus=2)
    assert (first.place.gpus, second.place.gpus) == (1, 1)
    assert measure(database, first, 12) == 3 / 16
    assert measure(database, second, 3) == 3 / 16
    assert measure(database, second, 20) == 5 / 16
    running = claim(database, cpus=99, gpus=2)
    assert [each.place.gpus for each in running] == [5 / 16] * 6  # three on each
    assert {each.spec["resources"]["num_gpus"] for each in running} == {5 / 16}
    with database.read() as session:
        said = session.scalars(select(Event.message).where(Event.kind == "memory")).all()
        assert row(database, first).gpus == 1  # what runs keeps what it has
    assert said == [
        f"trial {first.trial_id} used 12.00 of 80.00 GiB: a trial needs 3/16 of a GPU",
        f"trial {second.trial_id} used 20.00 of 80.00 GiB: a trial needs 5/16 of a GPU",
    ]
    assert sweep_id == first.sweep_id


def test_a_stale_attempt_says_nothing_of_memory(database: Database) -> None:
    submit(database, resources=SHARED)
    (old,) = claim(database, gpus=1)
    settle(database, old, Reason.user)
    assert measure(database, old, 12) is None


def test_only_who_asks_for_it_shares(database: Database) -> None:
    submit(database)
    (first,) = claim(database, cpus=1, gpus=1)
    assert measure(database, first, 12) == 3 / 16
    assert [each.place.gpus for each in claim(database, cpus=4, gpus=1)] == [1]


def test_without_a_gpu_shared_means_none(database: Database) -> None:
    submit(database, resources=SHARED)
    assert [each.place.gpus for each in claim(database, cpus=2)] == [0, 0]


def test_a_sweep_that_has_used_a_gpu_goes_on_with_gpus(database: Database) -> None:
    """Catches: the only such node away for a moment, and the rest of the sweep on CPUs."""
    sweep_id = submit(database)
    (first,) = claim(database, cpus=1, gpus=1)
    measure(database, first, 12)
    assert claim(database, cpus=4) == []
    with database.write() as session:
        short = shortages.note_shortages(session, [Node(4, 0)])
    assert short == {sweep_id: "a trial needs 1 GPU on one node; the largest node has 0"}
    assert [each.place.gpus for each in claim(database, cpus=4, gpus=1)] == [1]


def test_nodes_are_chosen_by_label_accelerator_and_memory(database: Database) -> None:
    nodes = [
        Node(9, 1, 4, "A100", id="small"), Node(9, 1, 16, "H100", {"zone": "b"}, "b"),
        Node(9, 1, 16, "H100", {"zone": "a"}, "a"),
    ]  # fmt: skip
    wished = {"accelerator_type": "H100", "labels": {"zone": "a"}, "memory_gib": 5, "num_gpus": 0.1}
    submit(database, seeds=9, resources=wished)
    found = claim(database, nodes=nodes)
    assert [each.place.node for each in found] == ["a"] * 3  # three times 5 of 16 GiB
    assert {each.place.memory_gib for each in found} == {5}
    assert found[0].spec["resources"]["labels"] == {"zone": "a"}
    none = submit(database, resources={"labels": {"zone": "c"}})
    other = submit(database)
    with database.write() as session:
        short = shortages.note_shortages(session, nodes)
    assert short == {none: "a trial needs a node with the labels zone=c; no node has them"}
    assert {each.sweep_id for each in claim(database, nodes=nodes)} == {other}


# --- out of memory --------------------------------------------------------------------------------


def test_out_of_memory_it_runs_once_more_alone_and_then_fails(database: Database) -> None:
    sweep_id = submit(database, resources={"num_gpus": 0.25})
    first, *others = claim(database, cpus=4, gpus=1)
    assert oom(database, first) is TrialState.queued
    after = row(database, first)
    assert (after.reason, after.losses, after.not_before, after.alone) == ("oom", 0, None, True)
    assert after.message == "CUDA out of memory; it runs once more, alone on a node"
    assert claim(database, cpus=4, gpus=1, held=others) == []  # one is free, and not enough
    for each in others:
        settle(database, each, Reason.error)
    (again,) = claim(database, cpus=4, gpus=1)
    assert (again.trial_id, again.attempt) == (first.trial_id, 2)
    assert (again.place.cpus, again.place.gpus, again.place.exclusive) == (4, 1, True)
    assert (row(database, again).cpus, row(database, again).gpus) == (4, 1)
    # The numbers of a trial depend on its threads.
    assert again.spec["resources"]["num_cpus"] == first.spec["resources"]["num_cpus"] == 1
    assert oom(database, again) is TrialState.failed
    assert row(database, again).message == (
        "CUDA out of memory, though nothing ran beside it: it needs more memory"
    )
    assert counts(database, sweep_id) == {"failed": 4}
    with database.read() as session:
        moves = session.execute(
            select(Event.from_state, Event.to_state, Event.reason)
            .where(Event.trial_id == first.trial_id)
            .order_by(Event.id)
        ).all()
    assert list(map(tuple, moves)) == [
        ("queued", "running", None), ("running", "queued", "oom"),
        ("queued", "running", None), ("running", "failed", "oom"),
    ]  # fmt: skip


def test_what_had_its_node_to_itself_is_not_tried_again(database: Database) -> None:
    submit(database)
    (trial,) = claim(database, cpus=1)
    assert oom(database, trial) is TrialState.failed


def test_a_loss_a_pause_and_a_drain_leave_it_alone_and_a_retry_does_not(
    database: Database,
) -> None:
    submit(database, seeds=1, grid={})
    (trial,) = claim(database, cpus=2)
    oom(database, trial)
    for reason in (Reason.user, Reason.lost):
        (trial,) = claim(database, cpus=2)
        assert settle(database, trial, reason) is TrialState.queued
        assert row(database, trial).alone
        with database.write() as session:
            session.execute(update(Trial).values(not_before=None))
    (trial,) = claim(database, cpus=2)
    assert oom(database, trial) is TrialState.failed
    with database.write() as session:
        assert not requests.retry_trial(session, trial.trial_id).alone
    (trial,) = claim(database, cpus=2)
    assert trial.place.cpus == 1
    assert oom(database, trial) is TrialState.queued


def test_a_node_is_kept_for_it_and_the_rest_goes_on(database: Database) -> None:
    nodes = [Node(2, 0, id="a"), Node(2, 0, id="b")]
    submit(database, seeds=20)
    first, *held = claim(database, nodes=nodes)
    oom(database, first)
    assert claim(database, nodes=nodes, held=held) == []
    (beside,) = [each for each in held if each.place.node == first.place.node]
    elsewhere = [each for each in held if each is not beside]
    (other,) = claim(database, nodes=nodes, held=[beside, *elsewhere[1:]])
    assert other.place.node == elsewhere[0].place.node
    (again,) = claim(database, nodes=nodes, held=[other, *elsewhere[1:]])
    assert again.trial_id == first.trial_id
    assert again.place.node == first.place.node


def test_one_that_fits_nowhere_any_more_holds_nobody(database: Database) -> None:
    submit(database, seeds=20, resources={"labels": {"zone": "a"}})
    first, *_ = claim(database, nodes=[Node(2, 0, labels={"zone": "a"})])
    oom(database, first)
    other = submit(database)
    found = claim(database, nodes=[Node(2, 0)])
    assert [each.sweep_id for each in found] == [other] * 2


def test_a_limit_of_trials_at_once_leaves_it_its_turn(database: Database) -> None:
    nodes = [Node(2, 0, id="a"), Node(2, 0, id="b")]
    sweep_id = submit(database, seeds=9)
    on_a, on_b, beside, elsewhere = claim(database, nodes=nodes)
    assert [each.place.node for each in (on_a, on_b, beside)] == ["a", "b", "a"]
    oom(database, on_a)
    settle(database, on_b, Reason.error)
    with database.write() as session:
        session.execute(update(Sweep).where(Sweep.id == sweep_id).values(max_concurrent=3))
    assert claim(database, nodes=nodes, held=[beside, elsewhere]) == []  # b has a CPU free
    settle(database, beside, Reason.error)
    again, other = claim(database, nodes=nodes, held=[elsewhere])
    assert (again.trial_id, again.place.node) == (on_a.trial_id, "a")
    assert other.place.node == "b"


def test_many_that_are_not_ready_take_no_room_from_others(database: Database) -> None:
    waits, other = submit(database, seeds=20), submit(database, seeds=20)
    with database.write() as session:
        session.execute(
            update(Trial).where(Trial.sweep_id == waits, Trial.seed > 0).values(not_before=9e9)
        )
    assert [each.sweep_id for each in claim(database, cpus=8)].count(other) == 6


@pytest.mark.parametrize("alone", [False, True])
def test_the_next_trial_is_found_by_an_index(database: Database, alone: bool) -> None:
    """However many of the other kind are queued before it."""
    sweep_id = submit(database, seeds=2000)
    with database.write() as session:
        last = Trial.id > 3990
        session.execute(update(Trial).values(alone=last if alone else ~last))
        session.execute(text("analyze"))
        asked = watched(session)
        ready.next_of_each(session, [Wanted(sweep_id, 1, alone)])
        ((statement, parameters),) = asked
        sqlite = session.get_bind().dialect.name == "sqlite"
        explain = "explain query plan" if sqlite else "explain"
        cursor = session.connection().connection.cursor()
        cursor.execute(f"{explain} {statement}", parameters)
        found = cursor.fetchall()
    assert "ix_trials_ready" in str(found), found


def test_a_round_asks_no_trial_by_trial_question(database: Database) -> None:
    """Rounds come twenty times a second, with a million trials as with four."""
    submit(database, seeds=500)
    with database.write() as session:
        asked = watched(session)
        turns.plan(session, Rooms([Node(64, 0)]))
    assert len(asked) == 2, asked


def test_a_round_asks_no_sweep_by_sweep_question(database: Database) -> None:
    sweeps = [submit(database) for _ in range(ready.TOGETHER)]
    statements = []
    for _ in range(2):
        with database.write() as session:
            asked = watched(session)
            shares = turns.plan(session, Rooms([Node(len(sweeps), 0)]))
            taken = claims.claim(session, "d1", shares)
        assert sorted(each.sweep_id for each in taken) == sorted(sweeps)
        statements.append(len(asked))
    assert statements == [10, 10], asked


def test_a_sweep_that_a_request_holds_keeps_no_other_waiting(database: Database) -> None:
    held, free = submit(database), submit(database)
    if database.is_sqlite:
        pytest.skip("SQLite has one lock for all")
    with database.write() as request:
        requests.pause(request, held)
        assert {each.sweep_id for each in claim(database, cpus=8)} == {free}
    with database.write() as session:
        requests.resume(session, held)
    assert {each.sweep_id for each in claim(database, cpus=8)} == {held}


def watched(session: Session) -> list[tuple[str, Any]]:
    """The statements of this session from now on, with their parameters."""
    asked: list[tuple[str, Any]] = []
    bind = session.connection()
    event.listen(bind, "before_cursor_execute", lambda *args: asked.append((args[2], args[3])))
    return asked


def test_a_round_reads_no_spec_as_a_whole(database: Database) -> None:
    # Catches: a dispatcher that stands still for half a second in each round, beside a hundred
    # sweeps of two thousand arms each.
    submit(database)
    with database.write() as session:
        asked = watched(session)
        shortages.note_shortages(session, [Node(2, 0)])
        assert claims.claim(session, "d1", turns.plan(session, Rooms([Node(2, 0)])))
    statements = " ".join(statement for statement, _ in asked)
    parts = re.sub(r"JSON_EXTRACT\(sweeps\.spec|sweeps\.spec ->", "a part", statements)
    assert parts.count("a part") >= 4
    assert "sweeps.spec" not in parts
