"""What several tests share: a migrated database, the API over it, and small sweeps."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

import migrations
from service.app import create_app
from service.settings import Settings
from service.store.session import Database

DATA = Path(__file__).parents[2] / "shared" / "data"


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


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(storage_dir=tmp_path / "storage", checkpoint_seconds=0)


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    database = Database(settings.database)
    migrations.upgrade(database.engine)
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
