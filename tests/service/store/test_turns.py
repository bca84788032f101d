"""Whose turn it is: sweeps that can start nothing keep nobody waiting."""

from itertools import pairwise

import pytest
from sqlalchemy import update

from service.formatting import NO_DISPATCHER
from service.lifecycle import Reason
from service.placement import Need, Node, Rooms
from service.store import leases, queue, shortages, turns
from service.store.models import Sweep, Trial
from service.store.plan_history import PlanHistory
from service.store.session import Database
from tests.service.store.test_dispatching import claim, settle, submit


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three sweeps are looked at in a round, not a hundred."""
    monkeypatch.setattr(turns, "MAX_SWEEPS", 3)


def note(database: Database, *nodes: Node) -> None:
    with database.write() as session:
        shortages.write_shortages(session, shortages.note_shortages(session, nodes))


def test_sweeps_that_fit_on_no_node_keep_no_other_waiting(database: Database) -> None:
    # Catches: a hundred sweeps for GPUs, and idle CPUs for ever.
    for _ in range(7):
        submit(database, resources={"num_gpus": 1}, priority=9)
    able = submit(database)
    for _ in range(3):  # a few are noted each time
        note(database, Node(4, 0))
    assert {each.sweep_id for each in claim(database, cpus=4)} == {able}


def test_they_start_once_the_cluster_has_what_they_need(database: Database) -> None:
    sweeps = {submit(database, resources={"num_gpus": 1}) for _ in range(5)}
    for _ in range(2):
        note(database, Node(4, 0))
    assert {each.sweep_id for each in claim(database, cpus=5, gpus=5)} < sweeps
    for _ in range(50):  # of the others, three drawn by lot are looked at each time
        note(database, Node(64, 64))
    assert {each.sweep_id for each in claim(database, cpus=64, gpus=64)} <= sweeps
    with database.read() as session:
        assert not shortages.note_shortages(session, [Node(64, 64)])


def test_sweeps_that_run_as_many_as_they_may_keep_no_other_waiting(database: Database) -> None:
    for _ in range(4):
        submit(database, max_concurrent=1, priority=9)
    able = submit(database)
    first = {each.sweep_id for each in claim(database, cpus=8)}
    assert len(first) == 3
    assert able not in first
    assert able in {each.sweep_id for each in claim(database, cpus=8)}


def test_with_no_dispatcher_each_sweep_says_so_and_the_next_one_takes_it_back(
    database: Database,
) -> None:
    """Catches: `queued 0/4` for ever where the API runs alone, and a word that stays."""
    sweeps = {submit(database) for _ in range(5)}

    def said() -> set[str | None]:
        with database.read() as session:
            return {session.get_one(Sweep, each).waiting_for for each in sweeps}

    for _ in range(2):  # three at a time
        leases.note_no_dispatcher_leads(database)
    assert said() == {NO_DISPATCHER}
    assert leases.note_no_dispatcher_leads(database) == 0
    with database.write() as session:
        leases.take(session, "d1", host="here", pid=1, seconds=60)
    for _ in range(50):
        note(database, Node(4, 0))
    assert said() == {None}
    leases.note_no_dispatcher_leads(database)
    assert said() == {None}


def test_what_the_first_leave_free_is_for_the_others(database: Database) -> None:
    # Catches: a hundred sweeps that wait for busy GPUs, and idle CPUs until one of them ends.
    for _ in range(7):
        submit(database, resources={"num_gpus": 1}, priority=9)
    able = submit(database, resources={"num_gpus": 0})
    gone = submit(database, resources={"num_gpus": 0})
    history = PlanHistory()
    found = []
    for _ in range(3):
        rooms = Rooms([Node(9, 1)])
        rooms.take(Need(1, 1), 0)
        with database.read() as session:
            found.append({share.sweep_id for share in turns.plan(session, rooms, history)})
    assert found == [set(), {able, gone}, set()]


def test_a_large_trial_of_higher_priority_does_not_wait_for_all_small_ones(
    database: Database,
) -> None:
    # Catches: small trials that take each CPU as it becomes free, for as long as there are any.
    submit(database, seeds=100, grid={})
    running = claim(database, cpus=4)
    large = submit(database, grid={}, resources={"num_cpus": 4}, priority=9)
    found = []
    while running:
        settle(database, running.pop(), Reason.error)
        found = claim(database, cpus=4, held=running)
        assert {each.sweep_id for each in found} <= {large}
    assert [each.sweep_id for each in found] == [large]


def test_a_large_trial_of_equal_priority_has_its_turn_and_no_more(database: Database) -> None:
    """Catches: a sweep of four CPUs a trial that waits until a thousand trials of one CPU are done;
    and one that, having waited once, has all the others wait."""
    small = submit(database, seeds=300, grid={})
    history, running, order = PlanHistory(), [], []
    running += claim(database, cpus=4, history=history)
    large = submit(database, grid={}, seeds=3, resources={"num_cpus": 4})
    for _ in range(150):
        settle(database, running.pop(0), Reason.error)
        started = claim(database, cpus=4, held=running, history=history)
        order += [each.sweep_id for each in started]
        running += started
    at_large = [at for at, sweep_id in enumerate(order) if sweep_id == large]
    assert len(at_large) == 3
    between = [order[a + 1 : b] for a, b in pairwise([-1, *at_large])]
    assert all(set(others) == {small} for others in between)
    assert all(turns.PATIENCE <= len(others) <= turns.PATIENCE + 4 for others in between)
    assert len(order) > 120  # while room was made for it three times, few CPUs stood empty


def test_one_that_waits_after_a_loss_holds_nobody_back(database: Database) -> None:
    small = submit(database, seeds=100, grid={})
    held = claim(database, cpus=3)
    lost = submit(database, seeds=1, grid={}, resources={"num_cpus": 4}, priority=9)
    with database.write() as session:
        session.execute(update(Trial).where(Trial.sweep_id == lost).values(not_before=9e9))
    assert [each.sweep_id for each in claim(database, cpus=4, held=held)] == [small]


def test_what_waits_is_listed_in_the_order_in_which_it_is_served(database: Database) -> None:
    # Catches: a sweep for GPUs, first on the page of a cluster without any, and served last.
    large = submit(database, resources={"num_gpus": 1}, priority=9)
    small = submit(database)
    note(database, Node(4, 0))
    with database.read() as session:
        assert [each.sweep.id for each in queue.waiting(session)] == [small, large]
        assert [each.id for each in turns.open_sweeps(session)] == [small, large]
