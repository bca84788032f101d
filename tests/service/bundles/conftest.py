"""One bundle for all that forge: its figures take a second to draw."""

from collections.abc import Callable
from pathlib import Path

import pytest

from service.bundles.packing import pack
from service.store.session import Database
from tests.conftest import small_sweep
from tests.seeded import seed

STATES = ("succeeded", "failed", "cancelled", "succeeded")


@pytest.fixture(scope="session")
def bundle(sqlite: Callable[[Path], str], tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Of a sweep with a trial in each state that ends; it is in no database of a test."""
    database = Database(sqlite(tmp_path_factory.mktemp("bundle")))
    with pack(database, seed(database, small_sweep(), states=STATES), "none") as file:
        content = file.read()
    database.close()
    return content
