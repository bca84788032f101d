"""Helpers for the page's tests: submit sweeps, wait for figures."""

import shutil
from typing import Any

import httpx2
import pytest
from playwright.sync_api import Page, expect

from lrd_core import presets
from tests.conftest import small_sweep

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
BUSY = "main[aria-busy=true]"
"""Matches while the page does not show what its address asks for."""
in_a_browser = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
]
"""The marks of every module here."""


def submit(url: str, **changes: Any) -> str:
    answer = httpx2.post(f"{url}/api/v1/sweeps", json=small_sweep(**changes))
    return str(answer.json()["id"])


def long_sweep(**changes: Any) -> dict[str, Any]:
    """A sweep whose curves have a point wherever the mouse may be."""
    document = small_sweep(**changes)
    document["base"]["epochs"] = 30
    return document


def table_2(**changes: Any) -> dict[str, Any]:
    document = presets.load("table-2")
    document["base"]["epochs"] = 4
    return document | {"seeds": 3} | changes


def drawn(page: Page, count: int = 1) -> None:
    """Wait until the figures are there. Each is drawn once it is near the window."""
    figures = page.locator(".figure")
    expect(figures).to_have_count(count)
    for each in figures.all():
        each.scroll_into_view_if_needed()
        expect(each.locator(".main-svg").first).to_be_attached()
    page.evaluate("scrollTo(0, 0)")
