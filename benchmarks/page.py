"""The page as a reader has it: pictures of it, and how soon its first paint is.

python -m benchmarks.page screenshots     # docs/screenshots/*.png, of a real service with Ray
python -m benchmarks.page speed           # a table: sweeps of up to 10,000 trials
python -m benchmarks.page compare FOLDER  # hundreds of arms, with the page in FOLDER and this one
"""

import contextlib
import itertools
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
from playwright.sync_api import Browser, Page, sync_playwright

import migrations
from lrd_core import presets
from service import pages
from service.app import create_app
from service.client import Client
from service.settings import Settings
from service.store import recording, sweeps
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
            sweep_id = seed(database, _sweep(arms, seeds, epochs))
            rounds = [_visit(browser, f"{url}/sweeps/{sweep_id}") for _ in range(ROUNDS)]
            medians = [statistics.median(times) for times in zip(*rounds, strict=True)]
            shown = " | ".join(f"{each:,.0f}" for each in medians)
            print(f"| {arms} × {seeds} × {epochs} | {arms * seeds:,} | {shown} |", flush=True)


def _sweep(arms: int, seeds: int, epochs: int) -> dict[str, Any]:
    document = presets.load("digits") | {"name": "many", "seeds": seeds}
    document["base"]["epochs"] = epochs
    rates = [round(0.001 * (1 + step), 4) for step in range(arms // 2)]
    document["grid"] = {"optimizer.lr": rates, "optimizer.keep_prob": [1.0, 0.5]}
    return document


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
    page.locator("[data-key=figure-learning-curves]").scroll_into_view_if_needed(timeout=120_000)
    page.locator(_MARKS["curves"]).first.wait_for(state="attached", timeout=120_000)
    paint = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
    times = [page.evaluate(paint), *(page.evaluate("seen")[name] for name in _MARKS)]
    page.close()
    return [float(time) for time in times]


# --- compared -------------------------------------------------------------------------------------


def compare(other: Path) -> None:
    """Milliseconds with `other`, then with this checkout's page, in turns; and their ratio."""
    print(f"| arms | {' | '.join(_COSTS)} |\n|--:|{'--:|' * len(_COSTS)}")
    with (
        tempfile.TemporaryDirectory() as folder,
        _seeded(folder) as (url, database),
        _served(folder, database, other) as other_url,
        _chromium() as browser,
    ):
        for arms in (20, 100, 320):
            sweep_id = seed(database, _sweep(arms, 3, 20), states=("succeeded", "running"))
            news = _news(database, sweep_id)
            costs: dict[str, list[list[float]]] = {other_url: [], url: []}
            for _ in range(ROUNDS):
                for each, found in costs.items():
                    found.append(_costs(browser, f"{each}/sweeps/{sweep_id}", news))
            before, after = (
                [statistics.median(column) for column in zip(*found, strict=True)]
                for found in costs.values()
            )
            shown = [
                f"{one:,.0f} → {two:,.0f}" + (f" ({one / two:.1f} ×)" if two else "")
                for one, two in zip(before, after, strict=True)
            ]
            print(f"| {arms} | {' | '.join(shown)} |", flush=True)


_COSTS = (
    "all but figures out of sight",
    "main thread busy until then",
    "busy until the curves are drawn, once scrolled to",
    "busy in one poll, curves in sight",
    "busy in one poll with news, at the top",
)
_WATCH_BUSY = """
globalThis.busy = 0;
new PerformanceObserver((list) => {
  for (const { duration } of list.getEntries()) busy += duration;
}).observe({ type: "longtask", buffered: true });
"""


def _news(database: Database, sweep_id: str) -> Iterator[None]:
    """With each step, a running trial reports its next epoch."""
    with database.read() as session:
        running = [trial for trial, _ in sweeps.trials(session, sweep_id) if trial.epochs_done < 20]
    for trial in itertools.cycle(running):
        trial.epochs_done += 1
        report = {**trial.last_report, "epoch": trial.epochs_done}
        epoch = recording.ReportedEpoch(trial.id, trial.attempt, report, None)
        with database.write() as session:
            recording.record_all(session, [epoch])
            recording.touch(session, {sweep_id})
        yield


def _costs(browser: Browser, address: str, news: Iterator[None]) -> list[float]:
    """`_COSTS` of one visit."""
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    page.add_init_script(_WATCH_BUSY)
    page.goto(address)
    page.locator("[data-key=events] h2").wait_for(timeout=120_000)
    ready = page.evaluate("[performance.now(), busy]")
    curves = page.locator("[data-key=figure-learning-curves]")
    curves.evaluate("(it) => { busy = 0; it.scrollIntoView(); }")
    curves.locator(".main-svg").first.wait_for(state="attached", timeout=120_000)
    page.wait_for_timeout(1000)
    drawn = page.evaluate("busy")
    idle = _busy_in_a_poll(page)
    page.evaluate("scrollTo(0, 0)")
    next(news)
    times = [*ready, drawn, idle, _busy_in_a_poll(page)]
    page.close()
    return [float(time) for time in times]


def _busy_in_a_poll(page: Page) -> float:
    with page.expect_response("**/events?*"):
        page.evaluate("busy = 0; dispatchEvent(new Event('online'))")
    page.wait_for_timeout(1000)
    return float(page.evaluate("busy"))


# --- inside ---------------------------------------------------------------------------------------


@contextlib.contextmanager
def _seeded(folder: str) -> Iterator[tuple[str, Database]]:
    database = Database(f"sqlite:///{folder}/lrd.db")
    migrations.upgrade(database.engine)
    with _served(folder, database, pages.WEB) as url:
        yield url, database
    database.close()


@contextlib.contextmanager
def _served(folder: str, database: Database, web: Path) -> Iterator[str]:
    """A service with the page in `web`."""
    own, pages.WEB = pages.WEB, web
    settings = Settings(
        storage_dir=Path(folder), database_url=f"sqlite:///{folder}/lrd.db", lease_seconds=1e6
    )
    app = create_app(settings, database)
    pages.WEB = own
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_config=None))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


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
    if sys.argv[1] == "compare":
        compare(Path(sys.argv[2]))
    else:
        {"screenshots": screenshots, "speed": speed}[sys.argv[1]]()
