"""The page in a real browser: what it shows, what it asks for, and what it keeps out."""

import contextlib
import io
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvicorn
from playwright.sync_api import Browser, Page, Route, expect, sync_playwright

from service.app import create_app
from service.dispatcher import Dispatcher
from service.pages import CONTENT_SECURITY_POLICY
from service.settings import Settings
from service.store import tokens
from service.store.session import Database
from service.store.tokens import Role
from tests.conftest import small_sweep
from tests.inline import InlineExecutor
from tests.seeded import seed

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
]

HOSTILE = "<b>bold</b><img src=x onerror=alert(1)><script>alert(2)</script>"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A window in which no script may fail and no dialog of the browser may open."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(10_000)
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("dialog", lambda dialog: wrong.append(dialog.message))
    yield page
    page.close()
    assert wrong == []


@pytest.fixture
def database_url(sqlite: Callable[[Path], str], tmp_path: Path) -> str:
    """What differs between the databases is tested through the API: here one is enough."""
    return sqlite(tmp_path / "storage")


@contextlib.contextmanager
def serving(settings: Settings, database: Database, port: int = 0) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", port)) as listener:
        config = uvicorn.Config(
            create_app(settings, database), log_config=None, timeout_graceful_shutdown=1
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture
def url(settings: Settings, database: Database) -> Iterator[str]:
    with serving(settings, database) as url:
        yield url


@pytest.fixture
def train(database: Database, settings: Settings) -> Callable[[int], None]:
    """So many steps of a dispatcher."""
    dispatcher = Dispatcher(database, InlineExecutor(settings.trials), 60)

    def work(steps: int) -> None:
        for _ in range(steps):
            dispatcher._watch_at = 0  # as if a second had passed
            dispatcher.step(0)

    return work


def submit(url: str, **changes: Any) -> str:
    answer = httpx2.post(f"{url}/api/v1/sweeps", json=small_sweep(**changes))
    return str(answer.json()["id"])


def long_sweep(**changes: Any) -> dict[str, Any]:
    """With a point of its curves wherever the mouse may be."""
    document = small_sweep(**changes)
    document["base"]["epochs"] = 30
    return document


def drawn(page: Page, count: int = 1) -> None:
    """Wait until the figures are there."""
    expect(page.locator(".figure:has(.main-svg)")).to_have_count(count, timeout=30_000)


# --- the list -------------------------------------------------------------------------------------


def test_an_empty_page_shows_the_command_that_fills_it(page: Page, url: str) -> None:
    page.goto(url)
    expect(page.get_by_text(f"lrd submit --preset digits --watch --url {url}")).to_be_visible()


def test_the_list_is_filtered_searched_and_shared_by_its_address(
    page: Page, url: str, database: Database
) -> None:
    for number in range(60):
        submit(url, name=f"sweep number {number}", seeds=1)
    seed(database, small_sweep(name="a finished one"))
    page.goto(url)
    rows = page.locator("tbody tr")
    expect(rows).to_have_count(50)
    page.get_by_role("button", name="Next page").click()
    expect(rows).to_have_count(11)
    page.get_by_label("State").select_option("succeeded")
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("4 of 4")
    page.get_by_label("State").select_option("")
    page.get_by_label("Search").fill("NUMBER 5")
    expect(rows).to_have_count(11)
    assert "search=NUMBER+5" in page.url
    page.reload()
    expect(rows).to_have_count(11)
    expect(page.get_by_label("Search")).to_have_value("NUMBER 5")
    page.get_by_label("Search").fill("nothing like it")
    expect(page.get_by_text("No sweep is like that")).to_be_visible()


# --- a new sweep ----------------------------------------------------------------------------------


def test_a_preset_is_planned_changed_refused_at_its_line_and_submitted(
    page: Page, url: str
) -> None:
    page.goto(f"{url}/new")
    page.get_by_label("Preset").select_option("digits")
    expect(page.get_by_text("30: 10 arms × 3 seeds")).to_be_visible()
    expect(page.get_by_text("3 pairs cannot reach p < 0.05")).to_be_visible()
    spec = page.get_by_label("Sweep, as YAML or JSON")
    text = spec.input_value()
    assert text.startswith("# The demo")
    wrong = text.replace("[1.0, 0.5]", "[1.0, 1.5]").replace("fcnet", "fcnett")
    spec.fill(wrong)
    faults = page.get_by_role("list", name="Faults").get_by_role("listitem")
    expect(faults.first).to_contain_text("unknown model 'fcnett'")
    expect(page.get_by_role("button", name="Submit")).to_be_disabled()
    line = next(at for at, each in enumerate(wrong.splitlines(), 1) if "fcnett" in each)
    expect(faults.first).to_contain_text(f"Line {line}:")
    expect(page.locator(".gutter li").nth(line - 1)).to_have_class("faulty")
    spec.fill(text.replace("[1.0, 0.5]", "[1.0, 1.5]"))
    line = next(at for at, each in enumerate(text.splitlines(), 1) if "keep_prob: [" in each)
    expect(faults.first).to_contain_text(f"Line {line}: /grid/optimizer.keep_prob/1")
    spec.fill("name: [")
    expect(faults.first).to_contain_text("not valid YAML")
    spec.fill(text.replace("seeds: 3", "seeds: 2"))
    page.get_by_role("button", name="Submit").click()
    expect(page.get_by_text("0 of 20 trials done")).to_be_visible()


POINTERS = [
    ("/name", 0), ("/base/model", 2), ("/base/optimizer/lr", 3), ("/grid/optimizer.keep_prob/1", 5),
    ("/arms/1/set/regularizers", 9), ("/arms/0", 7), ("/seeds", 10), ("/seeds/1", 12),
    ("/base/missing", 1), ("", 0),
]  # fmt: skip


def test_a_pointer_is_found_at_its_line(page: Page, url: str) -> None:
    text = """name: x
base:
  model: fcnet   # a comment: with a colon
  optimizer: {name: adam, lr: 1}
grid:
  "optimizer.keep_prob": [1.0, 2.0]
arms:
  - label: plain
  - label: SD
    set: {regularizers: [SD]}
seeds:
- 1
- 2
"""
    page.goto(url)
    found = page.evaluate(
        """async ([text, pointers]) => {
            const { lineOf } = await import("/web/yaml.js");
            return pointers.map((pointer) => lineOf(text, pointer));
        }""",
        [text, [pointer for pointer, _ in POINTERS]],
    )
    assert dict(zip([p for p, _ in POINTERS], found, strict=True)) == dict(POINTERS)


def test_a_clone_starts_from_the_spec_of_the_other(page: Page, url: str) -> None:
    arms = [{"label": "plain: yes", "set": {}}, {"label": "SD", "set": {"regularizers": ["SD"]}}]
    sweep_id = submit(url, name='quotes " and: colons # too', arms=arms)
    page.goto(f"{url}/sweeps/{sweep_id}")
    page.get_by_role("link", name="Clone").click()
    page.get_by_role("button", name="Submit").click()
    page.wait_for_url(re.compile("/sweeps/"))
    clone = page.url.rsplit("/", 1)[1]
    both = [httpx2.get(f"{url}/api/v1/sweeps/{each}").json() for each in (sweep_id, clone)]
    assert both[0]["spec"] == both[1]["spec"]
    assert both[0]["id"] != both[1]["id"]


# --- one sweep ------------------------------------------------------------------------------------


def test_a_sweep_fills_in_and_keeps_the_focus(
    page: Page, url: str, train: Callable[[int], None]
) -> None:
    sweep_id = submit(url, name="keep probability")
    page.goto(url)
    page.get_by_role("link", name="keep probability").click()
    expect(page.get_by_text("0 of 4 trials done")).to_be_visible()
    expect(page.locator(".partial")).to_have_count(2)
    expect(page.get_by_text("No epoch reported yet").first).to_be_visible()
    page.locator(".cell").first.focus()
    train(40)
    expect(page.get_by_text("4 of 4 trials done")).to_be_visible()
    expect(page.locator(".cell").first).to_contain_text("±")
    expect(page.locator(".cell").first).to_be_focused()
    expect(page.locator(".partial")).to_have_count(0)
    expect(page.locator("tbody .badge.succeeded")).to_have_count(4)
    drawn(page, 3)
    assert page.url == f"{url}/sweeps/{sweep_id}"


def table_2(**changes: Any) -> dict[str, Any]:
    from lrd_core import presets

    document = presets.load("table-2")
    document["base"]["epochs"] = 4
    return document | {"seeds": 3} | changes


def test_a_cell_tells_all_by_keyboard_and_mouse(page: Page, url: str, database: Database) -> None:
    sweep_id = seed(database, table_2(seeds=6))
    page.goto(f"{url}/sweeps/{sweep_id}")
    cell = page.locator("tr", has_text="LRD (p = 0.1)").locator(".cell").first
    expect(cell).to_contain_text("paper 93.32")
    tip = page.locator(f"#{cell.get_attribute('aria-describedby')}")
    expect(tip).to_be_hidden()
    page.locator(".cell").first.focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    expect(cell).to_be_focused()
    expect(tip).to_be_visible()
    for said in (
        "against its baseline, over 6 pairs",
        "after Holm",
        "95 % interval",
        "paper 93.32",
    ):
        expect(tip).to_contain_text(said)
    page.keyboard.press("Escape")
    expect(tip).to_be_hidden()
    page.mouse.move(0, 0)
    cell.hover()
    expect(tip).to_be_visible()
    cell.click()
    expect(page.locator("#trials tbody tr")).to_have_count(6)
    assert "arm=" in page.url


def test_the_state_of_the_page_is_in_its_address(page: Page, url: str, database: Database) -> None:
    sweep_id = seed(database, table_2(), states=("succeeded", "succeeded", "failed"))
    page.goto(f"{url}/sweeps/{sweep_id}")
    drawn(page, 3)
    page.get_by_label("Metric").select_option("test_loss")
    page.get_by_label("Read at").select_option("best")
    page.get_by_label("Over").select_option("seconds")
    page.get_by_label("Scale").select_option("log")
    page.get_by_role("group", name="Arms").get_by_label("LRD (p = 0.3), SGDM").uncheck()
    page.locator("#trials").get_by_label("State").select_option("failed")
    expect(page.locator("#trials tbody tr")).to_have_count(12)
    address = page.url
    page.goto("about:blank")
    page.goto(address)
    drawn(page, 3)
    expect(page.locator(".results caption")).to_contain_text("test loss, best epoch")
    expect(page.get_by_role("group", name="Arms").locator("input:not(:checked)")).to_have_count(1)
    expect(page.locator("#trials tbody tr")).to_have_count(12)
    figure = page.evaluate(
        """() => {
            const figure = document.querySelector("[data-key=figure-learning-curves]");
            const lines = figure.data.filter((trace) => trace.hoverinfo !== "skip");
            return {
                shown: lines.filter((trace) => trace.visible).length, all: lines.length,
                scale: figure.layout.yaxis.type, over: figure.layout.xaxis.title.text,
            };
        }"""
    )
    assert figure == {"shown": 11, "all": 12, "scale": "log", "over": "time (s)"}


def test_thinned_curves_say_so(page: Page, url: str, database: Database) -> None:
    document = small_sweep(seeds=1)
    document["base"]["epochs"] = 500
    page.goto(f"{url}/sweeps/{seed(database, document)}")
    expect(page.get_by_text("Drawn: 400 of 500 points a curve")).to_be_visible()


def test_the_buttons_do_what_is_legal_and_say_why_not(
    page: Page, url: str, train: Callable[[int], None]
) -> None:
    sweep_id = submit(url)
    page.goto(f"{url}/sweeps/{sweep_id}")
    button = lambda name: page.get_by_role("button", name=name, exact=True)  # noqa: E731
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_text("nothing of it starts")).to_be_visible()
    button("Resume").click()
    expect(button("Pause")).to_be_visible()
    assert button("Retry").get_attribute("title") == "No trial failed or was cancelled."
    button("Retry").click(force=True)
    expect(page.locator("#status")).to_have_text("No trial failed or was cancelled.")

    button("Cancel").click()
    page.get_by_role("button", name="Keep it").click()
    assert httpx2.get(f"{url}/api/v1/sweeps/{sweep_id}").json()["state"] == "queued"
    button("Cancel").click()
    page.get_by_role("button", name="Cancel the sweep").click()
    expect(page.locator(".head .badge")).to_have_text(re.compile("cancelled"))

    button("Retry").click()
    page.get_by_role("dialog").get_by_role("button", name="Retry").click()
    expect(page.locator(".head .badge")).to_have_text(re.compile("queued"))
    button("Extend").click()
    page.get_by_label("Seeds, counted from 0:").fill("3")
    page.get_by_role("button", name="Extend").last.click()
    expect(page.get_by_text("0 of 6 trials done")).to_be_visible()
    train(60)
    expect(page.get_by_text("6 of 6 trials done")).to_be_visible()
    assert button("Cancel").get_attribute("aria-disabled") == "true"
    assert "nothing to cancel" in (button("Cancel").get_attribute("title") or "")


