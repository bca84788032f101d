"""The figures of a sweep: which there are, their panels and rows, and a narrow window."""

import itertools
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect
from sqlalchemy import update

from service.store import sweeps
from service.store.models import Trial
from service.store.session import Database
from tests.conftest import factorial, small_sweep
from tests.seeded import seed
from tests.service.page.window import drawn, in_a_browser
from tests.waiting import until

pytestmark = in_a_browser


def test_what_each_factor_does_is_drawn_where_there_are_several(
    page: Page, url: str, database: Database
) -> None:
    """Catches: an empty panel below sweeps of one factor; a `0` among their downloads."""
    page.goto(f"{url}/sweeps/{seed(database, factorial())}")
    drawn(page, 4)
    empty = "figures => figures.map(it => it.clientHeight - it.querySelector('svg').clientHeight)"
    assert page.locator(".figure").evaluate_all(empty) == [0] * 4  # below a low forest, say
    rows = page.locator("[data-key=figure-effects] .ytick text")
    expect(rows).to_have_text(["LRD (keep_prob = 0.5)", "SD", "LRD (keep_prob = 0.5) × SD"])
    expect(page.get_by_role("heading", name="What each factor does")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("link", name="Effects (LaTeX)").click()
    assert rb"\times" in Path(download.value.path()).read_bytes()
    page.goto(f"{url}/sweeps/{seed(database, small_sweep())}")
    drawn(page, 3)
    expect(page.get_by_role("heading", name="Against the baseline")).to_be_visible()
    expect(page.get_by_role("heading", name="What each factor does")).to_have_count(0)
    assert "0" not in page.locator(".downloads").inner_text()


def test_nothing_is_drawn_against_a_keep_prob_that_all_arms_share(
    page: Page, url: str, database: Database
) -> None:
    """Catches: `No trial has succeeded yet` below a sweep whose trials have."""
    document = small_sweep(seeds=2)
    document["grid"] = {"optimizer.lr": [0.001, 0.01]}
    document["baseline"] = {"optimizer.lr": 0.001}
    page.goto(f"{url}/sweeps/{seed(database, document, states=('succeeded', 'queued'))}")
    expect(page.get_by_role("heading", name="Events")).to_be_visible()
    expect(page.get_by_role("heading", name="Learning curves")).to_be_visible()
    expect(page.get_by_role("heading", name="Against the keep probability")).to_have_count(0)


def test_a_row_of_the_forest_without_a_pair_says_why(
    page: Page, url: str, database: Database
) -> None:
    """Catches: a blank row on the page, where the paper's figure has its text."""
    document = small_sweep(seeds=3)
    document["grid"] = {"optimizer.keep_prob": [1.0, 0.7, 0.5]}
    sweep_id = seed(database, document)
    with database.write() as session:
        *_, gone = sweeps.arm_rows(session, sweep_id)
        diverged = {"state": "failed", "reason": "diverged"}
        session.execute(update(Trial).where(Trial.arm_id == gone.id).values(**diverged))
    page.goto(f"{url}/sweeps/{sweep_id}")
    drawn(page, 3)
    forest = page.locator("[data-key=figure-forest]")
    expect(forest.locator(".annotation-text")).to_have_text(["n = 0, diverged: arm 3"])


def test_two_data_sets_have_an_axis_each(page: Page, url: str, database: Database) -> None:
    """Catches: a forest of two blocks as high as its first one."""
    document = small_sweep(seeds=3)
    document["grid"] = {
        "dataset": ["digits", "mnist"],
        "optimizer.name": ["sgdm", "adam"],
        "optimizer.keep_prob": [1.0, 0.7, 0.5],
    }
    page.goto(f"{url}/sweeps/{seed(database, document)}")
    drawn(page, 4)
    forest = page.locator("[data-key=figure-forest]")
    expect(forest.locator(".annotation-text")).to_have_text(["digits", "MNIST"])
    rows = forest.locator(".ytick text, .y2tick text")
    expect(rows).to_have_count(8)
    boxes = [box for each in rows.all() if (box := each.bounding_box())]
    tops = sorted(round(box["y"]) for box in boxes)
    assert min(below - above for above, below in itertools.pairwise(tops)) > 15
    curves = page.locator("[data-key=figure-learning-curves]")
    expect(curves.locator(".annotation-text")).to_have_text(["digits", "MNIST"])


def test_many_lines_stand_in_panels_and_on_top_of_each_other_in_a_narrow_window(
    page: Page, url: str, database: Database
) -> None:
    """Catches: a figure that keeps its height when the window becomes narrow, over its caption."""
    document = small_sweep(seeds=2)
    document["grid"] = {
        "optimizer.name": ["sgdm", "rmsprop", "adam"],
        "optimizer.keep_prob": [1.0, 0.5],
        "regularizers": [[], ["SD"], ["DG"], ["SD", "DG"]],
    }
    page.goto(f"{url}/sweeps/{seed(database, document)}")
    drawn(page, 4)
    figure = page.locator("[data-key=figure-keep-prob]")
    titles = figure.locator(".annotation-text")

    def heights() -> tuple[float, float]:
        boxes = (figure.bounding_box(), figure.locator(".main-svg").first.bounding_box())
        assert all(boxes)
        return tuple(round(box["height"]) for box in boxes if box)  # type: ignore[return-value]

    def tops() -> list[float]:  # all at one moment: figures above may still become higher
        return titles.evaluate_all("all => all.map((each) => each.getBoundingClientRect().top)")

    expect(titles).to_have_text(["SGDM", "RMSprop", "Adam"])
    assert len(set(map(round, tops()))) == 1
    wide = heights()
    assert wide[0] == wide[1]
    page.set_viewport_size({"width": 420, "height": 900})
    expect(figure.locator(".xtitle")).to_have_count(0)
    expect(figure.locator(".x3title")).to_have_count(1)
    narrow = heights()
    assert narrow[0] == narrow[1] > 2 * wide[0]

    def in_order() -> bool:
        found = tops()  # all of them 0 while plotly.js draws anew
        return found == sorted(set(found))

    until(in_order, "the panels do not stand on top of each other")


def test_panels_that_share_a_scale_show_their_lines(
    page: Page, url: str, database: Database
) -> None:
    """Catches: axes from −1 to 4 under accuracies of 90 %, because plotly.js takes the range of the
    panels that share one axis for that of all panels that share another."""
    document = small_sweep(seeds=2)
    document["grid"] = {
        "optimizer.name": ["sgdm", "rmsprop", "adam"],
        "optimizer.keep_prob": [1.0, 0.5],
        "regularizers": [[], ["SD"], ["DG"], ["SD", "DG"]],
    }
    page.goto(f"{url}/sweeps/{seed(database, document)}")
    drawn(page, 4)
    unseen = """() => ["keep-prob", "learning-curves"].flatMap((name) => {
        const { data, _fullLayout: layout } = document.querySelector(`[data-key=figure-${name}]`);
        return data.filter(({ hoverinfo }) => hoverinfo !== "skip").filter(({ y, yaxis }) => {
            const [low, high] = layout[yaxis.replace("y", "yaxis")].range;
            return !y.every((value) => low <= value && value <= high);
        });
    }).length"""
    assert page.evaluate(unseen) == 0


UNBROKEN = "adam_lr0.001_keep0.5_wd0.0001_cosine_warmup5_batch512_randaugment<3&4>_ema"
LONG = "a name that nobody would choose except people who describe the whole arm in its label"


@pytest.mark.parametrize("width", [1280, 700, 380])
def test_a_long_name_leaves_the_figures_their_room(
    page: Page, url: str, database: Database, width: int
) -> None:
    """Catches: a name along the whole width and points in the rest; a title or a legend that ends
    at the edge of the window in the middle of a word."""
    document = small_sweep(seeds=3)
    document["arms"] = [
        {"label": "short", "set": {}},
        {"label": LONG, "set": {"epochs": 3}},
        {"label": UNBROKEN, "set": {"batch_size": 64}},
    ]
    page.set_viewport_size({"width": width, "height": 900})
    page.goto(f"{url}/sweeps/{seed(database, document)}")
    drawn(page, 4)
    for name in ("keep-prob", "forest", "effects"):
        figure = page.locator(f"[data-key=figure-{name}]")
        whole, inside = figure.bounding_box(), figure.locator(".nsewdrag").first.bounding_box()
        assert whole is not None
        assert inside is not None
        assert inside["width"] > 0.35 * whole["width"], name
        for text in figure.locator(".xtitle, .legendtext, .ytick text").all():
            box = text.bounding_box()
            assert box is not None
            assert box["x"] > whole["x"] - 1, (name, text.text_content())
            assert box["x"] + box["width"] < whole["x"] + whole["width"] + 1, text.text_content()
    rows = page.locator("[data-key=figure-forest] .ytick text").evaluate_all(
        "all => all.map((it) => it.getBoundingClientRect()).map((box) => [box.top, box.bottom])"
    )
    for above, below in itertools.pairwise(sorted(rows)):
        assert above[1] <= below[0] + 1
    texts = page.locator("[data-key=figure-forest] .ytick text").all_text_contents()
    assert any(UNBROKEN in text.replace(" ", "") for text in texts)


def test_many_arms_are_counted_and_hidden_together(
    page: Page, url: str, database: Database
) -> None:
    """Catches: `None` below forty arms, in a part of the legend that nobody knows can scroll."""
    document = small_sweep(seeds=1)
    document["grid"]["optimizer.lr"] = [0.001 * step for step in range(1, 9)]
    page.goto(f"{url}/sweeps/{seed(database, document)}")
    legend = page.get_by_role("group", name="Arms (16)")
    expect(legend.get_by_role("checkbox")).to_have_count(16)
    legend.get_by_role("button", name="None").click()
    expect(legend.locator("input:checked")).to_have_count(0)
    legend.get_by_role("button", name="All").click()
    expect(legend.locator("input:checked")).to_have_count(16)


def test_a_figure_is_drawn_when_it_is_near_or_printed(
    page: Page, url: str, database: Database
) -> None:
    """Catches: figures that keep the page from scrolling while nobody sees them; a page that jumps
    when one is drawn; a blank space on paper."""
    document = small_sweep(seeds=2)
    document["grid"]["optimizer.lr"] = [round(0.001 * step, 3) for step in range(1, 31)]
    address = f"{url}/sweeps/{seed(database, document)}"
    page.goto(address)
    expect(page.get_by_role("heading", name="Events")).to_be_visible()
    last = page.locator("[data-key=figure-effects]")
    expect(last).to_be_attached()
    height = last.bounding_box()
    assert last.locator(".main-svg").count() == 0
    last.scroll_into_view_if_needed()
    expect(last.locator(".main-svg").first).to_be_visible()
    after = last.bounding_box()
    assert height is not None
    assert after is not None
    assert height["height"] == after["height"]
    page.goto(address)
    expect(page.get_by_role("heading", name="Events")).to_be_visible()
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    expect(page.locator(".figure:has(.main-svg)")).to_have_count(4)


def test_a_figure_whose_library_is_lost_is_drawn_later(
    page: Page, url: str, database: Database
) -> None:
    """Catches: an error that nobody hears, from a figure that comes near in the meantime. (`page`
    fails at any error.)"""
    sweep_id = seed(database, small_sweep())
    held: list[Route] = []
    page.route("**/plotly-*", lambda route: route.continue_() if held else held.append(route))
    with page.expect_request("**/plotly-*"):
        page.goto(f"{url}/sweeps/{sweep_id}")
    page.set_viewport_size({"width": 900, "height": 900})
    held[0].abort()
    drawn(page, 3)
