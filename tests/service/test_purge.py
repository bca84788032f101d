"""Deleted sweeps are cleared away, folders first, whatever storage, database and others do."""

import logging
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import func, select

import migrations
from lrd_core import trial_folder as storage
from lrd_core.trial_folder import LocalFolder, RemoteFolder, trial_folder
from service import purge
from service.app import create_app
from service.purge import Purger
from service.settings import Settings
from service.store import purging, requests
from service.store.models import Sweep, Trial
from service.store.session import Database
from tests.conftest import small_sweep
from tests.seeded import seed
from tests.waiting import until


@pytest.fixture(params=["directory", "memory"])
def trials(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "directory":
        return str(tmp_path / "storage" / "trials")
    # fsspec's memory lists a dictionary that other threads change meanwhile.
    monkeypatch.setattr(purge, "AT_A_TIME", 1)
    return f"memory://{tmp_path}/trials"


@pytest.fixture
def purger(database: Database, trials: str) -> Purger:
    return Purger(database, trials, settled_seconds=0)


def deleted(database: Database, trials: str, states: tuple[str, ...] = ("succeeded",)) -> list[int]:
    """The trials of a sweep that is deleted; those that were tried have folders."""
    sweep_id = seed(database, small_sweep(), states=states)
    with database.write() as session:
        ids = list(session.scalars(select(Trial.id).where(Trial.sweep_id == sweep_id)))
        requests.delete_sweep(session, sweep_id)
    for trial_id in ids:
        folder = trial_folder(trials, trial_id)
        folder.write("epoch-000001-attempt-1-0.pt", b"weights")
        folder.append("attempt-1.log", "one")
        folder.flush()
    return ids


def folders(trials: str, ids: list[int]) -> list[int]:
    return [trial_id for trial_id in ids if trial_folder(trials, trial_id).names()]


def rows(database: Database) -> tuple[int, int]:
    with database.read() as session:
        counts = [session.scalar(select(func.count()).select_from(each)) for each in (Sweep, Trial)]
    return counts[0] or 0, counts[1] or 0


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.message for each in caplog.records if each.levelno == logging.WARNING]


def test_folders_and_rows_go(
    database: Database, trials: str, purger: Purger, caplog: pytest.LogCaptureFixture
) -> None:
    # Catches: checkpoints of nobody, which fill the disk.
    caplog.set_level(logging.INFO)
    kept = seed(database, small_sweep())
    trial_folder(trials, 1).write("attempt-1.log", b"of another")
    ids = deleted(database, trials)
    assert purger.step()
    assert folders(trials, [1, *ids]) == [1]
    assert rows(database) == (1, 4)
    with database.read() as session:
        assert session.scalars(select(Sweep.id)).all() == [kept]
    assert [each.message for each in caplog.records if "purged" in each.message]


