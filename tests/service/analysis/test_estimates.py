"""How long a sweep will take, judged by the past."""

import pytest

from service.analysis.estimates import Past, estimate

from .cases import config

ADAM, SGDM = config(name="adam"), config(name="sgdm")
MNIST = config(dataset="mnist")


def test_the_very_configuration_counts_first_whatever_its_epochs():
    past = [Past(config(epochs=2), 2, 20.0), Past(SGDM, 5, 500.0)]
    found = estimate([(ADAM, 3)], past)
    assert (found.exact, found.alike, found.unknown) == (3, 0, 0)
    assert found.trial_seconds == 3 * 5 * 10.0


def test_else_one_with_the_same_data_set_model_and_batch_size():
    found = estimate([(ADAM, 3)], [Past(SGDM, 5, 50.0)])
    assert (found.exact, found.alike, found.unknown) == (0, 3, 0)
    assert found.trial_seconds == 3 * 50.0


@pytest.mark.parametrize("other", [{"data": {"max_examples": 100}}, {"task": "another"}])
def test_a_look_at_few_examples_or_another_task_is_not_alike(other):
    assert estimate([(ADAM, 3)], [Past(SGDM | other, 5, 50.0)]).unknown == 3


def test_of_several_past_trials_the_median_is_taken():
    past = [Past(ADAM, 1, seconds) for seconds in (1.0, 2.0, 300.0)]
    assert estimate([(ADAM, 1)], past).trial_seconds == 5 * 2.0


def test_what_is_unknown_is_counted_and_in_none_of_the_seconds():
    found = estimate([(ADAM, 3), (MNIST, 2)], [Past(ADAM, 5, 50.0)])
    assert (found.trials, found.exact, found.unknown) == (5, 3, 2)
    assert found.trial_seconds == 150.0


@pytest.mark.parametrize("past", [[], [Past(ADAM, 0, 0.0)]])
def test_nothing_known_is_no_estimate(past):
    found = estimate([(ADAM, 3)], past)
    assert found.unknown == 3
    assert found.trial_seconds is found.wall_seconds is None


def test_slots_divide_the_time_but_no_trial():
    past = [Past(ADAM, 5, 60.0)]
    assert estimate([(ADAM, 6)], past, slots=4).wall_seconds == 90.0
    assert estimate([(ADAM, 6)], past, slots=100).wall_seconds == 60.0


def test_an_arm_without_trials_left_takes_no_time():
    found = estimate([(ADAM, 0)], [Past(ADAM, 5, 60.0)])
    assert (found.trials, found.trial_seconds, found.wall_seconds) == (0, 0.0, 0.0)


def test_no_slot_is_an_error():
    with pytest.raises(ValueError, match="slots is at least 1, got 0"):
        estimate([], [], slots=0)
