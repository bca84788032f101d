"""The list of sweeps, and a new one: planned, refused at its lines, submitted, cloned."""

import re

import httpx2
from playwright.sync_api import Browser, Page, Route, expect
from sqlalchemy import update

from service.store.models import Sweep
from service.store.session import Database, db_now
from tests.conftest import small_sweep
from tests.seeded import seed
from tests.service.page.window import CHROMIUM, in_a_browser, submit

pytestmark = in_a_browser


def test_an_empty_page_shows_the_command_that_fills_it(page: Page, url: str) -> None:
    page.goto(url)
    expect(page.get_by_text(f"lrd submit --preset digits --watch --url {url}")).to_be_visible()


def test_an_address_that_nothing_has_is_told_with_a_way_back(page: Page, url: str) -> None:
    """Catches: JSON in a browser's window, or `Loading…` for ever."""
    answer = page.goto(f"{url}/no/such/page?shown=last")
    assert answer is not None
    assert answer.status == 404
    expect(page.get_by_text("There is no page /no/such/page.")).to_be_visible()
    expect(page.get_by_role("link", name="Show the default view")).to_have_count(0)
    page.get_by_role("link", name="All sweeps").click()
    expect(page.get_by_text("lrd submit --preset digits")).to_be_visible()
    asked = {"Accept": "text/html"}
    answers = [
        httpx2.get(f"{url}/api/v1/nothing", headers=asked),
        httpx2.get(f"{url}/no/such/page"),
        httpx2.post(f"{url}/no/such/page", headers=asked),
    ]
    assert [each.headers["Content-Type"] for each in answers] == ["application/problem+json"] * 3


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
    expect(page.get_by_text("No sweeps match")).to_be_visible()


def test_a_preset_is_planned_changed_refused_at_its_line_and_submitted(
    page: Page, url: str
) -> None:
    page.goto(f"{url}/new")
    page.get_by_label("Preset").select_option("digits")
    expect(page.get_by_text("30: 10 arms × 3 seeds")).to_be_visible()
    expect(page.get_by_text("3 pairs cannot reach p < 0.05")).to_be_visible()
    spec = page.get_by_label("Sweep as YAML or JSON")
    text = spec.input_value()
    assert text.startswith("# The demo")
    wrong = text.replace("[1.0, 0.5]", "[1.0, 1.5]").replace("fcnet", "fcnett")
    spec.fill(wrong)
    faults = page.get_by_role("list", name="Errors").get_by_role("listitem")
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


def test_what_was_typed_is_not_given_up_for_a_preset_unasked(page: Page, url: str) -> None:
    page.goto(f"{url}/new?preset=digits")
    spec, preset = page.get_by_label("Sweep as YAML or JSON"), page.get_by_label("Preset")
    expect(spec).to_have_value(re.compile("The demo"))
    preset.select_option("table-2")  # nothing was typed: nothing is asked
    expect(spec).to_have_value(re.compile("Table 2"))
    mine = spec.input_value().replace("seeds: 3", "seeds: 9")
    spec.fill(mine)
    preset.select_option("digits")
    page.get_by_role("button", name="Keep my text").click()
    expect(preset).to_have_value("table-2")
    expect(spec).to_have_value(mine)
    preset.select_option("digits")
    page.get_by_role("button", name="Use the preset").click()
    expect(spec).to_have_value(re.compile("The demo"))


def test_progress_and_pace_are_two_numbers(page: Page, url: str, database: Database) -> None:
    """Catches: `2 of 4 0.3 trials per hour`."""
    seed(database, small_sweep(), states=("succeeded", "running"))
    page.goto(url)
    expect(
        page.get_by_text(re.compile(r"^2 of 4, [\d.]+ trials per (minute|hour), about "))
    ).to_be_visible()
    with database.write() as session:  # one of the two had ended a day before
        session.execute(
            update(Sweep).values(
                finished_before=1, paced_from=db_now() - 60, version=Sweep.version + 1
            )
        )
    page.reload()
    expect(page.get_by_text("2 of 4, 1.0 trials per minute, about 2 min left")).to_be_visible()


