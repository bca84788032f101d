"""Which checkpoints go: never one of the newest two that are recorded."""

from service.retention import Retention


def test_the_newest_two_recorded_ones_stay() -> None:
    kept = Retention(["1", "2"])  # those that the attempt was given
    assert kept.replaced("3") == ["1"]
    assert kept.replaced("4") == ["2"]
    assert kept.replaced("4") == []  # the answer to its commit was lost, and it is told again


def test_one_whose_report_was_refused_goes_itself() -> None:
    # Catches: a worker that waits for ever until that one is recorded.
    kept = Retention(["1", "2"])
    assert kept.replaced("other", refused=True) == ["other"]
    assert kept.replaced("3") == ["1"]


def test_at_first_nothing_goes() -> None:
    kept = Retention([])
    assert [kept.replaced(name) for name in "123"] == [[], [], ["1"]]


def test_of_a_trial_that_has_succeeded_all_go() -> None:
    kept = Retention(["1"])
    kept.replaced("2")
    assert kept.done() == ["1", "2"]
    assert kept.done() == []
