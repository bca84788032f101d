"""The page behind a proxy that serves it below a path, e.g. https://cluster.example/lrd/."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from service.client import Client
from service.settings import Settings
from service.store.session import Database
from tests.conftest import small_sweep
from tests.seeded import seed
from tests.service.page.window import drawn, in_a_browser
from tests.serving import serving

pytestmark = in_a_browser


@pytest.fixture
def below(settings: Settings, database: Database) -> Iterator[str]:
    with serving(settings, database, below="/lrd") as url:
        yield url


@pytest.fixture
def strays(page: Page, below: str) -> list[str]:
    """The URLs requested outside that path."""
    found: list[str] = []
    page.on(
        "request",
        lambda asked: None if asked.url.startswith(f"{below}/") else found.append(asked.url),
    )
    return found


def test_every_page_and_link_stays_below_it(
    page: Page, below: str, strays: list[str], database: Database
) -> None:
    sweep_id = seed(database, small_sweep(), states=("succeeded", "failed"))
    page.goto(f"{below}/")
    page.get_by_role("link", name="small").click()
    drawn(page, 2)
    page.locator("#trials tbody a").first.click()
    expect(page.locator("h1")).to_have_text("without LRD, seed 0")
    for name, address in (("Cluster", "/cluster"), ("New sweep", "/new"), ("Sweeps", "/")):
        page.get_by_role("navigation").get_by_role("link", name=name, exact=True).click()
        expect(page).to_have_url(below + address)
        expect(page.locator("nav a[aria-current=page]")).to_have_text(name)
    page.goto(f"{below}/sweeps/{sweep_id}")
    with page.expect_download() as started:
        page.get_by_role("link", name=re.compile("CSV")).first.click()
    assert started.value.url.startswith(f"{below}/api/v1/sweeps/{sweep_id}")
    assert strays == []


def test_an_address_with_a_slash_too_many_leads_back_to_the_sweeps(
    page: Page, below: str, strays: list[str]
) -> None:
    page.goto(f"{below}/cluster/")
    expect(page.locator("h1")).to_have_text("Not found")
    page.get_by_role("link", name="All sweeps").click()
    expect(page.locator("h1")).to_have_text("Sweeps")
    assert page.url == f"{below}/"
    assert strays == []


def test_the_errors_look_like_the_page_below_it(page: Page, below: str, strays: list[str]) -> None:
    """Catches: white in the dark, and backticks."""
    page.emulate_media(color_scheme="dark")
    paper = "getComputedStyle(document.documentElement).getPropertyValue('--paper')"
    page.goto(f"{below}/")
    expect(page.locator("h1")).to_be_visible()
    expected = page.evaluate(paper)
    page.goto(f"{below}/errors")
    assert page.evaluate(paper) == expected != ""
    expect(page.locator("dd code", has_text="lrd token create").first).to_be_visible()
    assert "`" not in page.locator("main").inner_text()
    assert strays == []


def test_a_sweep_is_submitted_and_deleted_below_it(
    page: Page, below: str, strays: list[str]
) -> None:
    page.goto(f"{below}/new?preset=digits")
    page.get_by_role("button", name="Submit").click()
    page.wait_for_url(f"{below}/sweeps/*")
    page.get_by_role("button", name="Cancel", exact=True).click()
    page.get_by_role("button", name="Cancel the sweep").click()
    page.get_by_role("button", name="Delete", exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    page.wait_for_url(f"{below}/")
    expect(page.locator("code").first).to_contain_text(f"--url {below}")
    assert strays == []


def test_the_reference_tries_requests_out_below_it(
    page: Page, below: str, strays: list[str]
) -> None:
    page.goto(f"{below}/docs#/presets/index_api_v1_presets_get")
    with page.expect_response(re.compile("/presets$")) as answered:
        page.get_by_role("button", name="Execute").first.click()
    assert answered.value.url == f"{below}/api/v1/presets"
    assert answered.value.ok
    assert strays == []


def test_the_client_takes_the_address_below_it(below: str) -> None:
    with Client(f"{below}/") as client:
        sweep = client.submit(small_sweep())
        assert [each["id"] for each in client.sweeps()] == [sweep.id]
