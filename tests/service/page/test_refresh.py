"""A refresh touches only what differs: focus, selection and the main thread are left alone."""

from collections.abc import Callable

import httpx2
import pytest
from playwright.sync_api import Page, Route, expect

from service.store.session import Database
from tests.conftest import small_sweep
from tests.seeded import seed
from tests.service.page.window import drawn, in_a_browser, submit

pytestmark = in_a_browser


def test_the_focus_stays_where_a_notice_goes(page: Page, url: str) -> None:
    """Catches: `Resume` by keyboard, and the next Tab starts at the top of the page."""
    sweep_id = submit(url)
    page.goto(f"{url}/sweeps/{sweep_id}")
    expect(page.get_by_role("heading", name="Events")).to_be_visible()
    page.get_by_role("button", name="Pause").focus()
    page.keyboard.press("Enter")
    resume = page.get_by_role("button", name="Resume")
    expect(resume).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Pause")).to_be_focused()
    expect(page.get_by_text("Paused:")).to_have_count(0)
    cell = page.locator(".cell").first
    cell.focus()
    for request, state in (("pause", "paused"), ("resume", "queued"), ("cancel", "cancelled")):
        httpx2.post(f"{url}/api/v1/sweeps/{sweep_id}/{request}")
        expect(page.locator(f".head .badge.{state}")).to_be_visible()
        expect(cell).to_be_focused()


def test_the_focus_stays_in_a_row_where_the_row_above_goes(page: Page, url: str) -> None:
    kept, gone = (submit(url, name=name) for name in ("kept", "gone"))
    for sweep_id in (kept, gone):
        httpx2.post(f"{url}/api/v1/sweeps/{sweep_id}/cancel")
    page.goto(url)
    link = page.get_by_role("link", name="kept")
    link.focus()
    httpx2.delete(f"{url}/api/v1/sweeps/{gone}")
    expect(page.get_by_role("link", name="gone")).to_have_count(0)
    expect(link).to_be_focused()


def test_the_focus_stays_among_what_waits_when_nothing_runs_any_more(
    page: Page, url: str, train: Callable[[int], None]
) -> None:
    submit(url, seeds=1)
    submit(url, name="too large", resources={"num_cpus": 64})
    train(2)
    page.goto(f"{url}/cluster")
    expect(page.get_by_role("region", name="Running trials")).to_be_visible()
    link = page.get_by_role("link", name="too large")
    link.focus()
    train(40)
    expect(page.get_by_text("No trials are running.")).to_be_visible()
    expect(link).to_be_focused()


SHIFTS = """
    globalThis.shifts = [];
    const place = ({ node }) => (node?.closest ? node : node?.parentElement)?.outerHTML;
    new PerformanceObserver((found) => shifts.push(...found.getEntries().flatMap(({ sources }) =>
        sources.map(place)))).observe({ type: "layout-shift", buffered: true });
"""
TWO_FRAMES = "new Promise((then) => requestAnimationFrame(() => requestAnimationFrame(then)))"


@pytest.mark.parametrize("path", ["/", "/cluster", "/sweeps/{id}", "/trials/1"])
def test_nothing_moves_while_more_comes(
    page: Page, url: str, database: Database, path: str
) -> None:
    """Catches: a click on what another section has pushed away in the meantime."""
    sweep_id = seed(database, small_sweep())
    page.set_viewport_size({"width": 1280, "height": 4000})
    page.add_init_script(SHIFTS)

    def late(route: Route) -> None:
        page.evaluate(TWO_FRAMES)  # so that each answer is painted by itself
        route.continue_()

    page.route("**/api/v1/**", late)
    page.goto(url + path.format(id=sweep_id))
    expect(page.locator("main")).to_have_attribute("aria-busy", "false")
    assert page.evaluate("shifts") == []


def test_a_figure_that_fails_takes_nothing_else_with_it(
    page: Page, url: str, database: Database
) -> None:
    """Catches: no trial, no download and no event, because a figure cannot be drawn."""
    page.route("**/plots/learning-curves?*", lambda route: route.fulfill(status=500))
    page.goto(f"{url}/sweeps/{seed(database, small_sweep())}")
    expect(page.get_by_role("heading", name="Events")).to_be_visible()
    expect(page.get_by_role("heading", name="Against the baseline")).to_be_visible()
    expect(page.get_by_role("heading", name="Learning curves")).to_have_count(0)
    expect(page.get_by_role("alert")).to_have_text("The service answered with status 500.")


