"""The page for everyone: by keyboard, in a narrow window, in both colours, by axe's rules."""

import io
from collections.abc import Callable
from typing import Any

import httpx2
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from service.store.session import Database
from tests.conftest import small_sweep
from tests.seeded import seed
from tests.service.page.window import drawn, in_a_browser, submit, table_2

pytestmark = in_a_browser


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_is_accessible(
    browser: Browser, url: str, database: Database, train: Callable[[int], None], scheme: Any
) -> None:
    from axe_playwright_python.sync_playwright import Axe

    states = ("succeeded", "failed", "running", "queued", "cancelled", "succeeded", "succeeded")
    done = submit(url)
    train(40)  # before the other is there: of that, nothing is to train
    sweep_id = seed(database, table_2(seeds=4), states=states)
    trial = httpx2.get(f"{url}/api/v1/sweeps/{done}/trials").json()["items"][0]["id"]
    page = browser.new_page(color_scheme=scheme, bypass_csp=True)  # axe itself is injected
    axe = Axe()
    for path in ("/", f"/sweeps/{sweep_id}", f"/trials/{trial}", "/cluster", "/new?preset=digits"):
        page.goto(url + path)
        page.locator("h1").wait_for()
        page.wait_for_load_state("networkidle")
        if path.startswith("/sweeps"):
            drawn(page, 4)
            page.locator(".cell").nth(3).focus()
        if path.startswith("/new"):
            page.get_by_label("Sweep as").fill("name: x\nseeds: 0\n")
            page.get_by_role("list", name="Errors").get_by_role("listitem").first.wait_for()
        found = axe.run(page)
        assert found.response["violations"] == [], f"{path}\n{found.generate_report()}"
    page.close()


def test_the_page_works_by_keyboard_alone(page: Page, url: str, database: Database) -> None:
    sweep_id = seed(database, small_sweep())
    page.goto(f"{url}/sweeps/{sweep_id}")
    drawn(page, 3)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to content"
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


INSIDE = """(figure) => {
    const box = document.querySelector(figure).getBoundingClientRect();
    return [...document.querySelectorAll(`${figure} text`)]
        .map((text) => [text.textContent, text.getBoundingClientRect()])
        .filter(([, at]) => at.width && (at.left < box.left - 1 || at.right > box.right + 1))
        .map(([text]) => text);
}"""
PANELS = """(figure) => [...document.querySelectorAll(`${figure} .nsewdrag`)]
    .map((each) => each.getBoundingClientRect().top)"""


def test_a_long_arm_in_a_narrow_window_covers_no_other_cell(
    page: Page, url: str, database: Database
) -> None:
    """Catches: a label written across the seed and the state; a choice wider than the window."""
    document = small_sweep(seeds=2)
    label = "a name that nobody would choose except people who describe the whole arm in its label"
    document["arms"] = [{"label": "short", "set": {}}, {"label": label, "set": {"epochs": 3}}]
    page.set_viewport_size({"width": 380, "height": 800})
    page.goto(f"{url}/sweeps/{seed(database, document)}")
    expect(page.get_by_role("heading", name="Events")).to_be_visible()
    too_wide = """() => [document.documentElement, ...document.querySelectorAll("#trials td")]
        .filter((it) => it.scrollWidth > it.clientWidth + 1).map((it) => it.textContent)"""
    assert page.evaluate(too_wide) == []
    heading = page.get_by_role("region", name="Results").locator("th", has_text=label)
    box = heading.bounding_box()
    assert box is not None
    assert box["height"] < 250


@pytest.mark.parametrize("width", [400, 500])
def test_in_a_narrow_window_no_text_of_a_figure_is_cut_and_panels_stand_on_each_other(
    browser: Browser, url: str, database: Database, width: int
) -> None:
    arms = [
        {"label": "without any regularizer", "set": {}},
        {"label": "SD and NG", "set": {"regularizers": ["SD", "NG"]}},
    ]
    sweep_id = seed(database, small_sweep(arms=arms))
    page = browser.new_page(viewport={"width": width, "height": 800})
    page.goto(f"{url}/sweeps/{sweep_id}")
    drawn(page, 4)
    for name in ("learning-curves", "keep-prob", "forest", "effects"):
        assert page.evaluate(INSIDE, f"[data-key=figure-{name}]") == [], name
    page.goto(f"{url}/trials/1")
    drawn(page)
    tops = page.evaluate(PANELS, "[data-key=figure-trial]")
    assert len(set(tops)) == 2
    page.close()


