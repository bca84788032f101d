"""Which trial's results may stand for another's."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import event, select, update

from lrd_core.spec import SweepSpec, config_hash, expand_arms
from service.purge import Purger
from service.store import requests, reuse, sweeps
from service.store.models import Arm, Attempt, Event, Report, Sweep, Trial
from service.store.session import Database
from tests.conftest import small_sweep
from tests.seeded import seed

CODE = "0.1.0"
"""That of seeded sweeps."""
HASHES = [
    config_hash(arm.config_json()) for arm in expand_arms(SweepSpec.parse(small_sweep(seeds=1)))
]


def donors(database: Database, execution: dict[str, Any], code: str = CODE) -> list[Trial]:
    with database.read() as session:
        found = reuse.donors(session, HASHES, code_version=code, execution=execution, owner=None)
        for (sha256, number), trial in found.items():
            arm = session.get_one(Arm, trial.arm_id)
            assert (arm.config_sha256, trial.seed) == (sha256, number)
    return list(found.values())


def trials(database: Database, sweep_id: str) -> list[int]:
    with database.read() as session:
        return list(session.scalars(select(Trial.id).where(Trial.sweep_id == sweep_id)))


@pytest.fixture
def asked(database: Database) -> Iterator[list[str]]:
    """The statements that the database is asked."""
    found: list[str] = []

    def note(_: Any, __: Any, statement: str, *___: Any) -> None:
        found.append(statement)

    event.listen(database.engine, "before_cursor_execute", note)
    yield found
    event.remove(database.engine, "before_cursor_execute", note)


def test_the_newest_of_equal_trials_gives(database: Database) -> None:
    # Catches: the oldest result where a newer one is there.
    seed(database, small_sweep())
    newest = seed(database, small_sweep())
    assert sorted(each.id for each in donors(database, {})) == sorted(trials(database, newest))


def test_one_of_another_execution_or_code_gives_nothing(database: Database) -> None:
    # Catches: the newest trial of all, which ran otherwise, in place of the newest that fits.
    fits = seed(database, small_sweep())
    other = seed(database, small_sweep(execution={"precision": "bf16"}))
    older = seed(database, small_sweep())
    with database.write() as session:
        session.execute(update(Sweep).where(Sweep.id == older).values(code_version="0.0.9"))
        execution = session.get_one(Sweep, other).spec["execution"]
        plain = session.get_one(Sweep, fits).spec.get("execution", {})
    assert {each.sweep_id for each in donors(database, plain)} == {fits}
    assert {each.sweep_id for each in donors(database, execution)} == {other}
    assert {each.sweep_id for each in donors(database, plain, "0.0.9")} == {older}
    assert donors(database, execution, "0.0.9") == []


def test_what_has_not_succeeded_is_not_present(database: Database) -> None:
    # Catches: a failed trial's half results under another sweep's name.
    seed(database, small_sweep(), states=("failed", "failed", "succeeded", "succeeded"))
    with database.read() as session:
        like = {"code_version": CODE, "execution": {}, "owner": None}
        found = reuse.present(session, HASHES, **like)  # type: ignore[arg-type]
        assert found.keys() == {(sha256, 1) for sha256 in HASHES}
    assert {each.seed for each in donors(database, {})} == {1}


def test_a_sweeps_spec_is_not_read_for_each_of_its_trials(
    database: Database, asked: list[str]
) -> None:
    # Catches: a spec of 296 kB decoded 10,000 times, for a minute of the write transaction.
    seed(database, small_sweep(seeds=5))
    del asked[:]
    donors(database, {})
    assert not [each for each in asked if "spec" in each and re.search(r"\btrials\b", each)]
    assert len([each for each in asked if "spec" in each]) == 1


# --- and a sweep that is deleted ------------------------------------------------------------------


def delete(database: Database, sweep_id: str, *, purged: bool) -> None:
    with database.write() as session:
        requests.delete_sweep(session, sweep_id)
    if purged:
        assert Purger(database, "memory://nothing", settled_seconds=0).step()


def epochs(database: Database, sweep_id: str) -> list[tuple[int, str]]:
    """(seed, report) of all its epochs, each with an attempt that made it."""
    query = (
        select(Trial.seed, Report.sha256, Report.report)
        .join(Report, Report.trial_id == Trial.id)
        .join(Attempt, (Attempt.trial_id == Trial.id) & (Attempt.attempt == Report.attempt))
        .where(Trial.sweep_id == sweep_id)
    )
    with database.read() as session:
        return sorted((number, str(report)) for number, _, report in session.execute(query))


def reused(database: Database, sweep_id: str) -> set[int | None]:
    with database.read() as session:
        query = select(Trial.reused_from).where(Trial.sweep_id == sweep_id)
        return set(session.scalars(query))


@pytest.mark.parametrize("purged", [False, True])
def test_a_deleted_sweep_gives_nothing(database: Database, purged: bool) -> None:
    sweep_id = seed(database, small_sweep())
    assert len(donors(database, {})) == 4
    delete(database, sweep_id, purged=purged)
    assert donors(database, {}) == []
    new = seed(database, small_sweep(reuse=True), states=("queued",))
    assert reused(database, new) == {None}


@pytest.mark.parametrize("purged", [False, True])
def test_what_others_took_stays_whole_and_is_given_on(database: Database, purged: bool) -> None:
    # Catches: results that go with the sweep they were made in; a trial that has succeeded without
    # an epoch, because they were to be copied from rows that are gone.
    first = seed(database, small_sweep())
    second = create(database)
    made = epochs(database, first)
    assert len(made) == 8
    assert reused(database, second) == set(trials(database, first))
    delete(database, first, purged=purged)
    assert epochs(database, second) == made
    third = create(database)
    assert epochs(database, third) == made
    assert reused(database, third) == set(trials(database, second))


@pytest.mark.parametrize("purged", [False, True])
def test_what_was_imported_is_not_trusted_once_its_import_is_deleted(
    database: Database, purged: bool
) -> None:
    # Catches: results written by hand that stand for everybody, by one reuse and one deletion.
    imported = seed(database, small_sweep())
    with database.write() as session:
        session.execute(update(Sweep).where(Sweep.id == imported).values(owner="ada"))
        session.add(Event(sweep_id=imported, at=0.0, kind=reuse.IMPORTED))
    taken = create(database, owner="ada")
    like: dict[str, Any] = {"code_version": CODE, "execution": {}}
    for _ in range(2):
        with database.read() as session:
            assert reuse.present(session, HASHES, owner="bob", **like) == {}
            assert set(reuse.present(session, HASHES, owner="ada", **like).values()) == set(
                trials(database, taken)
            )
        with database.read() as session:
            there = session.get(Sweep, imported)
        if there is not None and there.deleted_at is None:
            delete(database, imported, purged=purged)


def create(database: Database, owner: str | None = None) -> str:
    """A sweep that reuses all that it may."""
    spec = SweepSpec.parse(small_sweep(reuse=True))
    with database.write() as session:
        sweep = sweeps.create(session, spec, expand_arms(spec), code_version=CODE, owner=owner)
        assert sweep.succeeded == 4
        return sweep.id
