"""What a deleted sweep has left goes, all of it and nothing else, a little at a time."""

import contextlib
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, update

from lrd_core.trial_folder import Checkpoint
from service.placement import Node, Rooms
from service.store import (
    claims,
    copying,
    leases,
    purging,
    recording,
    requests,
    settling,
    turns,
    webhooks,
)
from service.store.models import Base, Purged, Report, Sweep, Trial
from service.store.session import Database
from tests.conftest import small_sweep
from tests.seeded import seed

STATES = ("succeeded", "failed", "cancelled")


def rows(database: Database) -> dict[str, list[Any]]:
    with database.read() as session:
        return {
            table.name: list(session.execute(select(table).order_by(*table.primary_key)))
            for table in Base.metadata.sorted_tables
        }


def size(database: Database) -> int:
    return sum(map(len, rows(database).values()))


def delete(database: Database, sweep_id: str) -> None:
    with database.write() as session:
        requests.delete_sweep(session, sweep_id)


def step(database: Database, sweep_id: str) -> bool:
    """One transaction of a purge; whether the sweep is gone."""
    with database.write() as session:
        if not purging.hold(session, sweep_id):
            return True
        trials = [trial_id for trial_id, _ in purging.next_trials(session, sweep_id)]
        if trials:
            purging.erase(session, trials)
            return False
        return purging.bury(session, sweep_id)


def purge(database: Database, sweep_id: str) -> None:
    while not step(database, sweep_id):
        pass


def trial_ids(database: Database, sweep_id: str) -> list[int]:
    with database.read() as session:
        query = select(Trial.id).where(Trial.sweep_id == sweep_id).order_by(Trial.id)
        return list(session.scalars(query))


def test_all_of_it_goes_and_nothing_of_others(database: Database) -> None:
    # Catches: rows that nobody finds any more, and those of a sweep beside it.
    with database.write() as session:
        webhooks.add(session, "https://example.com/")
    sweep_ids = [seed(database, small_sweep(), states=STATES) for _ in range(3)]
    with database.write() as session:
        webhooks.announce(session, sweep_ids)
    sweep_id = sweep_ids[1]
    gone, before = trial_ids(database, sweep_id), rows(database)

    def is_its(row: Any) -> bool:
        if "trial_id" in row._fields:
            return row.trial_id in gone or getattr(row, "sweep_id", None) == sweep_id
        return sweep_id in (row._mapping.get("sweep_id"), row._mapping.get("id"))

    left = {name: [row for row in found if not is_its(row)] for name, found in before.items()}
    assert {name for name in left if left[name] != before[name]} == {
        "sweeps", "arms", "trials", "attempts", "epoch_reports", "events", "deliveries",
    }  # fmt: skip
    delete(database, sweep_id)
    purge(database, sweep_id)
    assert rows(database) == left | {"purged": [(sweep_id, 3)]}


