"""The table: its cells' tips, what a spreadsheet gets of it, what a heading says."""

import httpx2
from playwright.sync_api import Browser, Locator, Page, expect
from sqlalchemy import select

from service.store.models import Trial
from service.store.session import Database
from tests.conftest import factorial, small_sweep
from tests.seeded import seed
from tests.service.page.window import in_a_browser, table_2

pytestmark = in_a_browser


def tip_of(page: Page, cell: Locator) -> Locator:
    return page.locator(f"#{cell.get_attribute('aria-describedby')}")


def top(place: Locator) -> float:
    box = place.bounding_box()
    assert box is not None
    return box["y"]


def test_a_tip_is_reached_by_the_pointer_and_goes_with_escape(
    page: Page, url: str, database: Database
) -> None:
    """Catches: a gap in which it vanishes; Escape that only the focus hears."""
    page.goto(f"{url}/sweeps/{seed(database, small_sweep())}")
    cell = page.locator(".cell").first
    cell.hover()
    tip = tip_of(page, cell)
    expect(tip).to_be_visible()
    box = cell.bounding_box()
    assert box is not None
    across, down = box["x"] + 20, box["y"] + box["height"] / 2
    for step in range(round(top(tip) + 15 - down)):
        page.mouse.move(across, down + step)
        assert tip.is_visible(), f"{step} px below the middle of its cell"
    page.keyboard.press("Escape")
    expect(tip).to_be_hidden()


def test_a_tip_has_as_many_digits_as_a_small_difference_takes(
    page: Page, url: str, database: Database
) -> None:
    """Catches: "+0.00 points; 95 % interval +0.00 to +0.01", where `lrd compare` has +0.006."""
    sweep_id = seed(database, small_sweep(seeds=6))
    with database.write() as session:
        for trial in session.scalars(select(Trial)):
            gain = 5e-5 + 1e-5 * (trial.seed % 3) if trial.arm_id % 2 == 0 else 0.0
            trial.last_report = {"test_accuracy": 0.98 + gain}
    answer = httpx2.get(f"{url}/api/v1/sweeps/{sweep_id}/comparisons?format=markdown").text
    page.goto(f"{url}/sweeps/{sweep_id}")
    cell = page.locator(".cell").nth(1)
    cell.hover()
    for text in ("+0.006", "+0.005 to +0.007"):
        assert f"| {text}" in answer
        expect(tip_of(page, cell)).to_contain_text(text)
    expect(tip_of(page, cell)).to_contain_text("p = 0.031 (sign flips), 0.031 after Holm")


def test_a_tip_stays_at_its_cell_when_the_page_is_scrolled(
    page: Page, url: str, database: Database
) -> None:
    page.goto(f"{url}/sweeps/{seed(database, small_sweep())}")
    expect(page.get_by_role("heading", name="Events")).to_be_visible()
    page.get_by_label("Value at").focus()
    for _ in range(2):  # the table, its first cell
        page.keyboard.press("Tab")
    cell = page.locator(".cell").first
    expect(cell).to_be_focused()
    tip = tip_of(page, cell)
    expect(tip).to_be_visible()
    apart, before = top(tip) - top(cell), top(cell)
    page.evaluate("scrollBy(0, 200)")
    page.wait_for_function(
        "(before) => document.activeElement.getBoundingClientRect().y < before", arg=before
    )
    page.evaluate("new Promise(requestAnimationFrame)")
    assert abs(top(tip) - top(cell) - apart) < 1


def test_a_spreadsheet_gets_a_row_of_the_table_as_a_row(
    browser: Browser, url: str, database: Database
) -> None:
    """Catches: each cell on a line of its own, and what was published on another."""
    for document, columns in ((factorial(), 2), (table_2(), 2)):
        sweep_id = seed(database, document)
        context = browser.new_context(permissions=["clipboard-read", "clipboard-write"])
        page = context.new_page()
        page.goto(f"{url}/sweeps/{sweep_id}")
        expect(page.get_by_role("heading", name="Events")).to_be_visible()
        page.evaluate("getSelection().selectAllChildren(document.querySelector('.results tbody'))")
        page.keyboard.press("Control+C")
        lines = page.evaluate("navigator.clipboard.readText()").strip().splitlines()
        assert len(lines) == page.locator(".results tbody tr").count()
        assert all(line.count("\t") >= columns for line in lines), lines
        heights = page.locator(".cell").evaluate_all("cells => cells.map(it => it.offsetHeight)")
        assert all((height > 45) == ("paper" in lines[0]) for height in heights)  # below, to read
        context.close()


def test_the_metric_of_the_trials_says_its_unit_and_when_it_was_measured(
    page: Page, url: str, database: Database
) -> None:
    """Catches: a bare 86.67 under `test accuracy`, of another epoch than the best in the table."""
    page.goto(f"{url}/sweeps/{seed(database, small_sweep())}?at=best")
    heading = page.locator("#trials th").nth(5)
    expect(heading).to_have_text("last test accuracy (%)")
    page.get_by_label("Metric").select_option("test_loss")
    expect(heading).to_have_text("last test loss")
