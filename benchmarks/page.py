"""The page as a reader has it: pictures of it, and how soon its first paint is.

python -m benchmarks.page screenshots     # docs/screenshots/*.png, of a real service with Ray
python -m benchmarks.page speed           # a table: sweeps of up to 10,000 trials
"""

import contextlib
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import uvicorn
from playwright.sync_api import Browser, sync_playwright

import migrations
from lrd_core import presets
from service.app import create_app
from service.client import Client
from service.settings import Settings
from service.store.session import Database
from tests.seeded import seed

SCREENSHOTS = Path(__file__).parent.parent / "docs" / "screenshots"
SIZES: tuple[tuple[int, int, int], ...] = ((10, 3, 20), (50, 20, 20), (50, 4, 200), (50, 200, 20))
"""(arms, seeds, epochs)"""
ROUNDS = 5

# --- screenshots ----------------------------------------------------------------------------------


def screenshots() -> None:
    """A real sweep of the digits, done and half done, in both colour schemes."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, _real(folder) as url, Client(url) as client:
        document = presets.load("digits") | {
            "name": "digits: five optimizers, with and without LRD"
        }
        document["base"]["epochs"], document["seeds"] = 12, 6
        done = client.submit(document)
        done.wait()
        document["base"]["epochs"], document["seeds"] = 60, 8
        running = client.submit(document | {"name": "the same, for longer"})
        while running.status()["trials"]["succeeded"] < 3:
            time.sleep(1)
        with _chromium() as browser:
            for name, path, scheme, width, height in (
                ("sweep", f"/sweeps/{done.id}", "light", 1200, 1290),
                ("sweep-dark", f"/sweeps/{done.id}", "dark", 1200, 1290),
                ("sweep-narrow", f"/sweeps/{done.id}", "light", 390, 844),
                ("sweeps", "/", "light", 1200, 480),
                ("trial", "/trials/1", "light", 1200, 1100),
                ("cluster", "/cluster", "dark", 1200, 620),
                ("new", "/new?preset=digits", "light", 1200, 900),
            ):
                _picture(browser, url + path, name, scheme, (width, height))


def _picture(browser: Browser, address: str, name: str, scheme: Any, size: tuple[int, int]) -> None:
    width, height = size
    page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
    page.goto(address)
    page.locator("h1").wait_for()
    if "/sweeps/" in address or "/trials/" in address:
        page.locator("[data-key=events] h2").wait_for()  # then only figures near the window remain
    time.sleep(2)
    page.screenshot(path=SCREENSHOTS / f"{name}.png")
    page.close()


@contextlib.contextmanager
def _real(folder: str) -> Iterator[str]:
    environment = {**os.environ, "LRD_STORAGE_DIR": folder, "LRD_PORT": "0"}
    process = subprocess.Popen(
        [sys.executable, "-m", "service.cli", "serve"],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


# --- speed ----------------------------------------------------------------------------------------


def speed() -> None:
    """Medians in milliseconds, from the start of the navigation; nothing is cached."""
    print(f"| arms × seeds × epochs | trials | first paint | {' | '.join(_MARKS)} |")
    print("|---|--:|--:|" + "--:|" * len(_MARKS))
    with (
        tempfile.TemporaryDirectory() as folder,
        _seeded(folder) as (url, database),
        _chromium() as browser,
    ):
        for arms, seeds, epochs in SIZES:
            document = presets.load("digits") | {"name": "many", "seeds": seeds}
            document["base"]["epochs"] = epochs
            rates = [round(0.001 * (1 + step), 4) for step in range(arms // 2)]
            document["grid"] = {"optimizer.lr": rates, "optimizer.keep_prob": [1.0, 0.5]}
            sweep_id = seed(database, document)
            rounds = [_visit(browser, f"{url}/sweeps/{sweep_id}") for _ in range(ROUNDS)]
            medians = [statistics.median(times) for times in zip(*rounds, strict=True)]
            shown = " | ".join(f"{each:,.0f}" for each in medians)
            print(f"| {arms} × {seeds} × {epochs} | {arms * seeds:,} | {shown} |", flush=True)


_MARKS = {"name and progress": ".head", "table": ".results", "curves": ".figure .main-svg"}
_WATCH = """
const marks = %s;
globalThis.seen = {};
new MutationObserver(() => {
  for (const [name, selector] of Object.entries(marks)) {
    if (!(name in seen) && document.querySelector(selector)) seen[name] = performance.now();
  }
}).observe(document, { childList: true, subtree: true });
"""


def _visit(browser: Browser, address: str) -> list[float]:
    """Milliseconds until the first paint, and until each part stands in the document."""
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    page.add_init_script(_WATCH % json.dumps(_MARKS))
    page.goto(address)
    page.locator(_MARKS["curves"]).first.wait_for(state="attached", timeout=120_000)
    paint = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
    times = [page.evaluate(paint), *(page.evaluate("seen")[name] for name in _MARKS)]
    page.close()
    return [float(time) for time in times]


@contextlib.contextmanager
def _seeded(folder: str) -> Iterator[tuple[str, Database]]:
    url = f"sqlite:///{folder}/lrd.db"
    database = Database(url)
    migrations.upgrade(database.engine)
    settings = Settings(storage_dir=Path(folder), database_url=url, lease_seconds=1e6)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(create_app(settings, database), log_config=None)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}", database
        finally:
            server.should_exit = True
            thread.join()
            database.close()


@contextlib.contextmanager
def _chromium() -> Iterator[Browser]:
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        raise SystemExit("Chromium is not installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


if __name__ == "__main__":
    {"screenshots": screenshots, "speed": speed}[sys.argv[1]]()
