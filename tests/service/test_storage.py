"""Whose a folder of trials is: two databases over one would take each other's trials for theirs."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import func, select, update

import migrations
from lrd_core import presets
from lrd_core.trial_folder import LocalFolder
from service import storage
from service.purge import Purger
from service.storage import MARK, AnothersFolder, own
from service.store import copying, requests
from service.store.models import Identity, Sweep, Trial
from service.store.session import Database
from tests.conftest import small_sweep
from tests.seeded import seed


@pytest.fixture
def other(sqlite: Callable[[Path], str], tmp_path: Path) -> Database:
    return Database(sqlite(tmp_path / "other"))


def test_the_first_one_has_it_and_another_is_refused(
    database: Database, other: Database, tmp_path: Path
) -> None:
    trials = str(tmp_path / "trials")
    own(database, trials)
    own(database, trials)  # a restart
    with pytest.raises(AnothersFolder, match="give each database a folder of its own"):
        own(other, trials)
    own(other, str(tmp_path / "others"))
    other.close()


def test_a_copy_is_the_same_database(
    other: Database, sqlite: Callable[[Path], str], tmp_path: Path
) -> None:
    own(other, str(tmp_path / "trials"))
    target = Database(sqlite(tmp_path / "target"))
    copying.copy(other, target)
    own(target, str(tmp_path / "trials"))
    for each in (other, target):
        each.close()


def test_dispatchers_that_start_together_agree(database: Database, tmp_path: Path) -> None:
    # Catches: two identities of one database, of which the second keeps the first one out.
    threads = [
        threading.Thread(target=own, args=(database, str(tmp_path / "trials"))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(Identity)) == 1
    own(database, str(tmp_path / "trials"))


@pytest.mark.parametrize("has_begun", [True, False])
def test_what_is_deleted_here_removes_no_folder_of_another_database(
    database: Database, other: Database, tmp_path: Path, has_begun: bool
) -> None:
    # Catches: trial 1 of the other database gone with all that it had; also for one that has but
    # imported sweeps so far.
    trials = tmp_path / "trials"
    own(other, str(trials))
    if has_begun:
        own(database, str(tmp_path / "own"))
    folder = trials / "1"
    folder.mkdir()
    sweep_id = seed(database, small_sweep())
    with database.write() as session:
        requests.delete_sweep(session, sweep_id)
    assert not Purger(database, str(trials), 0).step()
    assert folder.exists()
    with database.read() as session:
        assert session.get(Sweep, sweep_id) is not None
    assert Purger(database, str(tmp_path / "own"), 0).step()
    other.close()


def test_storage_that_is_not_mounted_is_waited_for(
    database: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Catches: an empty mount point taken for folders that are gone already. The rows go, and with
    them the only way to the checkpoints that are there again once the storage is mounted."""
    trials, elsewhere = tmp_path / "trials", tmp_path / "elsewhere"
    own(database, str(trials))
    sweep_id = seed(database, small_sweep())
    (trials / "1").mkdir()
    with database.write() as session:
        requests.delete_sweep(session, sweep_id)
    trials.rename(elsewhere)
    for mount_point in (False, True):
        if mount_point:
            trials.mkdir()
        assert not Purger(database, str(trials), 0).step()
        assert "is the storage mounted?" in caplog.text
        with database.read() as session:
            assert session.get(Sweep, sweep_id) is not None
    trials.rmdir()
    elsewhere.rename(trials)
    assert Purger(database, str(trials), 0).step()
    assert not (trials / "1").exists()
    with database.read() as session:
        assert session.get(Sweep, sweep_id) is None


def test_a_folder_that_cannot_be_read_keeps_no_dispatcher_from_starting(
    database: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    own(database, str(tmp_path / "file" / "trials"))
    assert "cannot read which database the folder of trials belongs to" in caplog.text


def test_a_folder_of_an_earlier_version_becomes_the_databases(
    database: Database, tmp_path: Path
) -> None:
    (tmp_path / "trials" / "1").mkdir(parents=True)
    own(database, str(tmp_path / "trials"))
    assert (tmp_path / "trials" / MARK).read_text()


def test_a_database_that_is_away_is_waited_for(
    tmp_path: Path, sqlite: Callable[[Path], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database(f"sqlite:///{tmp_path / 'lrd.db'}")  # without its tables yet
    monkeypatch.setattr(storage.time, "sleep", lambda _: migrations.upgrade(database.engine))
    own(database, str(tmp_path / "trials"))
    database.close()


@pytest.mark.parametrize("address", ["logs", "weights"])
def test_storage_that_is_away_is_no_failure_of_the_service(
    api: TestClient, database: Database, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    """Catches: 500 "the service failed", for an object store that restarts."""
    seed(database, small_sweep())
    with database.write() as session:
        session.execute(update(Trial).values(weights_sha256="0" * 64))

    def away(self: LocalFolder, name: str, *_: int) -> None:
        raise OSError(f"no answer, asked for {name}")

    for method in ("read", "read_end", "exists"):
        monkeypatch.setattr(LocalFolder, method, away)
    answer = api.get(f"/api/v1/trials/1/{address}")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "30")
    assert "the storage of the trials' folders does not answer" in answer.json()["detail"]


def test_paths_of_a_descent_are_asked_for_again_too(
    api: TestClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = presets.load("figure-4")["base"] | {"epochs": 1}
    sweep_id = seed(database, small_sweep(base=base))

    def away(self: LocalFolder, name: str) -> None:
        raise OSError(f"no answer, asked for {name}")

    monkeypatch.setattr(LocalFolder, "read", away)
    for address in ("plots/descent", "figures/descent.svg"):
        answer = api.get(f"/api/v1/sweeps/{sweep_id}/{address}")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "30"), answer.text