def test_everything_can_be_downloaded(page: Page, url: str, database: Database) -> None:
    sweep_id = seed(database, small_sweep())
    page.goto(f"{url}/sweeps/{sweep_id}")
    found = {}
    expect(page.locator(".downloads a")).to_have_count(9)
    for link in page.locator(".downloads a").all():
        with page.expect_download() as download:
            link.click()
        name = download.value.suggested_filename.removeprefix(sweep_id)
        found[name] = Path(download.value.path()).read_bytes()
    assert rb"\toprule" in found["-table.tex"]
    assert found["-trials.csv"].count(b"\n") == 1 + 4
    assert found["-reports.csv"].count(b"\n") == 1 + 4 * 2
    assert found["-reports.parquet"].startswith(b"PAR1")
    assert b"<svg" in found["-learning-curves.svg"]
    assert b"<svg" in found["-forest.svg"]
    assert "spec.yaml" in " ".join(zipfile.ZipFile(io.BytesIO(found[".zip"])).namelist())


# --- one trial, the cluster -----------------------------------------------------------------------


def test_a_trial_shows_its_curves_log_attempts_and_events(
    page: Page, url: str, train: Callable[[int], None]
) -> None:
    sweep_id = submit(url)
    train(40)
    page.goto(f"{url}/sweeps/{sweep_id}")
    page.locator("#trials tbody a").first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("seed 0")
    drawn(page)
    expect(page.locator("#log")).to_contain_text("done; the weights' SHA-256 is")
    expect(page.get_by_role("region", name="Attempts")).to_contain_text("succeeded")
    page.get_by_text("Environment of attempt 1").click()
    expect(page.get_by_text("torch", exact=True)).to_be_visible()
    expect(page.get_by_role("region", name="Events, newest first")).to_contain_text(
        "running → succ"
    )
    expect(page.get_by_text('dataset: "digits"')).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download the log").click()
    assert "attempt 1 starts" in Path(download.value.path()).read_text()


