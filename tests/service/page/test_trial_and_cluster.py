"""One trial, and the cluster."""

import re
from collections.abc import Callable
from pathlib import Path

import torch
from playwright.sync_api import Page, expect
from sqlalchemy import select

from service.store.models import Attempt, Report
from service.store.session import Database
from tests.conftest import small_sweep
from tests.seeded import seed
from tests.service.page.window import drawn, in_a_browser, submit
from tests.waiting import until

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


def test_a_trial_leads_to_its_sweep_and_says_when_and_how_much_of_its_log(
    page: Page, url: str, database: Database
) -> None:
    """Catches: an id where a name would do; 05/11, which is a day in May or in November; the last
    400 of three lines."""
    seed(database, small_sweep(name="the one"), states=("running", "succeeded"))
    page.route("**/logs?*", lambda it: it.fulfill(body="a\nb\nc\n", content_type="text/plain"))
    page.goto(f"{url}/trials/1")
    expect(page.get_by_role("navigation", name="Breadcrumb")).to_have_text("Sweeps / the one")
    expect(page.get_by_text("Scroll to the end to follow")).to_be_visible()
    expect(page.get_by_text("The last 400 lines")).to_have_count(0)
    attempts = page.get_by_role("region", name="Attempts")
    expect(attempts.locator("time").first).to_have_text(re.compile(r"^\d+ [A-Z][a-z]+ \d{4}, "))
    page.goto(f"{url}/trials/2")
    expect(page.get_by_text("Download the log")).to_be_visible()
    expect(page.get_by_text("Scroll to the end to follow")).to_have_count(0)


def test_an_attempt_says_what_it_recomputed(page: Page, url: str, database: Database) -> None:
    """Catches: a curve of two computations that nobody sees."""
    seed(database, small_sweep())
    with database.write() as session:
        for trial_id, other in ((1, None), (2, 5)):
            attempt = session.get_one(Attempt, (trial_id, 1))
            attempt.recomputed_from, attempt.recomputed_to = 3, 5
            attempt.different_epoch = other
    attempts = page.get_by_role("region", name="Attempts")
    page.goto(f"{url}/trials/1")
    expect(attempts).to_contain_text("recomputed epochs 3 to 5, with the same numbers")
    page.goto(f"{url}/trials/2")
    expect(attempts).to_contain_text("with other numbers from epoch 5 on; the first ones stay")
    page.goto(f"{url}/trials/3")
    expect(attempts).to_contain_text("succeeded")
    expect(attempts).not_to_contain_text("recomputed")


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


def test_a_trial_has_a_panel_for_what_has_a_scale_of_its_own(
    page: Page, url: str, database: Database
) -> None:
    """Catches: a metric, a scale or a thinned curve that the page does not show."""
    document = small_sweep(seeds=1)
    document["base"]["epochs"] = 1200
    seed(database, document)
    page.goto(f"{url}/trials/1")
    drawn(page)
    figure = """() => {
        const { data, layout } = document.querySelector("[data-key=figure-trial]");
        const drawn = data.map(({ name, x }) => `${name} ${x.length} ${x[0]} ${x.at(-1)}`);
        const { type, title } = layout.yaxis;
        return { drawn, scale: type, title: title.text, panels: "yaxis2" in layout ? 2 : 1 };
    }"""
    found = page.evaluate(figure)
    assert found["panels"] == 2
    assert "train loss 1000 1 1200" in found["drawn"]
    expect(page.get_by_text("1,000 of 1,200 points per curve; its sweep's CSV has")).to_be_visible()
    expect(page.get_by_text("Epoch 1200: ")).to_be_visible()
    page.get_by_label("Metric").select_option("train_loss")
    page.get_by_label("Scale").select_option("log")
    until(lambda: page.evaluate(figure)["scale"] == "log", "the axis is still linear")
    found = page.evaluate(figure)
    assert (found["panels"], found["title"]) == (1, "train loss")
    assert found["drawn"] == ["train loss 1000 1 1200"]


def test_the_curves_of_a_trial_grow_while_it_runs(page: Page, url: str, database: Database) -> None:
    seed(database, small_sweep(), states=("running",))
    page.goto(f"{url}/trials/1")
    drawn(page)
    last = "document.querySelector('[data-key=figure-trial]').data[0].x.at(-1)"
    before = page.evaluate(last)
    with database.write() as session:
        report = session.scalars(select(Report).where(Report.trial_id == 1)).all()[-1]
        newer = report.report | {"epoch": before + 1}
        session.add(
            Report(trial_id=1, epoch=before + 1, attempt=1, report=newer, sha256="", recorded_at=1)
        )
    until(lambda: page.evaluate(last) == before + 1, "the new epoch is not drawn")


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
