"""What a metric's name tells, and how its values are written."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.analysis.metrics import Metric, NumberFormat, headline


@pytest.mark.parametrize(
    ("name", "higher", "title"),
    [
        ("test_accuracy", True, "test accuracy (%)"),
        ("mean_iou", True, "mean iou (%)"),
        ("train_loss", False, "train loss"),
        ("val_loss", False, "val loss"),
        ("seconds", False, "seconds"),
        ("loss_distance", False, "loss distance"),
        ("reached", True, "reached"),
        ("test_rmse", False, "test rmse"),
        ("val_NLL", False, "val NLL"),
        ("val-mse", False, "val-mse"),
        ("testRMSE", False, "testRMSE"),
        ("rmse_2", False, "rmse 2"),
        ("top1_err", False, "top1 err"),
        ("LPIPS", False, "LPIPS"),
        ("klingon_bleu", True, "klingon bleu"),
        ("maestro_score", True, "maestro score"),
    ],
)
def test_its_direction_and_title(name, higher, title):
    assert (Metric(name).higher_is_better, Metric(name).title) == (higher, title)


def test_only_of_a_metric_that_lrd_knows_the_best_is_called_that():
    """Catches: the worst arm in bold, under the word "best", of a name that says nothing of it."""
    names = ("test_accuracy", "val_accuracy", "map_50", "val_mse", "calibration")
    assert [Metric(name).best for name in names] == ["best"] * 3 + ["lowest", "highest"]


@pytest.mark.parametrize(
    ("reported", "shown"),
    [
        (["train_loss", "test_rmse", "bias"], "test_rmse"),
        (["train_loss", "bleu", "val_loss"], "val_loss"),
        (["train_loss", "train_rmse"], "train_loss"),
        ([], "test_accuracy"),
    ],
)
def test_a_table_shows_what_was_evaluated(reported, shown):
    """Catches: the training loss as the result of a plugin's task, which reports it first."""
    assert headline(None, reported) == shown
    assert headline("bias", reported) == "bias"


def test_a_share_is_a_word_of_the_name_not_a_part_of_one():
    assert not Metric("mapping_rate").is_share
    assert Metric("map").is_share


def test_shares_losses_and_times_are_never_negative():
    """Catches: a reward cut off at 0."""
    assert all(Metric(name).is_never_negative for name in ("test_accuracy", "val_loss", "seconds"))
    assert not Metric("reward").is_never_negative


def test_what_is_better_is_positive():
    assert Metric("test_accuracy").better(-0.1) == -0.1
    assert Metric("test_loss").better(-0.1) == 0.1


class TestNumbers:
    @pytest.mark.parametrize(
        ("metric", "means", "value", "shown"),
        [
            ("test_accuracy", [0.9461], 0.9461, "94.61"),
            ("test_accuracy", [], 1.0, "100.00"),
            ("test_loss", [0.5, None], 0.25, "0.2500"),
            ("test_loss", [3e-5, 0.5], 3e-5, "3.000e-05"),
            ("test_loss", [1e7], 1e7, "1.000e+07"),
            ("test_loss", [0.0, None], 0.0, "0.0000"),
        ],
    )
    def test_are_written_to_be_told_apart(self, metric, means, value, shown):
        assert NumberFormat.fitting(Metric(metric), means).show(value) == shown

    @pytest.mark.parametrize(
        ("metric", "spreads", "shown"),
        [
            ("test_accuracy", [0.0012, 0.0, None], "0.12"),
            ("test_accuracy", [0.00004, 0.0012], "0.120"),
            ("test_accuracy", [1e-9, 0.0012], "0.1200"),  # so small that nothing would show it
            ("test_loss", [0.5], "0.0012"),
            ("test_loss", [0.00002], "0.00120"),
        ],
    )
    def test_a_spread_that_is_one_is_seen(self, metric, spreads, shown):
        # Catches: 0.0123 ± 0.0000 twice, of which one has a dagger.
        number = NumberFormat.fitting(Metric(metric), [0.5], spreads)
        assert number.show(0.0012) == shown

    def test_a_difference_has_a_sign(self):
        number = NumberFormat.fitting(Metric("test_accuracy"), [])
        assert number.show(0.0012, sign=True) == "+0.12"
        assert number.show(-0.0012, sign=True) == "−0.12"

    @pytest.mark.parametrize(
        ("differences", "shown"),
        [([0.0331, 1e-7], "+0.0331"), ([0.002, None], "+0.0331"), ([2e-4], "+3.310e-02")],
    )
    def test_of_differences_the_largest_decides(self, differences, shown):
        """Catches: +3.301e-02 in a paper, because another factor does next to nothing."""
        number = NumberFormat.of_differences(Metric("test_loss"), differences)
        assert number.show(0.0331, sign=True) == shown

    def test_what_rounds_to_zero_has_no_minus(self):
        number = NumberFormat.fitting(Metric("test_accuracy"), [])
        assert number.show(-0.00001) == "0.00"
        assert number.show(-0.00001, sign=True) == "+0.00"

    @pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
    def test_what_is_no_number_is_said(self, value):
        assert NumberFormat.fitting(Metric("test_accuracy"), []).show(value) == str(value)

    @given(st.floats(0, 1))
    def test_a_percentage_reads_back_to_half_its_last_digit(self, value):
        shown = NumberFormat.fitting(Metric("test_accuracy"), []).show(value)
        assert float(shown) / 100 == pytest.approx(value, abs=0.00005 + 1e-9)
