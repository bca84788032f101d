"""One sweep: it fills in, explains each cell, keeps its state in its address, and obeys."""

import re
import zipfile
from collections.abc import Callable

import httpx2
from playwright.sync_api import Page, Route, expect
from sqlalchemy import select, update

from service.store import sweeps
from service.store.models import Report, Trial
from service.store.session import Database
from tests.conftest import small_sweep
from tests.seeded import seed
from tests.service.page.window import BUSY, drawn, in_a_browser, submit, table_2
from tests.waiting import until

pytestmark = in_a_browser


def test_a_sweep_fills_in_and_keeps_the_focus(
    page: Page, url: str, train: Callable[[int], None]
) -> None:
    sweep_id = submit(url, name="keep probability")
    page.goto(url)
    page.get_by_role("link", name="keep probability").click()
    expect(page.get_by_text("0 of 4 trials done")).to_be_visible()
    expect(page.locator(".partial")).to_have_count(2)
    expect(page.get_by_text("No epoch reported yet").first).to_be_visible()
    page.locator(".cell").first.focus()
    train(40)
    expect(page.get_by_text("4 of 4 trials done")).to_be_visible()
    expect(page.locator(".cell").first).to_contain_text("±")
    expect(page.locator(".cell").first).to_be_focused()
    expect(page.locator(".partial")).to_have_count(0)
    expect(page.locator("tbody .badge.succeeded")).to_have_count(4)
    drawn(page, 3)
    assert page.url == f"{url}/sweeps/{sweep_id}"


def test_a_cell_tells_all_by_keyboard_and_mouse(page: Page, url: str, database: Database) -> None:
    sweep_id = seed(database, table_2(seeds=6))
    page.goto(f"{url}/sweeps/{sweep_id}")
    cell = page.locator("tr", has_text="LRD (keep_prob = 0.1)").locator(".cell").first
    expect(cell).to_contain_text("paper 93.32")
    tip = page.locator(f"#{cell.get_attribute('aria-describedby')}")
    expect(tip).to_be_hidden()
    page.locator(".cell").first.focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    expect(cell).to_be_focused()
    expect(tip).to_be_visible()
    for said in (
        "against its baseline, over 6 pairs",
        "after Holm",
        "95 % interval",
        "paper 93.32",
    ):
        expect(tip).to_contain_text(said)
    page.keyboard.press("Escape")
    expect(tip).to_be_hidden()
    page.mouse.move(0, 0)
    cell.hover()
    expect(tip).to_be_visible()
    cell.click()
    expect(page.locator("#trials tbody tr")).to_have_count(6)
    assert "arm=" in page.url


def test_the_state_of_the_page_is_in_its_address(page: Page, url: str, database: Database) -> None:
    sweep_id = seed(database, table_2(), states=("succeeded", "succeeded", "failed"))
    page.goto(f"{url}/sweeps/{sweep_id}")
    drawn(page, 4)
    page.get_by_label("Metric").select_option("test_loss")
    page.get_by_label("Value at").select_option("best")
    page.get_by_label("Over").select_option("seconds")
    page.get_by_label("Scale").select_option("log")
    page.get_by_role("group", name="Arms").get_by_label("LRD (keep_prob = 0.3), SGDM").uncheck()
    page.locator("#trials").get_by_label("State").select_option("failed")
    expect(page.locator("#trials tbody tr")).to_have_count(12)
    address = page.url
    page.goto("about:blank")
    page.goto(address)
    drawn(page, 4)
    expect(page.locator(".results caption")).to_contain_text("test loss, best epoch")
    expect(page.get_by_role("group", name="Arms").locator("input:not(:checked)")).to_have_count(1)
    expect(page.locator("#trials tbody tr")).to_have_count(12)
    figure = page.evaluate(
        """() => {
            const figure = document.querySelector("[data-key=figure-learning-curves]");
            const lines = figure.data.filter((trace) => trace.hoverinfo !== "skip");
            return {
                shown: lines.filter((trace) => trace.visible).length, all: lines.length,
                scale: figure.layout.yaxis.type, over: figure.layout.xaxis.title.text,
            };
        }"""
    )
    assert figure == {"shown": 11, "all": 12, "scale": "log", "over": "time (s)"}


