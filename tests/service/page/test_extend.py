"""More seeds for a sweep, asked for on its page."""

from typing import Any

import httpx2
import pytest
from playwright.sync_api import Page, expect

from service.store.session import Database
from tests.conftest import small_sweep
from tests.seeded import seed
from tests.service.page.window import in_a_browser

pytestmark = in_a_browser


COUNT, LIST = "Number of seeds, counted from 0:", "Seeds, with commas between them:"
NOTHING = "Nothing added: the sweep already has all of these trials."


@pytest.mark.parametrize(
    ("seeds", "field", "offered", "wanted", "added", "then"),
    [
        (None, COUNT, "3", "3", 4, [0, 1, 2]),
        (2, COUNT, "4", "2", 0, [0, 1]),
        ([10, 11], LIST, "10, 11", "10, 11, 12", 2, [10, 11, 12]),
        ([0, 2], LIST, "0, 2", " 1 ,2", 2, [0, 2, 1]),
        ([7], LIST, "7", "7", 0, [7]),
    ],
)
def test_what_it_adds_is_said_before_and_after(
    page: Page,
    url: str,
    database: Database,
    seeds: Any,
    field: str,
    offered: str,
    wanted: str,
    added: int,
    then: Any,
) -> None:
    """Catches: a button that does nothing where the spec leaves the seeds out; `Extended to 2
    seeds`, of a sweep that has four then; five seeds counted from 0 that are offered to one
    that has 10, 11 and 12."""
    document = small_sweep() if seeds is None else small_sweep(seeds=seeds)
    if seeds is None:
        del document["seeds"]
    there = f"{url}/api/v1/sweeps/{seed(database, document)}"
    had = httpx2.get(there).json()["trials_total"]
    page.goto(there.replace("/api/v1", ""))
    page.get_by_role("button", name="Extend").click()
    dialog = page.get_by_role("dialog")
    expect(page.get_by_label(field)).to_have_value(offered)
    page.get_by_label(field).fill(wanted)
    dialog.get_by_role("button", name="Extend").click()
    if added:
        expect(dialog).to_contain_text(f"{added} trials would be added. Time: about ")
        assert httpx2.get(there).json()["trials_total"] == had
        dialog.get_by_role("button", name="Add").click()
    expect(page.locator("#status")).to_have_text(f"{added} trials added." if added else NOTHING)
    sweep = httpx2.get(there).json()
    assert (sweep["trials_total"], sweep["spec"].get("seeds")) == (had + added, then)
    expect(page.get_by_text(f"of {sweep['trials_total']} trials done")).to_be_visible()


def test_nothing_is_added_without_a_yes_or_for_what_is_no_list(
    page: Page, url: str, database: Database
) -> None:
    """Catches, too: Enter that closes a dialog and then presses the button that had opened it."""
    sweep_id = seed(database, small_sweep(seeds=[10, 11]))
    page.goto(f"{url}/sweeps/{sweep_id}")
    page.get_by_role("button", name="Extend").click()
    dialog = page.get_by_role("dialog")
    for wrong in ("10-12", "ten", ",", ""):
        page.get_by_label(LIST).fill(wrong)
        dialog.get_by_role("button", name="Extend").click()
        expect(page.get_by_label(LIST)).to_be_visible()
    page.get_by_label(LIST).fill("12")
    page.keyboard.press("Enter")
    expect(dialog).to_contain_text("2 trials would be added.")
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    assert httpx2.get(f"{url}/api/v1/sweeps/{sweep_id}").json()["trials_total"] == 4
