"""What happened, found without reading what did not."""

from sqlalchemy import text

from service.store import failures
from service.store.session import Database
from tests.service.store.test_dispatching import submit
from tests.service.store.test_sharing import watched


def test_why_trials_failed_is_found_without_the_others(database: Database) -> None:
    # Catches: each look at a sweep's failures walks through all of its trials.
    sweep_id = submit(database, seeds=2000)
    with database.write() as session:
        session.execute(
            text("update trials set state = 'failed', message = 'm' || id where id % 1000 = 0")
        )
        session.execute(text("update sweeps set queued = queued - 4, failed = 4"))
        session.execute(text("analyze"))
        asked = watched(session)
        found = failures.causes(session, sweep_id)
        assert [each.message for each in found] == ["m1000", "m2000", "m3000", "m4000"]
        ((statement, parameters),) = asked
        explain = "explain query plan" if database.is_sqlite else "explain"
        cursor = session.connection().connection.cursor()
        cursor.execute(f"{explain} {statement}", parameters)
        plan = str(cursor.fetchall())
    assert "ix_trials_failed" in plan, plan