def test_a_table_is_read_at_a_fixed_epoch_from_the_keyboard(
    page: Page, url: str, database: Database
) -> None:
    """Catches: `?at=epoch:1`, of which the choice shows nothing, and to which none leads."""
    page.goto(f"{url}/sweeps/{seed(database, small_sweep())}")
    page.get_by_label("Value at").select_option("a fixed epoch")
    epoch = page.get_by_label("Epoch", exact=True)
    expect(epoch).to_have_value("2")  # the last one of the base
    with page.expect_response(re.compile(r"/table\?at=epoch%3A1$")) as answered:
        epoch.fill("1")
        epoch.press("Enter")
    assert answered.value.json()["at"] == "epoch:1"
    assert page.url.endswith("?at=epoch%3A1")
    epoch.fill("0")
    epoch.press("Enter")
    assert page.url.endswith("?at=epoch%3A1")
    page.reload()
    expect(page.get_by_label("Value at")).to_have_value("epoch")
    expect(epoch).to_have_value("1")
    page.get_by_label("Value at").select_option("best")
    expect(epoch).to_have_count(0)
    assert page.url.endswith("?at=best")


def test_a_sweep_that_failed_says_why_once_and_shows_no_empty_figure(
    page: Page, url: str, database: Database
) -> None:
    """Catches: `No epoch reported yet` for ever, an axis from −1 to 6 without a point."""
    document = small_sweep(seeds=3)
    document["base"]["epochs"] = 1  # so that none is reported by the trials that fail
    page.goto(f"{url}/sweeps/{seed(database, document, states=('failed',))}")
    why = page.get_by_role("region", name="Why trials failed")
    expect(why).to_contain_text("6 trials failed:")
    expect(why.get_by_role("listitem")).to_have_count(1)
    expect(why).to_contain_text("6 × error: RuntimeError: made up")
    expect(page.locator(".downloads a").last).to_be_visible()
    expect(page.locator("#trials tbody tr")).to_have_count(6)
    page.wait_for_load_state("networkidle")
    expect(page.locator(".figure")).to_have_count(0)
    expect(page.get_by_text("No epoch reported yet")).to_have_count(0)
    why.get_by_role("link").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("seed 0")


def test_why_trials_failed_moves_nothing_when_it_comes(
    page: Page, url: str, database: Database
) -> None:
    """Catches: a table that jumps down under the pointer."""
    held: list[Route] = []
    page.remove_locator_handler(page.locator(BUSY))
    page.route("**/failures", lambda route: held.append(route))
    with page.expect_request("**/failures"):
        page.goto(f"{url}/sweeps/{seed(database, small_sweep(), states=('failed',))}")
    expect(page.get_by_text("Loading…")).to_be_visible()
    held[0].continue_()
    expect(page.get_by_role("region", name="Why trials failed")).to_be_visible()


def test_thinned_curves_say_so(page: Page, url: str, database: Database) -> None:
    document = small_sweep(seeds=1)
    document["base"]["epochs"] = 500
    page.goto(f"{url}/sweeps/{seed(database, document)}")
    expect(page.get_by_text("Showing 400 of 500 points per curve")).to_be_visible()


