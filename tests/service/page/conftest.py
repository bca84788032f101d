"""A browser, a window in it, a service to show, and a dispatcher to train with."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from service.dispatcher import Dispatcher
from service.settings import Settings
from service.store.session import Database
from tests.inline import InlineExecutor
from tests.service.page.window import BUSY, CHROMIUM
from tests.serving import serving

PATIENCE_MS = 30_000
"""A page takes two seconds; next to five others, one took over five and a bundle over ten."""
expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A window in which no script may fail and no dialog of the browser may open. As a reader
    would, a test waits until the page shows what its address asks for."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(PATIENCE_MS)
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("dialog", lambda dialog: wrong.append(dialog.message))
    page.add_locator_handler(page.locator(BUSY), lambda: None)
    yield page
    page.close()
    assert wrong == []


@pytest.fixture
def database_url(sqlite: Callable[[Path], str], tmp_path: Path) -> str:
    """One database is enough: what differs between them is tested through the API."""
    return sqlite(tmp_path / "storage")


@pytest.fixture
def url(settings: Settings, database: Database) -> Iterator[str]:
    with serving(settings, database) as url:
        yield url


@pytest.fixture
def train(database: Database, settings: Settings) -> Callable[[int], None]:
    """Run that many steps of a dispatcher."""
    dispatcher = Dispatcher(database, InlineExecutor(settings.trials), 60)

    def work(steps: int) -> None:
        for _ in range(steps):
            dispatcher._watch_at = 0  # as if a second had passed
            dispatcher.step(0)

    return work
