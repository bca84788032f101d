"""One trial, and the cluster."""

import re
from collections.abc import Callable
from pathlib import Path

import torch
from playwright.sync_api import Page, Route, expect

from service.store.session import Database
from tests.conftest import small_sweep
from tests.seeded import seed
from tests.service.page.window import drawn, in_a_browser, submit

pytestmark = in_a_browser


def test_a_trial_shows_its_curves_log_attempts_and_events(
    page: Page, url: str, train: Callable[[int], None]
) -> None:
    sweep_id = submit(url, execution={"keep_weights": True})
    train(40)
    page.goto(f"{url}/sweeps/{sweep_id}")
    page.locator("#trials tbody a").first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("seed 0")
    drawn(page)
    expect(page.locator("#log")).to_contain_text("done; the weights' SHA-256 is")
    expect(page.get_by_role("region", name="Attempts")).to_contain_text("succeeded")
    page.get_by_text("Environment of attempt 1").click()
    expect(page.get_by_text("torch", exact=True)).to_be_visible()
    expect(page.get_by_role("region", name="Events, newest first")).to_contain_text(
        "running → succ"
    )
    expect(page.get_by_text('dataset: "digits"')).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download the log").click()
    assert "attempt 1 starts" in Path(download.value.path()).read_text()
    with page.expect_download() as download:
        page.get_by_role("link", name="Weights (for torch.load)").click()
    assert torch.load(download.value.path(), weights_only=True)


def test_a_share_is_in_percent_as_on_the_page_of_its_sweep(
    page: Page, url: str, database: Database
) -> None:
    seed(database, small_sweep())
    page.goto(f"{url}/trials/1")
    drawn(page)
    found = page.evaluate(
        """() => {
            const { data, layout } = document.querySelector("[data-key=figure-trial]");
            const trace = data.find(({ name }) => name === "test accuracy");
            const axis = layout[trace.yaxis.replace("y", "yaxis")].title.text;
            return { axis, last: trace.y.at(-1) };
        }"""
    )
    assert found["axis"] == "share (%)"
    assert found["last"] > 10
    expect(page.get_by_text(f"test accuracy {found['last']:.2f} %")).to_be_visible()


def test_all_epochs_are_drawn_however_many_pages_they_fill(
    page: Page, url: str, database: Database
) -> None:
    """Catches: 10,000 epochs of 100,000, as if they were all."""
    document = small_sweep(seeds=1)
    document["base"]["epochs"] = 25
    seed(database, document)

    def fewer(route: Route) -> None:
        route.continue_(url=route.request.url.replace("page_size=10000", "page_size=10"))

    page.route("**/reports?*", fewer)
    page.goto(f"{url}/trials/1")
    drawn(page)
    shown = "document.querySelector('[data-key=figure-trial]').data[0].x"
    assert page.evaluate(shown) == list(range(1, 26))
    expect(page.get_by_text("Epoch 25: ")).to_be_visible()


def test_a_failed_trial_says_why_and_is_retried(page: Page, url: str, database: Database) -> None:
    sweep_id = seed(database, small_sweep(), states=("failed", "succeeded"))
    page.goto(f"{url}/sweeps/{sweep_id}")
    page.get_by_role("link", name="2 failed").click()
    expect(page.locator("#trials tbody tr")).to_have_count(2)
    page.locator("#trials tbody a").first.click()
    expect(page.get_by_text("RuntimeError: made up")).to_be_visible()
    page.get_by_role("button", name="Retry").click()
    expect(page.locator(".head .badge")).to_have_text(re.compile("queued"))


def test_the_cluster_shows_what_runs_and_why_the_rest_waits(
    page: Page, url: str, train: Callable[[int], None]
) -> None:
    submit(url, name="two at once")
    submit(url, name="too large", resources={"num_cpus": 64})
    page.goto(f"{url}/cluster")
    expect(page.get_by_text("No dispatcher is active, so")).to_be_visible()
    train(2)
    expect(page.get_by_role("meter", name="CPUs")).to_have_attribute("aria-valuenow", "2")
    expect(page.get_by_role("region", name="Running trials").locator("tbody tr")).to_have_count(2)
    expect(page.get_by_role("row", name="too large")).to_contain_text("largest node has 2")