def test_a_loss_that_explodes_leaves_the_other_curves_their_axis(
    page: Page, url: str, database: Database
) -> None:
    """Catches: flat lines below 1e20; the range of the linear axis taken for exponents; a caption
    that is not true of the logarithmic one; no way to see all."""
    sweep_id = seed(database, small_sweep())
    with database.write() as session:
        last = [trial.id for trial, _ in sweeps.trials(session, sweep_id)][-1]
        for report in session.scalars(select(Report).where(Report.trial_id == last)):
            report.report = report.report | {"train_loss": 10.0 ** (10 * report.epoch)}

    def ends() -> list[float]:
        found: list[float] = page.evaluate(
            """() => {
                const [figure] = document.getElementsByClassName("figure");
                const { range, type } = figure._fullLayout.yaxis;
                return range.map((end) => (type === "log" ? 10 ** end : end));
            }"""
        )
        return found

    page.goto(f"{url}/sweeps/{sweep_id}")
    drawn(page, 3)
    expect(page.get_by_text("1 arm goes off scale (train loss)")).to_be_visible()
    linear = ends()
    page.get_by_label("Scale").select_option("log")
    until(lambda: ends() != linear, "the axis is still linear")
    for low, high in (linear, ends()):
        assert 1 < low < 1.9 < 2.0 < high < 3
    page.locator(".figure .nsewdrag").first.dblclick()
    until(lambda: ends()[1] > 1e19, "a double click does not show all")


def test_retry_counts_what_goes_on_and_leaves_what_diverged(
    page: Page, url: str, database: Database
) -> None:
    """Catches: a promise to resume diverged trials, which are never retried."""
    sweep_id = seed(database, small_sweep(), states=("failed", "succeeded"))
    with database.read() as session:
        found = [trial for trial, _ in sweeps.trials(session, sweep_id)]
    failed = [trial.id for trial in found if trial.state == "failed"]

    def because(reason: str, *trials: int) -> None:
        with database.write() as session:
            session.execute(update(Trial).where(Trial.id.in_(trials)).values(reason=reason))

    because("error", *failed)
    because("diverged", failed[0])
    page.goto(f"{url}/sweeps/{sweep_id}")
    expect(page.get_by_label("Why trials failed")).to_be_visible()
    page.get_by_role("button", name="Retry", exact=True).click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text(f"{len(failed) - 1} failed trial")
    dialog.get_by_role("button", name="Close").click()
    because("diverged", *failed)
    page.reload()
    expect(page.get_by_role("button", name="Retry", exact=True)).to_have_attribute(
        "title",
        "This sweep has nothing to retry: its failed trials diverged, and that is their result.",
    )


def test_the_paths_of_a_descent_say_which_is_which(
    page: Page, url: str, train: Callable[[int], None]
) -> None:
    """Catches: a figure with two colours that names neither them nor the surface; `Not found` until
    the first trial has succeeded."""
    document = small_sweep(
        base={
            "dataset": "surface",
            "model": "point",
            "data": {"surface": "saddle"},
            "optimizer": {"name": "adam"},
            "epochs": 1,
        },
        seeds=1,
    )
    sweep_id = str(httpx2.post(f"{url}/api/v1/sweeps", json=document).json()["id"])
    page.goto(f"{url}/sweeps/{sweep_id}")
    expect(page.get_by_text("0 of 2 trials done")).to_be_visible()
    expect(page.locator("[data-key=descent]")).to_contain_text("No trial has succeeded yet.")
    train(20)
    page.reload()
    paths = page.locator("[data-key=figure-descent]")
    expect(paths.locator(".legendtext")).to_have_text(
        ["without LRD", "LRD (keep_prob = 0.5)", "start", "optimum"]
    )
    expect(page.get_by_text("each arm on the surface saddle; dashed: without LRD")).to_be_visible()


