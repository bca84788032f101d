"""The curves of one trial: panels by scale, looks and units as in the other figures."""

import pytest

from service.drawing.looks import PALETTE
from service.drawing.trial_curves import trial_curves


def report(epoch: int, **metrics: float | str) -> dict[str, float | str]:
    return {"epoch": epoch, **metrics, "lr": 0.1, "seconds": 1.0}


def test_what_has_no_common_scale_has_its_own_panel_and_its_unit() -> None:
    """Catches: an accuracy of 0.9 on the axis of a loss of 300; 0.9 on an axis in percent."""
    plot = trial_curves(
        [report(1, train_loss=300.0, test_accuracy=0.9, mean_iou=0.5, steps=7.0)], points=10
    )
    axis = {
        line["name"]: plot["layout"][line["yaxis"].replace("y", "yaxis")]["title"]["text"]
        for line in plot["data"]
    }
    assert axis == {
        "train loss": "train loss", "test accuracy": "share (%)", "mean iou": "share (%)",
        "steps": "steps",
    }  # fmt: skip
    assert [line["y"] for line in plot["data"]] == [[300.0], [90.0], [50.0], [7.0]]
    looks = {line["name"]: line["line"]["color"] for line in plot["data"]}
    assert looks == dict(zip(axis, PALETTE, strict=False))
    units = {"train_loss": "", "test_accuracy": "%", "mean_iou": "%", "steps": ""}
    assert plot["layout"]["meta"]["metrics"] == units
    assert plot["layout"]["meta"]["columns"] == 3


def test_what_is_not_finite_is_a_gap_and_what_is_seldom_reported_is_none() -> None:
    reports = [report(1, loss=1.0, map=0.1), report(2, loss="NaN"), report(3, loss=2.0, map=0.3)]
    loss, precision = trial_curves(reports, points=10)["data"]
    assert (loss["x"], loss["y"]) == ([1, 2, 3], [1.0, None, 2.0])
    assert (precision["x"], precision["y"]) == ([1, 3], pytest.approx([10.0, 30.0]))
    captions = [
        trial_curves(some, points=10)["layout"]["meta"]["caption"]
        for some in (reports, reports[:1])
    ]
    assert ["not finite" in each for each in captions] == [True, False]


def test_one_metric_is_drawn_alone_and_thinned() -> None:
    reports = [report(epoch, loss=1.0 / epoch, error=0.5) for epoch in range(1, 101)]
    plot = trial_curves(reports, "loss", points=10)
    (line,) = plot["data"]
    assert len(line["x"]) == 10
    assert (line["x"][0], line["x"][-1]) == (1, 100)
    meta = plot["layout"]["meta"]
    assert (meta["points"], meta["of"], list(meta["metrics"])) == (10, 100, ["loss", "error"])
    assert "of" not in trial_curves(reports, "loss", points=100)["layout"]["meta"]


def test_without_a_report_nothing_is_drawn() -> None:
    plot = trial_curves([], points=10)
    assert plot["data"] == []
    assert plot["layout"]["meta"]["metrics"] == {}
