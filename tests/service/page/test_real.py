"""The page over everything real, Ray included; and the reference of the REST API."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.service.page.window import drawn, in_a_browser

pytestmark = in_a_browser


@pytest.mark.slow
@pytest.mark.ray
def test_submit_watch_cancel_and_retry_with_ray(page: Page, tmp_path: Path) -> None:
    environment = {**os.environ, "LRD_STORAGE_DIR": str(tmp_path), "LRD_PORT": "0"}
    with (tmp_path / "serve.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "service.cli", "serve"],
            env=environment, stdout=subprocess.PIPE, stderr=log, text=True,
        )  # fmt: skip
    assert process.stdout is not None
    try:
        page.set_default_timeout(60_000)
        url = process.stdout.readline().strip()
        page.goto(f"{url}/new?preset=digits")
        spec = page.get_by_label("Sweep as YAML or JSON")
        expect(spec).to_have_value(re.compile("optimizer.name"))
        text = re.sub(r"  optimizer.name: .*\n", "", spec.input_value())
        spec.fill(text.replace("epochs: 5", "epochs: 400").replace("seeds: 3", "seeds: 2"))
        page.get_by_role("button", name="Submit").click()
        expect(page.locator("#trials .badge.running").first).to_be_visible(timeout=60_000)
        expect(page.locator(".figure")).not_to_have_count(0, timeout=120_000)  # the first epoch
        drawn(page)  # the curves; the other figures wait for the first trial to end
        page.get_by_role("button", name="Cancel", exact=True).click()
        page.get_by_role("button", name="Cancel the sweep").click()
        expect(page.locator(".head .badge")).to_have_text(re.compile("cancelled"), timeout=60_000)
        page.get_by_role("button", name="Retry", exact=True).click()
        page.get_by_role("dialog").get_by_role("button", name="Retry").click()
        expect(page.locator("#trials .badge.running").first).to_be_visible(timeout=60_000)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
        process.stdout.close()


def test_the_reference_is_drawn_without_another_host(page: Page, url: str) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    refused: list[str] = []
    page.on("console", lambda said: refused.append(said.text) if said.type == "error" else None)
    page.goto(f"{url}/docs")
    expect(page.locator(".opblock-summary-path").first).to_be_visible()
    assert page.locator(".opblock").count() > 25
    assert all(each.startswith((url, "data:")) for each in asked)
    assert refused == []


def test_the_reference_is_dark_where_the_page_is(page: Page, url: str) -> None:
    ink = """() => getComputedStyle(document.querySelector(".opblock-summary-path"))
        .color.match(/[0-9]+/g).slice(0, 3).map(Number)"""
    page.emulate_media(color_scheme="dark")
    page.goto(f"{url}/docs")
    expect(page.locator(".opblock-summary-path").first).to_be_visible()
    assert min(page.evaluate(ink)) > 150
    page.evaluate("localStorage.setItem('lrd-theme', 'light')")
    page.reload()
    expect(page.locator(".opblock-summary-path").first).to_be_visible()
    assert max(page.evaluate(ink)) < 100
