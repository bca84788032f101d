"""A dispatcher over an executor in this process, for whoever lets trials run."""

import pytest

from service.dispatcher import Dispatcher
from service.settings import Settings
from service.store.session import Database
from tests.inline import InlineExecutor


@pytest.fixture
def executor(settings: Settings) -> InlineExecutor:
    return InlineExecutor(settings.trials)


@pytest.fixture
def dispatcher(database: Database, executor: InlineExecutor) -> Dispatcher:
    return Dispatcher(database, executor, lease_seconds=60)
