"""Which trial's results may stand for another's."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import event, select, update

from lrd_core.spec import SweepSpec, config_hash, expand_arms
from service.store import reuse
from service.store.models import Arm, Sweep, Trial
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
