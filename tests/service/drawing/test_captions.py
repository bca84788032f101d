"""The sentence below each figure."""

import math

from service.analysis.arms import summarise
from service.analysis.comparisons import compare
from service.analysis.curves import mean_curves
from service.analysis.paired import ALPHA
from service.drawing import captions
from service.drawing.panels import over_keep_prob
from tests.service.analysis.cases import arm, pair, series, trials

from .test_figures import curves, exploding, gapped
from .test_panels import ABLATION


def test_n_is_a_range_where_seeds_are_missing() -> None:
    summaries = summarise(pair(), [*trials("plain", [0.9] * 4), *trials("lrd", [0.9, "oom", 0.8])])
    said = captions.against_keep_prob(over_keep_prob(summaries))
    assert said.endswith("n = 2 to 4 seeds per arm.")
    assert "set apart" not in said


def test_arms_without_a_number_are_named_and_the_rest_counted() -> None:
    """Catches: divergence that a figure hides; n = 0 of what is not drawn; an endless caption."""
    said = captions.against_keep_prob(over_keep_prob(gapped()))
    assert (
        "; without a number: RMSprop at 0.1 (0/2), RMSprop at 0.5 (0/2), RMSprop at 0.9 (0/2) "
        "and 3 more; n = 2 seeds per arm."
    ) in said
    assert "set apart" not in said  # the only line that is drawn stands where it is


def test_of_one_line_an_arm_without_a_number_is_named_by_its_keep_prob() -> None:
    summaries = summarise(pair(), [*trials("plain", [0.9] * 2), *trials("lrd", ["diverged"] * 2)])
    said = captions.against_keep_prob(over_keep_prob(summaries))
    assert "; without a number: keep_prob at 0.5 (0/2); n = 2 seeds" in said


def test_in_panels_an_arm_without_a_number_is_named_with_its_panel() -> None:
    values = {each.id: "diverged" if each.id == "adam 2 0.5" else 0.9 for each in ABLATION}
    summaries = summarise(
        ABLATION, [one for key, value in values.items() for one in trials(str(key), [value])]
    )
    said = captions.against_keep_prob(over_keep_prob(summaries))
    assert "; without a number: Adam, DG at 0.5 (0/1); " in said


def test_curves_that_run_out_of_their_panel_are_counted_for_each_metric() -> None:
    """Catches: a curve that leaves the panel, and no word of it."""
    metrics = {"train_loss": exploding(), "lr": curves(), "test_loss": exploding()}
    said = captions.learning_curves(metrics)
    assert (
        "; 1 arm goes off scale (train loss); 1 arm goes off scale (test loss); curves "
        "off scale have no band; n = "
    ) in said
    arms = [arm(str(at)) for at in range(3)]
    away = [series("0", 0, [2.0, 1.0]), *(series(key, 0, [2.0, 1e9]) for key in "12")]
    assert "; 2 arms go off scale" in captions.learning_curves(
        {"val_loss": mean_curves(arms, away)}
    )
    assert "panel" not in captions.learning_curves({"test_accuracy": curves()})


def test_lines_that_were_moved_are_said_to_be() -> None:
    arms = [arm("a"), arm("b", name="sgdm"), arm("c", name="sgdm", keep_prob=0.5)]
    summaries = summarise(arms, [one for key in "abc" for one in trials(key, [0.9])])
    said = captions.against_keep_prob(over_keep_prob(summaries))
    assert "lines offset sideways; n = 1 seed per arm." in said


def test_of_one_number_it_says_that_there_is_no_bar() -> None:
    """Catches: a bar of no width called a 95 % interval."""
    some = summarise(pair(), [*trials("plain", [0.9]), *trials("lrd", [0.9])])
    alone = captions.against_keep_prob(over_keep_prob(some))
    assert "; no bar: n = 1; dotted" in alone
    assert "interval" not in alone
    observations = [*trials("plain", [0.9, 0.8]), *trials("lrd", [0.9])]
    mixed = summarise(pair(), observations)
    said = captions.against_keep_prob(over_keep_prob(mixed))
    assert "bar: its 95 % Student t interval; no bar: n = 1; " in said
    assert "; no bar: n = 1; " in captions.forest(compare(mixed, observations))
    observations = [*trials("plain", [0.9, 0.8]), *trials("lrd", [0.9, 0.8])]
    more = summarise(pair(), observations)
    assert "no bar" not in captions.against_keep_prob(over_keep_prob(more))
    assert "no bar" not in captions.forest(compare(more, observations))


