"""What the page keeps out, and what it requests when."""

from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest
from playwright.sync_api import Page, Route, expect

from service.choices import Role
from service.pages import CONTENT_SECURITY_POLICY
from service.settings import Settings
from service.store import tokens
from service.store.session import Database
from tests.conftest import small_sweep
from tests.seeded import seed
from tests.service.page.window import drawn, in_a_browser, long_sweep, submit
from tests.serving import serving

pytestmark = in_a_browser

HOSTILE = "<b>bold</b><img src=x onerror=alert(1)><script>alert(2)</script>"


def test_a_name_is_text_and_no_markup(page: Page, url: str, database: Database) -> None:
    arms = [{"label": HOSTILE, "set": {}}, {"label": "b", "set": {"regularizers": ["SD"]}}]
    sweep_id = seed(database, long_sweep(name=HOSTILE, arms=arms))
    page.goto(url)
    expect(page.get_by_role("link", name=HOSTILE)).to_be_visible()
    page.goto(f"{url}/sweeps/{sweep_id}")
    expect(page.get_by_role("heading", name=HOSTILE)).to_be_visible()
    drawn(page, 4)
    page.locator(".figure .nsewdrag").first.hover()  # the labels at the pointer are Plotly's too
    expect(page.locator(".figure .hoverlayer text").first).to_be_visible()
    ticks = page.locator("[data-key=figure-forest] .ytick text").all_text_contents()
    whole = f"{HOSTILE}, LRD (keep_prob = 0.5)"  # in several lines, at whose ends there is no space
    assert ticks[0].replace(" ", "") == whole.replace(" ", "")
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
    assert refused == []  # as of the style of a map library, which plotly.js brings
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
    expect(page.get_by_role("alert")).to_contain_text("The service is not responding")
    expect(page.get_by_text("0 of 4 trials done")).to_be_visible()  # what is known stays
    with serving(settings, database, int(url.rsplit(":", 1)[1])):
        expect(page.locator("#banner")).to_be_empty()
        expect(page.locator("#status")).to_contain_text("responding again")


def test_what_is_not_there_is_said(page: Page, url: str) -> None:
    page.goto(f"{url}/sweeps/nothing")
    expect(page.get_by_text("There is no sweep 'nothing'")).to_be_visible()
    page.get_by_role("link", name="All sweeps").click()
    expect(page.get_by_text("No sweeps yet")).to_be_visible()
    page.goto(f"{url}/sweeps")  # who shortens an address
    expect(page.get_by_text("No sweeps yet")).to_be_visible()


@pytest.mark.parametrize(
    ("address", "said", "then"),
    [
        ("/?state=foo", "state: should be 'queued'", "No sweep like that"),
        ("/trials/1?attempt=99", "Trial 1 has had 1 attempt, not 99", "seed 0"),
        ("/trials/abc", "trial_id: should be an integer, got 'abc'", None),
    ],
)
def test_an_address_that_asks_for_what_cannot_be_says_why_and_leads_on(
    page: Page, url: str, database: Database, address: str, said: str, then: str | None
) -> None:
    """Catches: `Loading…` for ever below `A parameter is not valid`."""
    seed(database, small_sweep(name="No sweep like that"))
    page.goto(url + address)
    expect(page.locator("main")).to_contain_text(said)
    expect(page.get_by_text("Loading…")).to_have_count(0)
    way_on = page.get_by_role("link", name="Show the default view")
    if then is None:
        expect(way_on).to_have_count(0)
        return
    way_on.click()
    expect(page.locator("main")).to_contain_text(then)


def test_a_metric_that_nobody_reports_leaves_the_sweep_and_leads_on(
    page: Page, url: str, database: Database
) -> None:
    page.goto(f"{url}/sweeps/{seed(database, small_sweep())}?metric=foo")
    expect(page.get_by_role("alert")).to_contain_text("reports 'foo'; they report train_loss")
    page.get_by_role("link", name="Show the default view").click()
    expect(page.locator(".results caption")).to_contain_text("test accuracy")


def test_back_shows_what_the_address_says(page: Page, url: str, database: Database) -> None:
    """Catches: an address that says `failed` above a list of all trials."""
    sweep_id = seed(database, small_sweep(), states=("succeeded", "failed"))
    page.goto(f"{url}/sweeps/{sweep_id}")
    expect(page.get_by_role("heading", name="Events")).to_be_visible()
    page.get_by_role("link", name="2 failed").click()
    expect(page.locator("#trials tbody tr")).to_have_count(2)
    page.locator("#trials").get_by_label("State").select_option("")
    expect(page.locator("#trials tbody tr")).to_have_count(4)
    page.clock.install()  # no poll comes to help
    page.evaluate("history.back()")
    expect(page).to_have_url(f"{url}/sweeps/{sweep_id}?state=failed")
    expect(page.locator("#trials tbody tr")).to_have_count(2)


