"""Where a trial's number is read."""

import math
from dataclasses import replace

import pytest

from service.analysis.metrics import Metric
from service.analysis.readings import observe, read

from .cases import series

ACCURACY, LOSS = Metric("test_accuracy"), Metric("test_loss")


class TestRead:
    CURVE = series("a", 0, [0.5, 0.9, 0.9, 0.7])

    @pytest.mark.parametrize(
        ("metric", "at", "found"),
        [
            (ACCURACY, "last", (0.7, 4)),
            (ACCURACY, "best", (0.9, 2)),
            (LOSS, "best", (0.5, 1)),
            (ACCURACY, "epoch:3", (0.9, 3)),
            (ACCURACY, "epoch:5", (None, None)),
        ],
    )
    def test_at_the_last_the_best_or_a_given_epoch(self, metric, at, found):
        assert read(self.CURVE, metric, at) == found

    def test_the_earliest_of_equally_good_epochs_is_the_best(self):
        assert read(self.CURVE, ACCURACY, "best") == (0.9, 2)

    def test_the_last_epoch_is_not_the_last_that_reported_something(self):
        assert read(series("a", 0, [0.9, None]), ACCURACY, "last") == (None, None)

    def test_a_value_that_is_not_finite_is_read_as_such_but_never_the_best(self):
        curve = series("a", 0, [0.3, math.nan, math.inf])
        assert read(curve, ACCURACY, "best") == (0.3, 1)
        assert read(curve, ACCURACY, "last") == (math.inf, 3)
        assert read(series("a", 0, [math.nan]), ACCURACY, "best") == (None, None)

    def test_no_report_gives_no_number(self):
        for at in ("last", "best", "epoch:1"):
            assert read(series("a", 0, []), ACCURACY, at) == (None, None)

    @pytest.mark.parametrize("at", ["first", "epoch:", "epoch:-1", "epoch:1.5", "epoch:²", ""])
    def test_anything_else_is_an_error(self, at):
        with pytest.raises(ValueError, match="last, best or epoch:N"):
            read(self.CURVE, ACCURACY, at)


class TestObserve:
    def test_carries_what_the_statistics_need(self):
        found = observe(series("a", 3, [0.5, 0.9], seconds=2.5), ACCURACY, "best", gpus=0.5, cpus=4)
        assert (found.trial_id, found.arm_id, found.seed) == ("a-3", "a", 3)
        assert (found.value, found.epoch, found.epochs_done, found.seconds) == (0.9, 2, 2, 5.0)
        assert (found.gpus, found.cpus, found.missing) == (0.5, 4, None)

    def test_a_diverged_trial_gives_no_number_even_at_its_best(self):
        curve = series("a", 0, [0.9, 0.1], state="failed", reason="diverged")
        assert observe(curve, ACCURACY, "best").missing == "diverged"

    def test_a_trial_without_reports_has_done_nothing(self):
        found = observe(series("a", 0, [], state="running"), ACCURACY, "last")
        assert (found.value, found.epoch, found.epochs_done, found.seconds) == (None, None, 0, 0)
        assert found.missing == "running"


def test_a_series_whose_lengths_differ_is_an_error():
    with pytest.raises(ValueError, match="differ in length"):
        replace(series("a", 0, [0.5, 0.9]), epochs=(1,))