def test_a_failed_trial_says_why_and_is_retried(page: Page, url: str, database: Database) -> None:
    sweep_id = seed(database, small_sweep(), states=("failed", "succeeded"))
    page.goto(f"{url}/sweeps/{sweep_id}")
    page.get_by_role("link", name="2 failed").click()
    expect(page.locator("#trials tbody tr")).to_have_count(2)
    page.locator("#trials tbody a").first.click()
    expect(page.get_by_text("RuntimeError: made up")).to_be_visible()
    page.get_by_role("button", name="Retry").click()
    expect(page.locator(".head .badge")).to_have_text(re.compile("queued"))


def test_the_cluster_shows_what_runs_and_why_the_rest_waits(
    page: Page, url: str, train: Callable[[int], None]
) -> None:
    submit(url, name="two at once")
    submit(url, name="too large", resources={"num_cpus": 64})
    page.goto(f"{url}/cluster")
    expect(page.get_by_text("No dispatcher leads, so")).to_be_visible()
    train(2)
    expect(page.get_by_role("meter", name="CPUs")).to_have_attribute("aria-valuenow", "2")
    expect(page.get_by_role("region", name="Running trials").locator("tbody tr")).to_have_count(2)
    expect(page.get_by_role("row", name="too large")).to_contain_text("largest node has 2")