def test_a_service_that_goes_away_among_the_figures_is_said_to_be_away_at_once(
    page: Page, url: str, database: Database
) -> None:
    """Catches: a service that hangs, noticed after each figure has waited for a minute."""
    others: list[str] = []
    page.route("**/plots/learning-curves?*", lambda route: route.abort())
    page.on("request", lambda request: "/plots/keep" in request.url and others.append(request.url))
    page.goto(f"{url}/sweeps/{seed(database, small_sweep())}")
    expect(page.get_by_role("alert")).to_contain_text("The service is not responding.")
    assert others == []


def test_the_plan_stays_where_it_is_while_a_spec_is_typed(page: Page, url: str) -> None:
    """Catches: all below it jumping up and down again at every key."""
    page.goto(f"{url}/new?preset=digits")
    plan = page.locator(".plan")
    expect(plan).to_contain_text("30: 10 arms")
    before = page.get_by_role("button", name="Submit").bounding_box()
    asked: list[Route] = []
    page.route("**/sweeps?validate_only=true", lambda route: asked.append(route))
    with page.expect_request("**/sweeps?validate_only=true"):
        page.get_by_label("Sweep as YAML or JSON").press_sequentially("#")
    expect(plan).to_have_attribute("aria-busy", "true")
    submit_it = page.get_by_role("button", name="Submit")
    expect(submit_it).to_be_disabled()
    assert submit_it.bounding_box() == before
    (route,) = asked
    route.continue_()
    expect(plan).to_have_attribute("aria-busy", "false")
    expect(submit_it).to_be_enabled()


LINES = [f"2026-11-27T02:25:{second:02}Z epoch {second}\n" for second in range(60)]


@pytest.mark.parametrize("first", [0, 20])
def test_what_is_selected_of_a_log_stays_selected_while_it_grows(
    page: Page, url: str, database: Database, first: int
) -> None:
    """Catches: a selection that is lost with the next epoch, also when the tail has moved on."""
    seed(database, small_sweep(), states=("running",))
    shown = ["".join(LINES[:40])]
    page.route("**/logs?*", lambda route: route.fulfill(body=shown[0], content_type="text/plain"))
    page.goto(f"{url}/trials/1")
    log = page.locator("#log")
    expect(log).to_be_visible()
    log.evaluate("""(log) => {
        const [text] = log.childNodes;
        const from = text.data.indexOf("epoch 30");
        getSelection().setBaseAndExtent(text, from, text, from + "epoch 30".length);
    }""")
    shown[0] = "".join(LINES[first:50])
    expect(log).to_contain_text("epoch 49")
    assert log.text_content() == shown[0]
    assert page.evaluate("getSelection().toString()") == "epoch 30"


@pytest.mark.parametrize("news", [False, True])
def test_a_poll_draws_the_page_once(page: Page, url: str, database: Database, news: bool) -> None:
    """Catches: hundreds of arms drawn seven times a poll, two seconds in which nothing scrolls."""
    sweep_id = seed(database, small_sweep())
    page.goto(f"{url}/sweeps/{sweep_id}")
    drawn(page, 3)
    expect(page.get_by_role("heading", name="Events")).to_be_visible()
    polls: list[str] = []
    page.on("request", lambda request: "/events?" in request.url and polls.append(request.url))
    page.evaluate("""() => {
        globalThis.made = 0;
        const create = document.createElement.bind(document);
        document.createElement = (name) => {
            made += name === "h1";
            return create(name);
        };
    }""")
    if news:  # of the sweep, the table and each plot
        httpx2.patch(f"{url}/api/v1/sweeps/{sweep_id}", json={"notes": "news", "tags": ["a"]})
        expect(page.locator(".remarks")).to_have_text("news")
    for _ in range(2):
        with page.expect_response("**/events?*") as answer:
            pass
    assert answer.value.status == 304
    made = page.evaluate("made")
    assert 1 <= made <= len(polls) + 1  # the first one may have asked before


def test_a_poll_leaves_a_figure_where_it_is(page: Page, url: str, database: Database) -> None:
    """Catches: every figure taken out and put back at each poll, and with it laid out anew: with
    hundreds of arms half a second each time."""
    sweep_id = seed(database, small_sweep())
    page.goto(f"{url}/sweeps/{sweep_id}")
    drawn(page, 3)
    page.evaluate("""() => {
        globalThis.moved = 0;
        new MutationObserver((changes) => {
            for (const { removedNodes } of changes)
                for (const node of removedNodes)
                    moved += node.matches?.(".figure, :has(.figure)") ?? 0;
        }).observe(document.querySelector("main"), { childList: true, subtree: true });
    }""")
    for _ in range(2):
        with page.expect_response("**/events?*"):
            pass
    page.get_by_label("Scale").select_option("log")
    expect(page.locator("[data-key=figure-learning-curves] .main-svg").first).to_be_visible()
    assert page.evaluate("moved") == 0
