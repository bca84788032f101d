"""A bundle is made of a copy, out of the database's way."""

import inspect
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
from sqlalchemy import event, text

from service.bundles.packing import pack
from service.bundles.snapshot import taken
from service.drawing import figures
from service.errors import Conflict, NotFound
from service.store import session as store_session
from service.store import sweeps
from service.store.models import Arm, Report, Trial
from service.store.session import Database
from tests.conftest import small_sweep
from tests.seeded import seed
from tests.service.bundles.forging import files_of


def test_no_transaction_is_open_while_figures_are_drawn(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: tables and figures made inside the reading transaction, which PostgreSQL ends after
    five idle seconds and SQLite's writers wait for."""
    sweep_id = seed(database, small_sweep())
    out: list[int] = []
    event.listen(database.engine, "checkout", lambda *_: out.append(1))
    event.listen(database.engine, "checkin", lambda *_: out.append(-1))
    open_then: list[int] = []

    def watched(name: str) -> Callable[..., Any]:
        drawn = getattr(figures, name)

        def draw(*given: Any) -> Any:
            open_then.append(sum(out))
            return drawn(*given)

        return draw

    for name in ("learning_curves", "to_bytes"):
        monkeypatch.setattr(figures, name, watched(name))
    with pack(database, sweep_id, "none") as file:
        assert "figures/forest.pdf" in files_of(file.read())
    assert sum(out) == 0 < len(out)
    assert len(open_then) == 7  # of the curves, and two of each of three figures
    assert set(open_then) == {0}


def test_the_copy_is_the_sweep_and_no_other(database: Database) -> None:
    """Catches: rows of another sweep in a bundle, and numbers that a copy rounds."""
    others = [seed(database, small_sweep(name=name)) for name in ("one", "two")]
    with taken(database, others[0]) as copied, database.read() as session:
        for there, here in zip(
            sweeps.trials(copied, others[0]), sweeps.trials(session, others[0]), strict=True
        ):
            assert [_values(row) for row in there] == [_values(row) for row in here]
        assert copied.query(Trial).count() == 4
        assert copied.query(Arm).count() == 2
        assert copied.query(Report).count() == 8
        reports = sweeps.reports_by_trial(session, others[0])
        assert sweeps.reports_by_trial(copied, others[0]) == reports


def test_the_copy_waits_for_no_disk_and_what_it_copies_does(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: ten waits for a copy that is thrown away; a database that waits for none."""
    as_it_is = inspect.unwrap(store_session._sqlite_engine)  # in other tests none waits
    monkeypatch.setattr(store_session, "_sqlite_engine", as_it_is)
    pragma = text("pragma synchronous")
    with closing(Database(database_url)) as database:
        sweep_id = seed(database, small_sweep())
        with taken(database, sweep_id) as copied, database.read() as session:
            assert copied.scalar(pragma) == 0
            if database.is_sqlite:
                assert session.scalar(pragma) == 2


def test_a_caption_that_names_arms_is_no_markdown(database: Database) -> None:
    """Catches: a label that users chose, read as a link or a table in captions.md."""
    document = small_sweep(arms=[{"label": "[a](b)|c", "set": {}}, {"label": "*d*", "set": {}}])
    document["arms"][1]["set"] = {"epochs": 3}
    with pack(database, seed(database, document, states=("failed",)), "none") as file:
        said = files_of(file.read())["figures/captions.md"].decode()
    assert r"without a number: \[a](b)\|c at 0.5 (0/2), " in said
    assert r"\*d\* at 0.5 (0/2) and 1 more; n = 0 seeds per arm.\n".replace(r"\n", "\n") in said


def test_a_sweep_that_runs_or_is_none_has_no_bundle(database: Database) -> None:
    running = seed(database, small_sweep(), states=("succeeded", "running"))
    with pytest.raises(Conflict, match="still runs"):
        pack(database, running, "none")
    with pytest.raises(NotFound):
        pack(database, "none", "none")


def _values(row: Any) -> dict[str, Any]:
    return {column.key: getattr(row, column.key) for column in row.__table__.columns}