def test_a_table_that_goes_on_beyond_the_edge_shows_it(
    browser: Browser, url: str, database: Database
) -> None:
    """Catches: a column that nobody notices. Once all of it was seen, the shadow is gone."""
    seed(database, small_sweep())
    page = browser.new_page(viewport={"width": 400, "height": 800}, color_scheme="light")
    page.goto(url)
    table = page.get_by_role("region", name="Sweeps")
    expect(table).to_be_visible()

    def right_edge() -> int:
        box = table.bounding_box()
        assert box is not None
        edge = {"x": box["x"] + box["width"] - 3, "y": box["y"] + 2, "width": 2, "height": 4}
        return darkness(page.screenshot(clip=edge))

    beyond = right_edge()
    table.evaluate("(region) => (region.scrollLeft = region.scrollWidth)")
    assert beyond > right_edge() + 10
    page.close()


def darkness(png: bytes) -> int:
    """Darkness of the darkest pixel, 0 to 255."""
    return 255 - Image.open(io.BytesIO(png)).convert("L").getextrema()[0]


def test_a_name_without_a_space_is_broken_and_leaves_the_numbers_in_sight(
    page: Page, url: str, database: Database
) -> None:
    """Catches: a page that scrolls sideways; a table whose numbers are beyond the edge."""
    arms = [{"label": "W" * 90, "set": {}}, {"label": "b", "set": {"regularizers": ["SD"]}}]
    page.goto(f"{url}/sweeps/{seed(database, small_sweep(arms=arms))}")
    drawn(page, 4)
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280
    for name in ("Results", "Trials"):
        inside = page.get_by_role("region", name=name)
        assert inside.evaluate("(region) => region.scrollWidth <= region.clientWidth"), name


def test_a_name_in_hebrew_reads_in_its_own_direction(
    page: Page, url: str, database: Database
) -> None:
    """Catches: `שלום (a)` with its parenthesis at the beginning, as if it were English."""
    arms = [
        {"label": "שלום (a)", "set": {}},
        {"label": "b (c)", "set": {"regularizers": ["SD"]}},
    ]
    page.goto(f"{url}/sweeps/{seed(database, small_sweep(arms=arms))}")
    drawn(page, 4)
    ends = """(place) => {
        const [text] = [...place.querySelectorAll("span")].map((span) => span.firstChild);
        const at = (from) => {
            const range = document.createRange();
            range.setStart(text, from);
            range.setEnd(text, from + 1);
            return range.getBoundingClientRect().left;
        };
        return at(0) < at(text.length - 1) ? "to the right" : "to the left";
    }"""
    titles = page.locator(".results tbody th")
    assert titles.nth(0).evaluate(ends) == "to the left"
    assert titles.nth(1).evaluate(ends) == "to the right"


def test_high_contrast_leaves_the_progress_and_shows_what_cannot_be_pressed(
    browser: Browser, url: str, database: Database
) -> None:
    page = browser.new_page(forced_colors="active")
    page.goto(f"{url}/sweeps/{seed(database, small_sweep())}")
    bar = page.locator(".bar .succeeded")
    expect(bar).to_have_css("background-color", "rgb(0, 121, 90)")
    ink = "(button) => getComputedStyle(button).color"
    pause, delete = (page.get_by_role("button", name=name) for name in ("Pause", "Delete"))
    assert pause.evaluate(ink) != delete.evaluate(ink)
    page.close()


def test_on_paper_all_of_a_table_is_there_in_dark_ink(
    browser: Browser, url: str, database: Database
) -> None:
    """Catches: pale letters on white paper; columns that are cut; rows of buttons."""
    page = browser.new_page(color_scheme="dark", viewport={"width": 640, "height": 900})
    page.goto(f"{url}/sweeps/{seed(database, table_2())}")
    drawn(page, 4)
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print", color_scheme="dark")
    brightness = """(place) => getComputedStyle(place)[place.closest("svg") ? "fill" : "color"]
        .match(/[0-9]+/g).slice(0, 3).map(Number)"""
    for place in (".results td", ".figure .xtitle"):
        assert max(page.locator(place).first.evaluate(brightness)) < 100, place
    results = page.get_by_role("region", name="Results")
    assert results.evaluate("(region) => getComputedStyle(region).overflowX") == "visible"
    expect(page.get_by_role("button", name="Delete")).to_be_hidden()
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
