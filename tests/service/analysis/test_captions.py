"""The sentence below each figure."""

from service.analysis import captions
from service.analysis.arms import summarise
from service.analysis.comparisons import compare
from service.analysis.curves import mean_curves
from service.analysis.panels import over_keep_prob

from .cases import arm, pair, series, trials


def test_n_is_a_range_where_seeds_are_missing() -> None:
    summaries = summarise(pair(), [*trials("plain", [0.9] * 4), *trials("lrd", [0.9, "oom", 0.8])])
    said = captions.against_keep_prob(over_keep_prob(summaries))
    assert said.endswith("n = 2 to 4 seeds an arm.")
    assert "set apart" not in said


def test_lines_that_were_moved_are_said_to_be() -> None:
    arms = [arm("a"), arm("b", name="sgdm")]
    summaries = summarise(arms, [*trials("a", [0.9]), *trials("b", [0.9])])
    said = captions.against_keep_prob(over_keep_prob(summaries))
    assert "lines set apart sideways; n = 1 seed an arm." in said


def test_a_forest_counts_pairs_and_says_that_its_intervals_are_not_adjusted() -> None:
    observations = [*trials("plain", [0.9] * 4), *trials("lrd", [0.9, "oom", 0.8, 0.7])]
    said = captions.forest(compare(summarise(pair(), observations), observations))
    assert "not adjusted" in said
    assert said.endswith("n = 3 pairs an arm.")


def test_epochs_without_a_number_do_not_count() -> None:
    curves = mean_curves([arm("a")], [series("a", seed, [0.1, None]) for seed in range(3)])
    assert captions.learning_curves({"test_loss": curves}).endswith("n = 3 seeds an arm.")
    assert captions.learning_curves({}).endswith("n = 0 seeds an arm.")
