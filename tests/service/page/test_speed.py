"""Time to a target value for each arm, on the page of its sweep."""

import httpx2
from playwright.sync_api import Page, expect

from service.store.session import Database
from tests.conftest import small_sweep
from tests.seeded import seed
from tests.service.page.window import in_a_browser

pytestmark = in_a_browser


def test_how_soon_each_arm_reaches_a_value_is_asked_for(
    page: Page, url: str, database: Database
) -> None:
    """Catches: the paper's claim about speed, available only in a shell."""
    document = small_sweep(seeds=3)
    document["base"]["epochs"] = 10
    sweep_id = seed(database, document)
    page.goto(f"{url}/sweeps/{sweep_id}")
    expect(page.get_by_text("Enter a value to see when each arm reaches it.")).to_be_visible()
    page.get_by_label("test accuracy of at least").fill("70")
    page.keyboard.press("Tab")
    rows = page.get_by_role("region", name="Time to the target value").locator("tbody tr")
    expect(rows).to_have_count(2)
    answer = httpx2.get(f"{url}/api/v1/sweeps/{sweep_id}/speed?threshold=0.7").json()
    (_, lrd), (against,) = answer["items"], answer["comparisons"]
    expect(rows.nth(0)).to_contain_text("without LRD3 of 3")
    expect(rows.nth(1).locator("td")).to_have_text([
        lrd["label"], f"{lrd['reached']} of 3", f"{lrd['epochs']:g}", f"{lrd['seconds']:g} s",
        f"{against['epoch_ratio']:.2f} ×", f"{against['second_ratio']:.2f} ×",
        f"{against['faster']}, {against['ties']}, {against['slower']}",
    ])  # fmt: skip
    expect(page.get_by_text("An arm that fluctuates more reaches a value sooner")).to_be_visible()
    assert page.url.endswith("?reach=70")
    page.reload()  # whoever gets the link sees the same
    expect(rows).to_have_count(2)
    page.get_by_label("Metric").select_option("test_loss")
    page.get_by_label("test loss of at most").fill("1e9")  # another metric, another value
    page.keyboard.press("Tab")
    expect(rows.nth(0)).to_contain_text("3 of 31")
    page.goto(f"{url}/sweeps/{sweep_id}?reach=700")  # no share
    expect(page.get_by_text("Enter a value to see when each arm reaches it.")).to_be_visible()
