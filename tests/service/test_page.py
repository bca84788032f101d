"""The page in a real browser: it shows what the API says, and every string as text."""

import shutil
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
import uvicorn
from playwright.sync_api import Browser, Page, sync_playwright

from service.app import create_app
from service.dispatcher import Dispatcher
from service.settings import Settings
from service.store.session import Database
from tests.conftest import small_sweep
from tests.inline import InlineExecutor

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    page = browser.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("dialog", lambda dialog: wrong.append(dialog.message))
    yield page
    page.close()
    assert wrong == []


@pytest.fixture
def url(settings: Settings, database: Database) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(create_app(settings, database), log_config=None))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join()


def submit(url: str, **changes: Any) -> str:
    answer = httpx2.post(f"{url}/api/v1/sweeps", json=small_sweep(**changes))
    return str(answer.json()["id"])


def train(database: Database, settings: Settings, steps: int) -> None:
    dispatcher = Dispatcher(database, InlineExecutor(settings.trials), 60)
    for _ in range(steps):
        dispatcher.step(0)


def test_an_empty_page_shows_the_command_that_fills_it(page: Page, url: str) -> None:
    page.goto(url)
    page.get_by_text("lrd submit").wait_for()


def test_a_sweep_fills_in(page: Page, url: str, database: Database, settings: Settings) -> None:
    submit(url, name="keep probability")
    page.goto(url)
    page.get_by_role("link", name="keep probability").click()
    page.get_by_text("0 of 4 done").wait_for()
    train(database, settings, 40)
    page.get_by_text("4 of 4 done").wait_for()
    page.get_by_text("±").first.wait_for()
    assert page.locator("svg polyline").count() == 2


def test_a_name_is_text_and_no_markup(page: Page, url: str) -> None:
    name = "<img src=x onerror=alert(1)>"
    sweep_id = submit(url, name=name)
    page.goto(url)
    page.get_by_role("link", name=name).wait_for()
    page.goto(f"{url}/sweeps/{sweep_id}")
    page.get_by_role("heading", name=name).wait_for()
    time.sleep(0.2)  # the time an alert would need
    assert page.locator("img").count() == 0