def test_each_says_at_which_epoch_it_was_read() -> None:
    """Catches: a figure at the best epoch that looks like one at the last."""
    observations = [*trials("plain", [0.9, 0.8]), *trials("lrd", [0.9, 0.7])]
    summaries = summarise(pair(), observations)
    for at, said in {
        "last": ", read at the last epoch; ",
        "best": ", read at the best epoch, which favours the arm that fluctuates more; ",
        "epoch:5": ", read at epoch 5; ",
    }.items():
        assert said in captions.against_keep_prob(over_keep_prob(summaries), at)
        assert said in captions.forest(compare(summaries, observations), at)
        assert said in captions.effects([], at)


def test_where_all_have_one_keep_prob_it_says_why_nothing_is_drawn() -> None:
    found = over_keep_prob(summarise([arm("a")], trials("a", [0.9])))
    assert (
        captions.against_keep_prob(found) == "Nothing is drawn: all arms have the same keep_prob."
    )


def test_curves_are_held_against_those_of_their_own_data_set() -> None:
    """Catches: every arm of one data set said to run out of the panel beside another's."""
    arms = [arm(str(at), dataset=("mnist", "cifar100")[at // 2]) for at in range(4)]
    values = ([2e-3, 1e-3], [3e-3, 1e-3], [90.0, 40.0], [80.0, 1e9])
    found = mean_curves(arms, [series(str(at), 0, some) for at, some in enumerate(values)])
    said = captions.learning_curves({"test_loss": found}, arms)
    assert "; 1 arm goes off scale (test loss); curves off scale have no band; " in said


def test_a_forest_counts_pairs_and_says_that_its_intervals_are_not_adjusted() -> None:
    observations = [*trials("plain", [0.9] * 4), *trials("lrd", [0.9, "oom", 0.8, 0.7])]
    said = captions.forest(compare(summarise(pair(), observations), observations))
    assert "not adjusted" in said
    assert said.endswith("n = 3 pairs per arm.")


def test_why_a_mark_is_hollow_beside_a_small_p_is_said() -> None:
    """Catches: `filled: p (Holm) < 0.05` below a hollow mark with `p (Holm) = 0.031` beside it."""
    better = [0.9 + seed / 100 for seed in range(7)]
    plain = trials("plain", [0.8] * 7)
    for values, hollow in (([*better[:6], "diverged"], True), (better, False)):
        observations = [*plain, *trials("lrd", values)]
        (found,) = compare(summarise(pair(), observations), observations)
        assert found.p_holm is not None
        assert found.p_holm < ALPHA
        said = captions.forest([found])
        assert (
            "p (Holm) < 0.05, but hollow where only the surviving seeds support it" in said
        ) is hollow


def test_curves_say_how_many_trials_diverged_and_how_few_are_left() -> None:
    """Catches: `n = 6 seeds per arm` of which most diverged, some before their first report."""
    arms = [arm("plain"), arm("lrd", keep_prob=0.5), arm("gone", lr=10.0)]
    diverged = {"state": "failed", "reason": "diverged"}
    every = [series("plain", seed, [0.5, 0.4, 0.3]) for seed in range(4)]
    every += [series("lrd", seed, [0.5, 0.4, 0.3]) for seed in range(3)]
    every += [series("lrd", 3, [0.5, math.nan], **diverged)]
    every += [series("gone", seed, [], **diverged) for seed in range(4)]
    metrics = {name: mean_curves(arms, every) for name in ("train_loss", "test_loss")}
    assert captions.learning_curves(metrics).endswith(
        "; n = 0 to 4 seeds per arm; 5 of 12 trials diverged and are missing from that epoch on: "
        "lrd (1/4), gone (4/4)."
    )
    whole = mean_curves(arms[:2], every[:8])
    assert captions.learning_curves({"test_loss": whole}).endswith(
        "; n = 3 to 4 seeds per arm; 1 of 8 trials diverged and is missing from that epoch on: "
        "lrd (1/4)."
    )


def test_a_seed_that_diverged_in_one_metric_counts_once() -> None:
    found = {
        name: mean_curves([arm("a")], [series("a", 0, values), series("a", 1, [0.2, 0.1])])
        for name, values in {"train_loss": [0.2, math.inf], "test_loss": [0.2, math.nan]}.items()
    }
    said = captions.learning_curves(found)
    assert said.endswith("n = 1 to 2 seeds per arm; 1 of 2 trials diverged and is missing from "
                         "that epoch on: a (1/2).")  # fmt: skip


def test_epochs_without_a_number_do_not_count() -> None:
    found = mean_curves([arm("a")], [series("a", seed, [0.1, None]) for seed in range(3)])
    assert captions.learning_curves({"test_loss": found}).endswith("n = 3 seeds per arm.")
    assert captions.learning_curves({}).endswith("n = 0 seeds per arm.")
