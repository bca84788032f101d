"""How many seeds a difference takes, on the page of its sweep."""

import httpx2
from playwright.sync_api import Page, expect

from service.store.session import Database
from tests.conftest import small_sweep
from tests.seeded import seed
from tests.service.page.window import in_a_browser

pytestmark = in_a_browser

INVITATION = "Enter a difference that would matter to see how many seeds would find it."


def test_how_many_seeds_a_difference_takes_is_asked_for(
    page: Page, url: str, database: Database
) -> None:
    """Catches: percentage points that arrive as shares, and numbers for another metric."""
    sweep_id = seed(database, small_sweep(seeds=3))
    page.goto(f"{url}/sweeps/{sweep_id}")
    expect(page.get_by_text(INVITATION)).to_be_visible()
    page.get_by_label("A difference in test accuracy of").fill("0.3")
    page.keyboard.press("Tab")
    rows = page.get_by_role("region", name="Seeds for the difference").locator("tbody tr")
    expect(rows).to_have_count(1)
    answer = httpx2.get(f"{url}/api/v1/sweeps/{sweep_id}/power?difference=0.003").json()
    (each,) = answer["items"]
    spread = f"{100 * each['std']:.3g}"
    expect(rows.nth(0).locator("td")).to_have_text([
        "LRD (keep_prob = 0.5)", "3", f"{float(spread):g}", "–",
        f"{each['seeds']:,}", f"{each['seeds_high']:,}",
    ])  # fmt: skip
    expect(page.get_by_text("in percentage points.")).to_be_visible()
    assert page.url.endswith("?find=0.3")
    page.reload()  # whoever gets the link sees the same
    expect(rows).to_have_count(1)
    page.get_by_label("Metric").select_option("test_loss")
    page.get_by_label("A difference in test loss of").fill("1e-9")  # another metric, another size
    page.keyboard.press("Tab")
    expect(rows.nth(0)).to_contain_text("none can")
    page.goto(f"{url}/sweeps/{sweep_id}?find=-1")
    expect(page.get_by_text(INVITATION)).to_be_visible()


def test_a_sweep_without_a_baseline_says_that_nothing_is_compared(
    page: Page, url: str, database: Database
) -> None:
    sweep_id = seed(database, small_sweep(grid={}, baseline={}))
    page.goto(f"{url}/sweeps/{sweep_id}?find=1")
    expect(
        page.get_by_text("The sweep has one arm, so there is nothing to compare it with.")
    ).to_be_visible()