def test_what_is_killed_between_folders_and_rows_is_done_by_the_next(
    database: Database, trials: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Catches: rows that go first, and folders that nobody knows of any more.
    monkeypatch.setattr(purging, "TRIALS", 3)
    ids = deleted(database, trials)

    def killed(*_: object) -> bool:
        raise KeyboardInterrupt

    for name in ("erase", "bury"):
        with monkeypatch.context() as patch:
            patch.setattr(purging, name, killed)
            with pytest.raises(KeyboardInterrupt):
                Purger(database, trials, 0).step()
            assert rows(database)[0] == 1
        with database.read() as session:
            there = list(session.scalars(select(Trial.id)))
        assert set(folders(trials, ids)) <= set(there)
    assert Purger(database, trials, 0).step()
    assert folders(trials, ids) == []
    assert rows(database) == (0, 0)


def test_storage_that_is_away_is_waited_for_and_told_of_once(
    database: Database,
    trials: str,
    purger: Purger,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    # Catches: rows that go without their folders; a line a second for a night.
    ids = deleted(database, trials)

    def refuse(_: object) -> None:
        raise OSError("stale file handle")

    with monkeypatch.context() as patch:
        for kind in (LocalFolder, RemoteFolder):
            patch.setattr(kind, "remove", refuse)
        assert [purger.step() for _ in range(3)] == [False] * 3
    assert rows(database) == (1, 4)
    (said,) = warnings(caplog)
    assert "cannot be removed: stale file handle; trying again" in said
    assert purger.step()
    assert rows(database) == (0, 0)
    assert folders(trials, ids) == []


def test_a_folder_that_cannot_be_removed_holds_up_no_other_sweep(
    database: Database, trials: str, purger: Purger, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = deleted(database, trials), deleted(database, trials)
    for kind in (LocalFolder, RemoteFolder):
        remove = kind.remove

        def guarded(folder: object, remove: Callable[..., None] = remove) -> None:
            if str(folder).endswith(f"/{first[0]}"):
                raise PermissionError(13, "Permission denied")
            remove(folder)

        monkeypatch.setattr(kind, "remove", guarded)
    assert not purger.step()
    assert folders(trials, second) == []
    assert rows(database) == (1, 4)


def test_what_never_ran_has_no_folder_to_ask_for(
    database: Database, purger: Purger, trials: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Catches: a million questions to an object store about trials that were cancelled in the queue.
    sweep_id = seed(database, small_sweep(), states=("queued",))
    with database.write() as session:
        requests.cancel_sweep(session, sweep_id)
        requests.delete_sweep(session, sweep_id)
    asked: list[int] = []
    monkeypatch.setattr(purge, "trial_folder", lambda _, trial_id: asked.append(trial_id))
    assert purger.step()
    assert (asked, rows(database)) == ([], (0, 0))


def test_two_at_once_do_no_harm(
    database: Database, trials: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Catches: a deadlock, and a folder that one has half removed and the other takes for gone.
    monkeypatch.setattr(purging, "TRIALS", 2)
    monkeypatch.setattr(purging, "ROWS", 3)
    ids = [each for _ in range(3) for each in deleted(database, trials)]
    outcomes: list[bool] = []

    def work() -> None:
        purger = Purger(database, trials, 0)
        outcomes.append(purger.step())

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes == [True] * 3
    assert Purger(database, trials, 0).step()  # what each has left to the others
    assert folders(trials, ids) == []
    assert rows(database) == (0, 0)


def test_a_database_that_is_away_is_waited_for_and_told_of_once(
    database: Database, purger: Purger, caplog: pytest.LogCaptureFixture
) -> None:
    # Catches: a thread that ends at its first look into a table that a migration had taken down.
    migrations.downgrade(database.engine, "base")
    caplog.clear()
    assert [purger.step() for _ in range(3)] == [False] * 3
    assert len(warnings(caplog)) == 1
    migrations.upgrade(database.engine)
    assert purger.step()


def test_an_error_that_nobody_foresaw_is_logged_and_ends_nothing(
    purger: Purger, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Catches: a thread that is gone, and deleted sweeps that stay until the next start."""
    steps = threading.Semaphore(0)

    def broken() -> bool:
        steps.release()
        raise RuntimeError("nobody foresaw it")

    for name in ("LOOK_SECONDS", "RETRY_SECONDS"):
        monkeypatch.setattr(purge, name, 0.01)
    monkeypatch.setattr(purger, "step", broken)
    purger.start()
    assert all(steps.acquire(timeout=60) for _ in range(2))
    purger.close()
    assert "nobody foresaw it" in caplog.text


def test_the_api_does_it_by_itself_and_stops_with_storage_that_hangs(
    settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Catches: a service that cannot be stopped while its storage hangs.
    monkeypatch.setattr(purge, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(purge, "CLOSE_SECONDS", 0.01)
    ids = deleted(database, settings.trials)
    with TestClient(create_app(settings, database), base_url="http://127.0.0.1"):
        until(lambda: rows(database) == (0, 0), "the sweep is not purged")
    assert folders(settings.trials, ids) == []
    hanging, asked, waited = threading.Event(), threading.Event(), list[bool]()

    def hang(_: object) -> None:
        asked.set()
        waited.append(hanging.wait(60))

    monkeypatch.setattr(storage.LocalFolder, "remove", hang)
    deleted(database, settings.trials)
    with TestClient(create_app(settings, database), base_url="http://127.0.0.1"):
        assert asked.wait(60)
    assert waited == []
    assert rows(database) == (1, 4)
    hanging.set()


def test_storage_that_hangs_is_told_of(
    database: Database,
    trials: str,
    purger: Purger,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    # Catches: a purge that stands still for a week, and no word of it.
    monkeypatch.setattr(purge, "HANGING_SECONDS", 0.01)
    deleted(database, trials)
    hanging = threading.Event()
    for kind in (LocalFolder, RemoteFolder):
        monkeypatch.setattr(kind, "remove", lambda _: hanging.wait(60))
    working = threading.Thread(target=purger.step)
    working.start()
    until(lambda: warnings(caplog), "nobody is told")
    hanging.set()
    working.join()
    assert warnings(caplog) == [f"deleted sweeps wait to be purged: {trials} does not answer"]
