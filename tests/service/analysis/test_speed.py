"""How soon an arm reaches a value."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.analysis.speed import compare_speed, reach

from .cases import arm, pair, series

RISING, SLOW, NEVER = [0.5, 0.9, 0.95], [0.3, 0.5, 0.9], [0.1, 0.2, 0.3]


def reached(*curves, metric="test_accuracy", threshold=0.9):
    (found,) = reach([arm("a")], curves, metric=metric, threshold=threshold)
    return found


def speed(arm_curves, baseline_curves, **ends):
    every = [series("lrd", seed, values, **ends) for seed, values in enumerate(arm_curves)]
    every += [series("plain", seed, values) for seed, values in enumerate(baseline_curves)]
    (found,) = compare_speed(pair(), every, metric="test_accuracy", threshold=0.9)
    return found


class TestReach:
    def test_the_first_epoch_that_is_good_enough_counts(self):
        found = reached(series("a", 0, [0.5, 0.9, 0.2, 0.95], seconds=3.0))
        assert (found.reached, found.epochs, found.seconds) == (1, 2.0, 6.0)

    def test_of_a_loss_smaller_is_good_enough(self):
        found = reached(series("a", 0, [2.0, 0.8, 0.5]), metric="train_loss", threshold=0.8)
        assert found.epochs == 2.0

    def test_never_counts_as_later_than_any_so_that_failing_does_not_flatter(self):
        curves = [series("a", seed, values) for seed, values in enumerate([RISING, SLOW, NEVER])]
        assert (reached(*curves).epochs, reached(*curves).never) == (3.0, (2,))
        found = reached(*curves, series("a", 3, NEVER))
        assert (found.reached, found.epochs, found.seconds) == (2, None, None)

    def test_a_diverged_trial_never_gets_there_unless_it_had(self):
        gone = {"state": "failed", "reason": "diverged"}
        assert reached(series("a", 0, [0.5, math.nan], **gone)).never == (0,)
        assert reached(series("a", 0, [0.95, math.nan], **gone)).epochs == 1.0

    @pytest.mark.parametrize(
        ("state", "reason"),
        [("running", None), ("queued", None), ("cancelled", "user"), ("failed", "oom")],
    )
    def test_of_what_did_not_end_by_itself_nothing_is_known_yet(self, state, reason):
        found = reached(series("a", 0, NEVER, state=state, reason=reason), series("a", 1, RISING))
        assert (found.undecided, found.never, found.epochs) == ((0,), (), 2.0)
        already = reached(series("a", 0, RISING, state=state, reason=reason))
        assert (already.undecided, already.epochs) == ((), 2.0)

    def test_an_infinite_value_reaches_nothing(self):
        assert reached(series("a", 0, [math.inf, None, math.nan])).never == (0,)

    def test_no_trial_gives_no_number(self):
        found = reached()
        assert (found.trials, found.reached, found.epochs) == (0, 0, None)

    def test_an_unknown_arm_is_an_error(self):
        with pytest.raises(ValueError, match="no arm b"):
            reached(series("b", 0, RISING))


class TestCompare:
    def test_the_ratio_is_how_many_times_as_fast(self):
        found = speed([RISING, RISING, RISING], [[0.1] * 3 + [0.9], SLOW, RISING])
        assert (found.n, found.faster, found.ties, found.slower) == (3, 2, 1, 0)
        assert (found.epoch_ratio, found.second_ratio) == (1.5, 1.5)

    def test_reaching_beats_never_reaching(self):
        found = speed([RISING, RISING, NEVER], [NEVER, SLOW, RISING])
        assert (found.faster, found.slower) == (2, 1)
        assert found.epoch_ratio == 1.5  # of ∞, 1.5 and 0

    def test_both_never_is_a_tie_and_in_no_ratio(self):
        found = speed([NEVER, RISING], [NEVER, SLOW])
        assert (found.n, found.ties, found.epoch_ratio) == (2, 1, 1.5)

    def test_of_most_seeds_never_the_ratio_is_0_or_infinite(self):
        found = speed([RISING, RISING, RISING], [NEVER, NEVER, SLOW])
        assert (found.faster, found.epoch_ratio, found.second_ratio) == (3, math.inf, math.inf)
        assert found.to_json()["epoch_ratio"] == "Infinity"
        assert speed([NEVER, NEVER, SLOW], [RISING, RISING, RISING]).epoch_ratio == 0

    def test_between_never_and_a_speed_there_is_no_median(self):
        """Catches: 0.75 of one seed that never gets there and one that is 1.5 times as fast."""
        found = speed([RISING, NEVER], [SLOW, RISING])
        assert (found.n, found.faster, found.slower) == (2, 1, 1)
        assert (found.epoch_ratio, found.second_ratio) == (None, None)
        assert speed([RISING, RISING], [NEVER, SLOW]).epoch_ratio is None

    def test_undecided_seeds_are_left_out(self):
        found = speed([NEVER, RISING], [RISING, SLOW], state="running")
        assert (found.n, found.slower, found.epoch_ratio) == (1, 0, 1.5)

    def test_a_seed_on_one_side_only_is_left_out(self):
        assert speed([RISING], [SLOW, SLOW]).n == 1

    def test_no_pair_has_no_ratio(self):
        found = speed([], [SLOW])
        assert (found.n, found.epoch_ratio) == (0, None)

    @given(st.lists(st.tuples(*[st.lists(st.floats(0, 1), max_size=5)] * 2), max_size=5))
    def test_every_pair_is_faster_tied_or_slower_and_json_carries_it(self, values):
        found = speed([a for a, _ in values], [b for _, b in values])
        assert found.faster + found.ties + found.slower == found.n == len(values)
        json.dumps(found.to_json(), allow_nan=False)

    def test_a_clock_too_coarse_divides_by_nothing(self):
        every = [series("lrd", 0, RISING, seconds=0.0), series("plain", 0, RISING, seconds=0.0)]
        (found,) = compare_speed(pair(), every, metric="test_accuracy", threshold=0.9)
        assert found.second_ratio == 1.0