# --- trust ----------------------------------------------------------------------------------------


def test_a_name_is_text_and_no_markup(page: Page, url: str, database: Database) -> None:
    arms = [{"label": HOSTILE, "set": {}}, {"label": "b", "set": {"regularizers": ["SD"]}}]
    sweep_id = seed(database, long_sweep(name=HOSTILE, arms=arms))
    page.goto(url)
    expect(page.get_by_role("link", name=HOSTILE)).to_be_visible()
    page.goto(f"{url}/sweeps/{sweep_id}")
    expect(page.get_by_role("heading", name=HOSTILE)).to_be_visible()
    drawn(page, 3)
    page.locator(".figure .nsewdrag").first.hover()  # the labels at the pointer are Plotly's too
    expect(page.locator(".figure .hoverlayer text").first).to_be_visible()
    ticks = page.locator("[data-key=figure-forest] .ytick text").all_text_contents()
    assert ticks[0] == f"{HOSTILE}, keep_prob=0.5"
    assert HOSTILE in "".join(page.locator(".figure .hoverlayer").all_text_contents())
    page.goto(f"{url}/new?from={sweep_id}")
    expect(page.get_by_text("4 arms × 2 seeds")).to_be_visible()
    for path in ("", f"/sweeps/{sweep_id}", f"/new?from={sweep_id}"):
        page.goto(url + path)
        page.wait_for_load_state("networkidle")
        assert page.locator("img, main script").count() == 0