@pytest.mark.parametrize("most", [1, 3, 7])
def test_no_transaction_deletes_more_than_it_may(
    database: Database, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    # Catches: a million rows in one transaction, for which every writer waits.
    monkeypatch.setattr(purging, "ROWS", most)
    monkeypatch.setattr(purging, "TRIALS", 2)
    sweep_id = seed(database, small_sweep(seeds=3))
    delete(database, sweep_id)
    done, sizes = False, [size(database)]
    while not done:
        done = step(database, sweep_id)
        sizes.append(size(database))
    steps = [before - after for before, after in itertools.pairwise(sizes)]
    assert max(steps) <= most + purging.TRIALS
    assert min(steps[:-1]) > 0, "a step that does nothing is repeated for ever"


def test_what_is_interrupted_goes_on_where_it_was(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Catches: a purge that finds nothing more to do once the first rows are gone.
    monkeypatch.setattr(purging, "ROWS", 3)
    sweep_id = seed(database, small_sweep())
    delete(database, sweep_id)
    step(database, sweep_id)
    with contextlib.suppress(KeyboardInterrupt), database.write() as session:
        purging.hold(session, sweep_id)
        purging.erase(session, trial_ids(database, sweep_id))
        raise KeyboardInterrupt
    with database.read() as session:
        assert purging.deleted(session, 0) == [sweep_id]
    purge(database, sweep_id)
    with database.read() as session:
        assert purging.deleted(session, 0) == []
        assert session.scalars(select(Sweep)).all() == []


def test_it_waits_until_its_last_trial_has_been_over_for_a_while(database: Database) -> None:
    # Catches: a folder that is removed under a worker that is being killed, and made again by it;
    # a bundle's time that lies in the future, for ever waited for.
    old, fresh, future = (seed(database, small_sweep()) for _ in range(3))
    with database.write() as session:
        now = session.scalar(select(func.max(Sweep.created_at))) or 0.0
        for sweep_id, finished_at in ((fresh, now), (future, now + 1e9)):
            changed = update(Sweep).where(Sweep.id == sweep_id)
            session.execute(changed.values(finished_at=finished_at))
        for sweep_id in (old, fresh, future):
            requests.delete_sweep(session, sweep_id)
    with database.read() as session:
        assert purging.deleted(session, 60) == [old]
        assert set(purging.deleted(session, 0)) == {old, fresh, future}


def test_a_second_process_does_not_wait_for_the_first(database: Database) -> None:
    # Catches: two that wait for each other's rows.
    if database.is_sqlite:
        pytest.skip("SQLite has one writer: the second finds what the first has left")
    sweep_id = seed(database, small_sweep())
    delete(database, sweep_id)
    with database.write() as session, database.write() as other:
        assert purging.hold(session, sweep_id)
        assert not purging.hold(other, sweep_id)


def test_a_sweep_that_is_not_deleted_is_not_purged(database: Database) -> None:
    sweep_id = seed(database, small_sweep())
    with database.write() as session:
        assert not purging.hold(session, sweep_id)
        assert purging.deleted(session, 0) == []


def test_ids_of_what_is_gone_are_not_given_again(database: Database) -> None:
    # Catches: SQLite's count from the largest row: an attempt of a deleted trial, which nobody has
    # stopped, writes to another trial; a receiver takes a message for one that it has had.
    with database.write() as session:
        webhooks.add(session, "https://example.com/")
    first = seed(database, small_sweep())
    with database.write() as session:
        webhooks.announce(session, [first])
        (told,) = [each.id for each in webhooks.deliveries(session, 1, None, 10)]
    gone = trial_ids(database, first)
    delete(database, first)
    purge(database, first)
    second = seed(database, small_sweep())
    with database.write() as session:
        webhooks.announce(session, [second])
        assert [each.id for each in webhooks.deliveries(session, 1, None, 10)] == [told + 1]
    assert min(trial_ids(database, second)) > max(gone)


def test_nor_are_they_in_a_copy(
    sqlite: Callable[[Path], str], database: Database, tmp_path: Path
) -> None:
    if database.is_sqlite:
        pytest.skip("a file moves up to PostgreSQL")
    laptop = Database(sqlite(tmp_path / "laptop"))
    sweep_id = seed(laptop, small_sweep())
    gone = trial_ids(laptop, sweep_id)
    delete(laptop, sweep_id)
    purge(laptop, sweep_id)
    copying.copy(laptop, database)
    laptop.close()
    assert min(trial_ids(database, seed(database, small_sweep()))) > max(gone)


def test_an_attempt_that_lives_on_writes_nothing(database: Database) -> None:
    # Catches: a foreign key that a late word breaks, and with it the words of all other trials.
    sweep_id = seed(database, small_sweep(), states=("queued",))
    with database.write() as session:
        leases.take(session, "d", host="", pid=1, seconds=1000)
        taken = claims.claim(session, "d", turns.plan(session, Rooms([Node(4, 0)])))
        leases.drop(session, "d")
    leases.reap(database)
    with database.write() as session:
        requests.cancel_sweep(session, sweep_id)
        requests.delete_sweep(session, sweep_id)
    others = seed(database, small_sweep(), states=("queued",))
    with database.write() as session:
        leases.take(session, "d", host="", pid=1, seconds=1000)
        alive = claims.claim(session, "d", turns.plan(session, Rooms([Node(1, 0)])))
    late = [(each.trial_id, each.attempt) for each in taken]
    report = {"epoch": 1, "loss": 1.0, "seconds": 1.0}
    for _ in range(2):  # deleted; and purged
        with database.write() as session:
            recording.record_environments(session, {key: {"node": "n"} for key in late})
            said = [
                recording.ReportedEpoch(*key, report, Checkpoint(1, "a.pt", "0" * 64))
                for key in [*late, (alive[0].trial_id, 1)]
            ]
            outcomes = recording.record_all(session, said)
            assert set(outcomes[:-1]) == {recording.Recorded.stale}
            done = dict.fromkeys(late, settling.Ending(None))
            assert settling.settle_all(session, done) == dict.fromkeys(late)
            recording.touch(session, [sweep_id])
        purge(database, sweep_id)
    with database.read() as session:
        assert session.scalars(select(Report.trial_id)).all() == [alive[0].trial_id]
        assert session.scalars(select(Purged.sweep_id)).all() == [sweep_id]
        assert session.get_one(Sweep, others).running == 1