def test_a_service_that_hangs_is_said_not_to_answer(page: Page, url: str) -> None:
    """Catches: hour-old numbers that look current."""
    page.add_init_script("""
        const { timeout } = AbortSignal;
        AbortSignal.timeout = (ms) => timeout.call(AbortSignal, ms / 20);
    """)
    page.goto(f"{url}/cluster")
    expect(page.get_by_role("heading", name="Running")).to_be_visible()
    page.route("**/api/v1/cluster", lambda route: None)
    expect(page.get_by_role("alert")).to_contain_text("The service is not responding")
    page.unroute("**/api/v1/cluster")
    expect(page.locator("#banner")).to_be_empty()


def test_a_lost_answer_submits_no_second_sweep(page: Page, url: str) -> None:
    page.goto(f"{url}/new?preset=digits")

    def lose(route: Route) -> None:
        route.fetch()
        route.abort()

    page.route("**/api/v1/sweeps", lose, times=1)
    page.get_by_role("button", name="Submit").click()
    expect(page.locator("#status")).to_contain_text("not responding")
    page.get_by_role("button", name="Submit").click()
    expect(page.get_by_text("trials done")).to_be_visible()  # the sweep's own page is there
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


def test_a_link_that_comes_later_takes_no_others_place(
    page: Page, url: str, train: Callable[[int], None]
) -> None:
    """Catches: a click on `Everything` that downloads what came in before it."""
    page.goto(f"{url}/sweeps/{submit(url)}")
    links = page.locator(".downloads a")
    expect(links).to_have_count(12)
    everything = page.get_by_role("link", name="Everything (bundle)").element_handle()
    train(40)
    expect(links).to_have_count(13)
    assert everything.evaluate("(link) => link.isConnected && link.textContent") == (
        "Everything (bundle)"
    )


def test_a_service_that_asks_for_a_token(page: Page, url: str, database: Database) -> None:
    sweep_id = seed(database, small_sweep(), states=("succeeded", "queued"))
    with database.write() as session:
        _, secret = tokens.create(session, "a reader", Role.viewer)
    sent: list[dict[str, str]] = []
    page.on("request", lambda request: sent.append(request.all_headers()))
    page.goto(f"{url}/sweeps/{sweep_id}")
    page.get_by_label("Token").fill("ключ")  # no header can carry it: refused before it is kept
    page.get_by_role("button", name="Continue").click()
    assert page.get_by_label("Token").evaluate("(input) => input.validity.patternMismatch")
    assert page.evaluate("sessionStorage.length") == 0
    page.get_by_label("Token").fill("wrong")
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_role("alert")).to_contain_text("does not recognise this token")
    page.get_by_label("Token").fill(secret)
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_text("2 of 4 trials done")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("link", name="Trials (CSV)").click()
    assert Path(download.value.path()).read_bytes().count(b"\n") == 1 + 4
    expect(page.get_by_role("heading", name="Events")).to_be_visible()  # now nothing moves
    # Catches: a download that is refused, and a click that does nothing.
    page.get_by_role("link", name="Everything (bundle)").click()
    expect(page.locator("#status")).to_contain_text("still runs; a bundle is made of one that has")
    page.get_by_role("button", name="Pause").click(force=True)
    why = "This needs the role submitter; this token's is viewer."
    expect(page.locator("#status")).to_have_text(why)
    changing = page.locator("p.buttons").locator("button, a")
    assert {each.get_attribute("title") for each in changing.all()} == {why}
    stored = page.evaluate("[Object.values(sessionStorage), localStorage.length, document.cookie]")
    assert stored == [[secret], 0, ""]
    assert not any("cookie" in headers for headers in sent)
    page.goto(f"{url}/new?preset=digits")  # a refusal that is about no line of the text
    expect(page.get_by_role("alert").filter(has_text="needs the role submitter")).to_be_visible()
    expect(page.get_by_role("list", name="Errors").get_by_role("listitem")).to_have_count(0)
    out = page.get_by_role("button", name="Sign out")
    out.click()
    expect(page.get_by_role("heading", name="Access token")).to_be_visible()
    expect(out).to_have_count(0)
    assert page.evaluate("sessionStorage.length") == 0