def test_the_policy_lets_the_figures_through_and_nothing_inline(
    page: Page, url: str, database: Database
) -> None:
    sweep_id = seed(database, long_sweep())
    refused: list[str] = []
    page.on("console", lambda message: refused.append(message.text))
    answer = page.goto(f"{url}/sweeps/{sweep_id}")
    assert answer is not None
    assert answer.headers["content-security-policy"] == CONTENT_SECURITY_POLICY
    drawn(page, 3)
    page.locator(".figure .nsewdrag").first.hover()
    expect(page.locator(".figure .hoverlayer text").first).to_be_visible()
    # plotly.js brings the style of a map library, which no figure here uses.
    assert {re.sub(r"'sha256-[^']*'", "", text)[:40] for text in refused} <= {
        "Applying inline style violates the follo"
    }
    assert len(refused) <= 1
    rules = (
        "[...document.styleSheets].some((sheet) => [...sheet.cssRules]"
        ".some((rule) => rule.selectorText?.includes('.js-plotly-plot')))"
    )
    assert page.evaluate(rules), "plotly.js could not write its own rules"
    ran = page.evaluate(
        """() => {
            const script = document.createElement("script");
            script.textContent = "globalThis.ran = true";
            document.body.append(script);
            const made = document.createElement("div");
            made.innerHTML = "<img src=x onerror='globalThis.ran = true'>";
            document.body.append(made);
            return new Promise((done) => setTimeout(() => done(globalThis.ran ?? false), 200));
        }"""
    )
    assert ran is False


def test_a_service_that_goes_away_and_comes_back(
    page: Page, settings: Settings, database: Database
) -> None:
    with serving(settings, database) as url:
        sweep_id = submit(url)
        page.goto(f"{url}/sweeps/{sweep_id}")
        expect(page.get_by_text("0 of 4 trials done")).to_be_visible()
    expect(page.get_by_role("alert")).to_contain_text("The service does not answer")
    expect(page.get_by_text("0 of 4 trials done")).to_be_visible()  # what is known stays
    with serving(settings, database, int(url.rsplit(":", 1)[1])):
        expect(page.locator("#banner")).to_be_empty(timeout=10_000)
        expect(page.locator("#status")).to_contain_text("answers again")


def test_what_is_not_there_is_said(page: Page, url: str) -> None:
    page.goto(f"{url}/sweeps/nothing")
    expect(page.get_by_text("There is no sweep 'nothing'")).to_be_visible()
    page.get_by_role("link", name="All sweeps").click()
    expect(page.get_by_text("No sweep yet")).to_be_visible()


