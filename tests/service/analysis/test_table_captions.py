"""What a table's caption says: which metric, read where, of which network, data and epochs."""

import pytest

from .cases import arm
from .test_tables import table


@pytest.mark.parametrize(
    ("at", "place"), [("last", "last epoch"), ("best", "best epoch"), ("epoch:7", "epoch 7")]
)
def test_the_caption_says_what_was_read_and_where(at, place):
    found = table([arm("a")], {"a": [0.9]}, baseline=(), at=at)
    said = f"test accuracy (%), {place}: mean ± standard deviation (n) over seeds; FCNet on digits"
    assert found.caption == f"{said}, 5 epochs"


def test_the_caption_says_of_how_much_data_and_how_many_epochs_it_is():
    # Catches: a table of 400 digits that reads like one of all.
    arms = [arm("a", data={"max_examples": 400}), arm("b", data={"max_examples": 400}, lr=0.1)]
    said = table(arms, {"a": [0.9], "b": [0.9]}, baseline=()).caption
    assert said.endswith("FCNet on digits, the first 400 examples of each part, 5 epochs")
    arms = [arms[0], arm("b", data={"max_examples": 40}, epochs=6)]
    assert table(arms, {"a": [0.9], "b": [0.9]}, baseline=()).caption.endswith("FCNet on digits")


def test_the_caption_names_no_data_set_and_no_model_where_a_task_has_none():
    bare = arm("a")
    del bare.config["dataset"], bare.config["model"]
    assert table([bare], {"a": [0.9]}, baseline=()).caption.endswith("(n) over seeds; 5 epochs")


def test_the_caption_leaves_to_the_titles_what_differs():
    arms = [arm("a", dataset="mnist"), arm("b", dataset="cifar10")]
    found = table(arms, {"a": [0.9], "b": [0.9]}, baseline=())
    assert found.caption.endswith("over seeds; FCNet, 5 epochs")