def test_the_buttons_do_what_is_legal_and_say_why_not(
    page: Page, url: str, train: Callable[[int], None]
) -> None:
    sweep_id = submit(url)
    page.goto(f"{url}/sweeps/{sweep_id}")
    button = lambda name: page.get_by_role("button", name=name, exact=True)  # noqa: E731
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_text("Paused: no trial starts.")).to_be_visible()
    button("Resume").click()
    expect(button("Pause")).to_be_visible()
    why = "This sweep has no failed or cancelled trial to retry."
    assert button("Retry").get_attribute("title") == why
    button("Retry").click(force=True)
    expect(page.locator("#status")).to_have_text(why)

    button("Cancel").click()
    page.get_by_role("button", name="Keep it").click()
    assert httpx2.get(f"{url}/api/v1/sweeps/{sweep_id}").json()["state"] == "queued"
    button("Cancel").click()
    page.get_by_role("button", name="Cancel the sweep").click()
    expect(page.locator(".head .badge")).to_have_text(re.compile("cancelled"))

    button("Retry").click()
    page.get_by_role("dialog").get_by_role("button", name="Retry").click()
    expect(page.locator("#status")).to_have_text(re.compile("^Queued again"))
    expect(page.locator(".head .badge")).to_have_text(re.compile("queued"))
    button("Extend").click()
    page.get_by_label("Number of seeds, counted from 0:").fill("3")
    page.get_by_role("button", name="Extend").last.click()
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.get_by_text("0 of 6 trials done")).to_be_visible()
    train(60)
    expect(page.get_by_text("6 of 6 trials done")).to_be_visible()
    assert button("Cancel").get_attribute("aria-disabled") == "true"
    assert "nothing to cancel" in (button("Cancel").get_attribute("title") or "")


def test_a_sweep_that_has_ended_can_be_deleted(page: Page, url: str, database: Database) -> None:
    """Catches: a sweep deleted by one click; a page that keeps asking for it."""
    kept, sweep_id = seed(database, small_sweep(name="kept")), submit(url, name="a trial run")
    page.goto(f"{url}/sweeps/{sweep_id}")
    button = page.get_by_role("button", name="Delete", exact=True)
    expect(button).to_have_attribute("aria-disabled", "true")
    button.click(force=True)
    expect(page.locator("#status")).to_contain_text("4 queued trials and 0 running ones; cancel it")
    httpx2.post(f"{url}/api/v1/sweeps/{sweep_id}/cancel")
    page.reload()
    button.click()
    expect(page.get_by_role("dialog")).to_contain_text(
        "a trial run: 4 trials with all results, checkpoints and logs. This cannot be undone."
    )
    page.get_by_role("button", name="Keep it").click()
    assert httpx2.get(f"{url}/api/v1/sweeps/{sweep_id}").status_code == 200
    button.click()
    page.get_by_role("button", name="Delete the sweep").click()
    page.wait_for_url(f"{url}/")
    expect(page.locator(f"a[href='/sweeps/{kept}']")).to_be_visible()
    expect(page.get_by_text("a trial run")).to_have_count(0)
    assert httpx2.get(f"{url}/api/v1/sweeps/{sweep_id}").status_code == 404


def test_everything_can_be_downloaded(page: Page, url: str, database: Database) -> None:
    sweep_id = seed(database, small_sweep())
    page.goto(f"{url}/sweeps/{sweep_id}")
    found = {}
    expect(page.locator(".downloads a")).to_have_count(13)
    drawn(page, 3)  # until all are, they push the links down
    *others, everything = page.locator(".downloads a").all()
    # Not clicked: of clicks right after each other Chromium loses one in thousands.
    for link in others:
        answer = page.request.get(url + str(link.get_attribute("href")))
        assert answer.ok
        found[str(link.get_attribute("download")).removeprefix(sweep_id)] = answer.body()
    with page.expect_download() as download:
        everything.click()
    assert download.value.suggested_filename == f"{sweep_id}.zip"
    assert rb"\toprule" in found["-table.tex"]
    assert b"% lrd comparison " in found["-comparisons.tex"]
    assert found["-comparisons.csv"].startswith(b"arm_id,arm,baseline_id,")
    assert rb"\paragraph{Training.}" in found["-methods.tex"]
    assert found["-methods.md"].startswith(b"**Training.**")
    assert found["-trials.csv"].count(b"\n") == 1 + 4
    assert found["-reports.csv"].count(b"\n") == 1 + 4 * 2
    assert found["-reports.parquet"].startswith(b"PAR1")
    assert b"<svg" in found["-learning-curves.svg"]
    assert b"<svg" in found["-forest.svg"]
    assert "spec.yaml" in " ".join(zipfile.ZipFile(download.value.path()).namelist())