def test_a_lost_answer_submits_no_second_sweep(page: Page, url: str) -> None:
    page.goto(f"{url}/new?preset=digits")

    def lose(route: Route) -> None:
        route.fetch()
        route.abort()

    page.route("**/api/v1/sweeps", lose, times=1)
    page.get_by_role("button", name="Submit").click()
    expect(page.locator("#status")).to_contain_text("does not answer")
    page.get_by_role("button", name="Submit").click()
    page.wait_for_url(re.compile("/sweeps/"))
    assert len(httpx2.get(f"{url}/api/v1/sweeps").json()["items"]) == 1


def test_it_asks_rarely_when_nothing_changes_and_never_when_hidden(
    page: Page, url: str, database: Database
) -> None:
    sweep_id = seed(database, small_sweep())
    asked: list[tuple[str, int]] = []
    page.on("response", lambda answer: asked.append((answer.url, answer.status)))
    page.clock.install()
    page.goto(f"{url}/sweeps/{sweep_id}")
    drawn(page, 3)
    polls = lambda: [status for at, status in asked if at.endswith(sweep_id) and "/api/" in at]  # noqa: E731
    for _ in range(30):
        page.clock.run_for(1000)
        page.wait_for_timeout(20)
    assert 3 <= len(polls()) <= 12  # a poll a second would be 30
    assert polls()[-1] == 304
    page.evaluate("Object.defineProperty(document, 'hidden', {value: true, configurable: true})")
    page.clock.run_for(20_000)
    page.wait_for_timeout(1500)  # a round that had begun comes to its end
    before = len(asked)
    page.clock.run_for(120_000)
    page.wait_for_timeout(100)
    assert len(asked) == before
    page.evaluate("delete document.hidden; document.dispatchEvent(new Event('visibilitychange'))")
    page.wait_for_timeout(200)
    assert len(asked) > before


def test_a_service_that_asks_for_a_token(page: Page, url: str, database: Database) -> None:
    sweep_id = seed(database, small_sweep(), states=("succeeded", "queued"))
    with database.write() as session:
        _, secret = tokens.create(session, "a reader", Role.viewer)
    sent: list[dict[str, str]] = []
    page.on("request", lambda request: sent.append(request.all_headers()))
    page.goto(f"{url}/sweeps/{sweep_id}")
    page.get_by_label("Token").fill("wrong")
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_role("alert")).to_contain_text("does not know this token")
    page.get_by_label("Token").fill(secret)
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_text("2 of 4 trials done")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("link", name="Trials (CSV)").click()
    assert Path(download.value.path()).read_bytes().count(b"\n") == 1 + 4
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("#status")).to_contain_text("POST needs the role submitter")
    stored = page.evaluate("[Object.values(sessionStorage), localStorage.length, document.cookie]")
    assert stored == [[secret], 0, ""]
    assert not any("cookie" in headers for headers in sent)


# --- everyone -------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_is_accessible(
    browser: Browser, url: str, database: Database, train: Callable[[int], None], scheme: Any
) -> None:
    from axe_playwright_python.sync_playwright import Axe

    states = ("succeeded", "failed", "running", "queued", "cancelled", "succeeded", "succeeded")
    sweep_id = seed(database, table_2(seeds=4), states=states)
    done = submit(url)
    train(40)
    trial = httpx2.get(f"{url}/api/v1/sweeps/{done}/trials").json()["items"][0]["id"]
    page = browser.new_page(color_scheme=scheme, bypass_csp=True)  # axe itself is injected
    axe = Axe()
    for path in ("/", f"/sweeps/{sweep_id}", f"/trials/{trial}", "/cluster", "/new?preset=digits"):
        page.goto(url + path)
        page.locator("h1").wait_for()
        page.wait_for_load_state("networkidle")
        if path.startswith("/sweeps"):
            drawn(page, 3)
            page.locator(".cell").nth(3).focus()
        if path.startswith("/new"):
            page.get_by_label("Sweep, as").fill("name: x\nseeds: 0\n")
            page.get_by_role("list", name="Faults").get_by_role("listitem").first.wait_for()
        found = axe.run(page)
        assert found.response["violations"] == [], f"{path}\n{found.generate_report()}"
    page.close()


