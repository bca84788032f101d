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


@pytest.mark.parametrize(
    ("seeds", "has", "wanted", "said"),
    [
        (None, "1 seed", "3", "4 trials added."),
        ([5, 6], "2 seeds", "2", "4 trials added."),
        (2, "2 seeds", "2", "Nothing added: the sweep already has all of these trials."),
    ],
)
def test_what_it_adds_is_said(
    page: Page, url: str, database: Database, seeds: Any, has: str, wanted: str, said: str
) -> None:
    """Catches: a button that does nothing where the spec leaves the seeds out; `Extended to 2
    seeds`, of a sweep that has four then."""
    document = small_sweep() if seeds is None else small_sweep(seeds=seeds)
    if seeds is None:
        del document["seeds"]
    sweep_id = seed(database, document)
    page.goto(f"{url}/sweeps/{sweep_id}")
    page.get_by_role("button", name="Extend").click()
    expect(page.get_by_role("dialog")).to_contain_text(f"The sweep has {has}.")
    page.get_by_label("Number of seeds, counted from 0:").fill(wanted)
    page.get_by_role("dialog").get_by_role("button", name="Extend").click()
    expect(page.locator("#status")).to_have_text(said)
    sweep = httpx2.get(f"{url}/api/v1/sweeps/{sweep_id}").json()
    expect(page.get_by_text(f"of {sweep['trials_total']} trials done")).to_be_visible()
