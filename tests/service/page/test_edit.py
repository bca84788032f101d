"""A sweep is renamed, tagged and described on its page, and found again by its tag."""

import httpx2
from playwright.sync_api import Page, expect

from tests.service.page.window import in_a_browser, submit

pytestmark = in_a_browser


def test_what_is_edited_is_kept_and_found_by_its_tag(page: Page, url: str) -> None:
    sweep_id, other = submit(url, name="first look", tags=["old"]), submit(url, name="another")
    page.goto(f"{url}/sweeps/{sweep_id}")
    page.get_by_role("button", name="Edit").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_label("Tags, with commas between them")).to_have_value("old")
    dialog.get_by_label("Name").fill("")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog).to_be_visible()  # a sweep has a name
    dialog.get_by_label("Name").fill("as published")
    dialog.get_by_label("Tags, with commas between them").fill(" camera ready,<b>, ")
    dialog.get_by_label("Notes").fill("Two lines:\nseed 3 <i>looks</i> odd.")
    dialog.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", name="as published", level=1)).to_be_visible()
    remarks = page.locator(".remarks")
    expect(remarks).to_have_text("Two lines:\nseed 3 <i>looks</i> odd.")
    found = httpx2.get(f"{url}/api/v1/sweeps/{sweep_id}").json()
    assert found["tags"] == ["camera ready", "<b>"]
    page.locator(".tag", has_text="camera ready").click()
    expect(page.get_by_role("link", name="as published")).to_be_visible()
    expect(page.get_by_role("link", name="another")).to_have_count(0)
    page.get_by_role("button", name="Tag camera ready").click()
    expect(page.get_by_role("link", name="another")).to_be_visible()
    assert other


def test_a_refused_edit_says_why(page: Page, url: str) -> None:
    sweep_id = submit(url)
    page.goto(f"{url}/sweeps/{sweep_id}")
    page.get_by_role("button", name="Edit").click()
    page.get_by_role("dialog").get_by_label("Tags, with commas between them").fill("x" * 51)
    page.get_by_role("dialog").get_by_role("button", name="Save").click()
    expect(page.locator("#status")).to_contain_text("at most 50")


def test_what_a_colleague_changed_meanwhile_is_not_replaced_without_asking(
    page: Page, url: str
) -> None:
    """Catches: a Save that sends all three fields as they were when the dialog was opened."""
    sweep_id = submit(url, name="mine", tags=["old"], notes="first")
    there = f"{url}/api/v1/sweeps/{sweep_id}"
    page.goto(f"{url}/sweeps/{sweep_id}")
    page.get_by_role("button", name="Edit").click()
    dialog = page.get_by_role("dialog")
    httpx2.patch(there, json={"tags": ["theirs"], "notes": "their notes"})
    dialog.get_by_label("Notes").fill("my notes")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog).to_contain_text("somebody else changed the notes meanwhile, to “their notes”")
    assert httpx2.get(there).json()["notes"] == "their notes"
    expect(dialog.get_by_label("Notes")).to_have_value("my notes")
    expect(dialog.get_by_label("Tags, with commas between them")).to_have_value("theirs")
    httpx2.patch(there, json={"name": "ours"})
    dialog.get_by_role("button", name="Save").click()
    expect(page.locator("#status")).to_have_text("Saved.")
    found = httpx2.get(there).json()
    assert (found["name"], found["tags"], found["notes"]) == ("ours", ["theirs"], "my notes")