def test_two_sweeps_of_one_name_are_told_apart(page: Page, url: str) -> None:
    ids = [submit(url, name="the same") for _ in range(2)]
    page.goto(url)
    for sweep_id in ids:
        row = page.get_by_role("row").filter(has_text=sweep_id)
        expect(row.get_by_role("link", name="the same")).to_have_attribute(
            "href", f"/sweeps/{sweep_id}"
        )


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
    expect(
        page.get_by_text("lrd submit --preset")
    ).to_be_visible()  # or it ends in the middle of its start
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


def test_an_answer_that_is_lost_leaves_the_text_and_is_asked_for_again(
    page: Page, url: str
) -> None:
    """Catches: `Loading…` for ever after one lost request."""
    lost: list[str] = []

    def lose(route: Route) -> None:
        if not lost:
            lost.append(route.request.url)
            route.abort()
        else:
            route.continue_()

    page.route("**/sweeps?validate_only=true", lose)
    page.goto(f"{url}/new?preset=digits")
    expect(page.get_by_label("Sweep as YAML or JSON")).to_have_value(re.compile("^# The demo"))
    expect(page.get_by_text("30: 10 arms × 3 seeds")).to_be_visible()
    assert lost


def test_what_was_typed_is_not_left_unasked(browser: Browser, url: str) -> None:
    page = browser.new_page()
    asked: list[str] = []
    page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.dismiss()))
    page.goto(f"{url}/new")
    spec = page.get_by_label("Sweep as YAML or JSON")
    spec.press_sequentially("name: mine")
    with page.expect_event("dialog"):
        page.get_by_role("link", name="Cluster").click(no_wait_after=True)
    expect(spec).to_have_value("name: mine")
    spec.fill("")
    page.get_by_role("link", name="Cluster").click()
    expect(page.get_by_role("heading", name="Running")).to_be_visible()
    assert asked == ["beforeunload"]
    page.close()


def test_back_from_a_submitted_sweep_lets_another_be_submitted(browser: Browser, url: str) -> None:
    """Catches: `Submitting…` for ever, on a page restored by the browser."""
    kept = browser.browser_type.launch(
        executable_path=CHROMIUM, args=["--no-sandbox"],
        ignore_default_args=["--disable-back-forward-cache"],
    )  # fmt: skip
    page = kept.new_page()
    page.goto(f"{url}/new?preset=digits")
    spec = page.get_by_label("Sweep as YAML or JSON")
    expect(spec).to_have_value(re.compile("The demo"))
    spec.fill(spec.input_value().replace("seeds: 3", "seeds: 2"))
    page.get_by_role("button", name="Submit").click()
    expect(page.get_by_text("0 of 20 trials done")).to_be_visible()
    page.evaluate("history.back()")
    expect(spec).to_have_value(re.compile("seeds: 2"))  # so it is the very page
    expect(page.get_by_role("button", name="Submit")).to_be_enabled()
    kept.close()


def test_back_leads_to_where_the_reader_was(page: Page, url: str) -> None:
    """Catches: the top of the list again, in a browser that does not keep the page in memory."""
    for number in range(30):
        submit(url, name=f"sweep {number}", seeds=1)
    page.goto(url)
    link = page.get_by_role("link", name="sweep 2", exact=True)
    link.scroll_into_view_if_needed()
    before = page.evaluate("scrollY")
    assert before > 500
    link.click()
    expect(page.get_by_role("heading", name="Events")).to_be_visible()
    assert page.evaluate("scrollY") == 0
    page.go_back()
    expect(link).to_be_in_viewport()
    assert page.evaluate("scrollY") == before
    page.evaluate("scrollTo(0, 0)")
    page.reload()
    expect(link).to_be_visible()
    assert page.evaluate("scrollY") == 0
