"""Which trial's results may stand for another's."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import event, func, select, update

from lrd_core.sources import IMPORTED, Code
from lrd_core.spec import SweepSpec, config_hash, expand_arms
from service.purge import Purger
from service.store import requests, reuse, submission, webhooks
from service.store.models import Arm, Attempt, Delivery, Event, Report, Sweep, Trial
from service.store.session import Database
from tests.conftest import small_sweep
from tests.seeded import seed

HASHES = [
    config_hash(arm.config_json()) for arm in expand_arms(SweepSpec.parse(small_sweep(seeds=1)))
]


NOW = Code(IMPORTED, None)
"""That of seeded sweeps."""
BEFORE = Code("0.1.0+000000000000", None)


def donors(database: Database, execution: dict[str, Any], code: Code = NOW) -> list[Trial]:
    with database.read() as session:
        codes = dict.fromkeys(HASHES, code)
        found = reuse.donors(session, codes, execution=execution, owner=None)
        for (sha256, number), trial in found.items():
            arm = session.get_one(Arm, trial.arm_id)
            assert (arm.config_sha256, trial.seed) == (sha256, number)
    return list(found.values())


def ran(database: Database, sweep_id: str, code: Code, **more: Any) -> None:
    """Let the sweep's attempts have run this code."""
    with database.write() as session:
        query = select(Attempt).join(Trial, Trial.id == Attempt.trial_id)
        for attempt in session.scalars(query.where(Trial.sweep_id == sweep_id)):
            attempt.environment = {**(attempt.environment or {}), **code._asdict(), **more}


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
    ran(database, older, BEFORE)
    with database.read() as session:
        execution = session.get_one(Sweep, other).spec["execution"]
        plain = session.get_one(Sweep, fits).spec.get("execution", {})
    assert {each.sweep_id for each in donors(database, plain)} == {fits}
    assert {each.sweep_id for each in donors(database, execution)} == {other}
    assert {each.sweep_id for each in donors(database, plain, BEFORE)} == {older}
    assert donors(database, execution, BEFORE) == []


def test_what_has_not_succeeded_is_not_present(database: Database) -> None:
    # Catches: a failed trial's half results under another sweep's name.
    seed(database, small_sweep(), states=("failed", "failed", "succeeded", "succeeded"))
    with database.read() as session:
        codes = dict.fromkeys(HASHES, NOW)
        found = reuse.present(session, codes, execution={}, owner=None)
        assert found.keys() == {(sha256, 1) for sha256 in HASHES}
    assert {each.seed for each in donors(database, {})} == {1}


def test_what_a_trial_ran_counts_and_not_what_its_sweep_was_told(database: Database) -> None:
    """Catches: results of the old network, of a worker that was upgraded after the API."""
    sweep_id = seed(database, small_sweep())
    ran(database, sweep_id, BEFORE)
    with database.write() as session:
        session.get_one(Sweep, sweep_id).code_version = IMPORTED
    assert donors(database, {}) == []
    ran(database, sweep_id, Code(IMPORTED, "my-lab 1.0 aa"))
    assert donors(database, {}) == []
    assert donors(database, {}, Code(IMPORTED, "my-lab 1.0 aa"))
    ran(database, sweep_id, NOW)
    assert donors(database, {})


def test_code_that_is_not_known_is_nobodys(database: Database) -> None:
    """Catches: a sweep stored before there was a sum, taken for one of this code: its version and
    its commit are the same, and its checkout may have been edited."""
    sweep_id = seed(database, small_sweep())
    ran(database, sweep_id, Code("0.1.0", None), commit="1" * 40, dirty=False)
    assert donors(database, {}) == []
    with database.write() as session:
        for attempt in session.scalars(select(Attempt)):
            attempt.environment = None
    assert donors(database, {}) == []


def test_one_that_went_on_in_other_code_stands_for_neither(database: Database) -> None:
    """Catches: two epochs of the old network and two of the new, as a result of the new."""
    seed(database, small_sweep())
    with database.write() as session:
        for trial in session.scalars(select(Trial)):
            first = session.get_one(Attempt, (trial.id, 1))
            environment = (first.environment or {}) | BEFORE._asdict()
            session.add(Attempt(
                trial_id=trial.id, attempt=2, dispatcher_id="seeded", started_at=first.started_at,
                ended_at=first.ended_at, outcome="succeeded", environment=environment,
            ))  # fmt: skip
            trial.attempt = 2
    assert donors(database, {}) == []
    assert donors(database, {}, BEFORE) == []
    with database.write() as session:  # it began anew: of the first attempt no epoch counts
        for report in session.scalars(select(Report)):
            report.attempt = 2
    assert donors(database, {}) == []
    assert donors(database, {}, BEFORE)


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


def test_a_sweep_that_is_extended_by_reused_results_ends_again(database: Database) -> None:
    """Catches: no message, and an end before that of its last trial."""
    with database.write() as session:
        webhooks.add(session, "https://example.com/")
    seed(database, small_sweep(seeds=2))
    short = seed(database, small_sweep(seeds=1))
    with database.write() as session:
        more = SweepSpec.parse(small_sweep(seeds=2, reuse=True))
        longer = requests.extend(session, short, more)
        assert (longer.state, longer.trials_total) == ("succeeded", 4)
        last = select(func.max(Trial.finished_at)).where(Trial.sweep_id == short)
        assert longer.finished_at == session.scalar(last)
        messages = session.scalars(select(Delivery.event).where(Delivery.sweep_id == short))
        assert list(messages) == ["sweep.succeeded"]


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
    like: dict[str, Any] = {"codes": dict.fromkeys(HASHES, NOW), "execution": {}}
    for _ in range(2):
        with database.read() as session:
            assert reuse.present(session, owner="bob", **like) == {}
            assert set(reuse.present(session, owner="ada", **like).values()) == set(
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
        sweep = submission.create(
            session, spec, expand_arms(spec), code_version=NOW.lrd, owner=owner
        )
        assert sweep.succeeded == 4
        return sweep.id