def test_the_page_works_by_keyboard_alone(page: Page, url: str, database: Database) -> None:
    sweep_id = seed(database, small_sweep())
    page.goto(f"{url}/sweeps/{sweep_id}")
    drawn(page, 3)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    reached = []
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate("[document.activeElement.tagName, document.activeElement.innerText]")
        )
    texts = [text.split("\n")[0] for _, text in reached if text]
    for name in ("Sweeps", "New sweep", "Cluster", "Dark", "Pause", "Cancel", "Extend", "Clone"):
        assert name in texts
    assert len({text for tag, text in reached if tag == "BUTTON" and "±" in text}) == 2  # the cells
    assert sum(tag == "INPUT" for tag, _ in reached) >= 2  # the arms of the legend
    assert "Everything (bundle)" in texts
    page.locator("button", has_text="Extend").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_a_narrow_window_scrolls_only_inside_its_tables(
    browser: Browser, url: str, database: Database
) -> None:
    sweep_id = seed(database, table_2(), states=("succeeded", "running", "queued"))
    page = browser.new_page(viewport={"width": 360, "height": 740})
    for path in ("/", f"/sweeps/{sweep_id}", "/trials/1", "/cluster", "/new?preset=table-2"):
        page.goto(url + path)
        page.locator("h1").wait_for()
        page.wait_for_load_state("networkidle")
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, path
    page.close()


def test_the_reader_chooses_the_colours(page: Page, url: str) -> None:
    page.goto(url)
    paper = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(paper)
    page.get_by_role("button", name="Use dark colours").click()
    dark = page.evaluate(paper)
    assert dark != light
    page.reload()
    assert page.evaluate(paper) == dark
    page.get_by_role("button", name="Use light colours").click()
    assert page.evaluate(paper) == light


# --- with everything real -------------------------------------------------------------------------


@pytest.mark.ray
def test_submit_watch_cancel_and_retry_with_ray(page: Page, tmp_path: Path) -> None:
    environment = {**os.environ, "LRD_STORAGE_DIR": str(tmp_path), "LRD_PORT": "0"}
    with (tmp_path / "serve.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "service.cli", "serve"],
            env=environment, stdout=subprocess.PIPE, stderr=log, text=True,
        )  # fmt: skip
    assert process.stdout is not None
    try:
        page.set_default_timeout(60_000)
        url = process.stdout.readline().strip()
        page.goto(f"{url}/new?preset=digits")
        spec = page.get_by_label("Sweep, as YAML or JSON")
        expect(spec).to_have_value(re.compile("optimizer.name"))
        text = re.sub(r"  optimizer.name: .*\n", "", spec.input_value())
        spec.fill(text.replace("epochs: 5", "epochs: 400").replace("seeds: 3", "seeds: 2"))
        page.get_by_role("button", name="Submit").click()
        expect(page.locator("#trials .badge.running").first).to_be_visible(timeout=60_000)
        drawn(page, 2)  # against p: when the first trial has ended
        page.get_by_role("button", name="Cancel", exact=True).click()
        page.get_by_role("button", name="Cancel the sweep").click()
        expect(page.locator(".head .badge")).to_have_text(re.compile("cancelled"), timeout=60_000)
        page.get_by_role("button", name="Retry", exact=True).click()
        page.get_by_role("dialog").get_by_role("button", name="Retry").click()
        expect(page.locator("#trials .badge.running").first).to_be_visible(timeout=60_000)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
        process.stdout.close()


def test_the_reference_is_drawn_without_another_host(page: Page, url: str) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    refused: list[str] = []
    page.on("console", lambda said: refused.append(said.text) if said.type == "error" else None)
    page.goto(f"{url}/docs")
    expect(page.locator(".opblock-summary-path").first).to_be_visible(timeout=30_000)
    assert page.locator(".opblock").count() > 25
    assert all(each.startswith((url, "data:")) for each in asked)
    assert refused == []
