"""What an arm is called, and how paths and values read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrd_core.spec import SweepSpec, expand_arms
from lrd_core.titles import ABSENT, path_title, speaking_titles, spell, value_titles
from tests.conftest import small_sweep

SD = {"kind": "SD", "keep_prob": 0.9}
NG = {"kind": "NG", "variance": 0.1}
KEEP = "optimizer.keep_prob"


def names(**changes):
    return [arm.label for arm in expand_arms(SweepSpec.parse(small_sweep(**changes)))]


class TestOfArms:
    def test_an_arm_without_a_label_is_named_by_its_point_of_the_grid(self):
        grid = {"optimizer.name": ["adam"], "optimizer.lr": [0.1], KEEP: [1, 0.50]}
        assert names(grid=grid) == [
            "Adam, lr = 0.1, without LRD", "Adam, lr = 0.1, LRD (keep_prob = 0.5)",
        ]  # fmt: skip

    def test_what_is_no_name_says_of_what_it_is(self):
        # Catches: `(milestones=1, gamma=0.1)`, of which nobody knows what it is.
        grid = {"schedule": [{"milestones": [1], "gamma": 0.1}], KEEP: [1.0]}
        (found,) = names(grid=grid)
        assert found.startswith("schedule = ")

    def test_a_label_comes_first(self):
        arms = [{"label": "plain"}, {"label": "SD", "set": {"regularizers": ["SD"]}}]
        assert names(arms=arms, grid={KEEP: [1.0, 0.7]}) == [
            "plain, without LRD", "plain, LRD (keep_prob = 0.7)",
            "SD, without LRD", "SD, LRD (keep_prob = 0.7)",
        ]  # fmt: skip

    def test_values_read_as_they_are_once_defaults_are_written_out(self):
        grid = {"regularizers": [["SD"], [{"kind": "SD", "keep_prob": 0.8}]]}
        assert names(grid=grid, baseline={}) == ["SD(keep_prob=0.9)", "SD(keep_prob=0.8)"]

    def test_one_arm_is_the_base(self):
        assert names(grid={}) == ["base"]


class TestTitles:
    @pytest.mark.parametrize(
        ("path", "title"),
        [(KEEP, "keep_prob"), ("optimizer.name", "optimizer"), ("batch_size", "batch size"),
         ("optimizer.lr", "lr"), ("name", "name")],
    )  # fmt: skip
    def test_of_a_path(self, path, title):
        assert path_title(path) == title

    @pytest.mark.parametrize(
        ("path", "values", "titles"),
        [
            (KEEP, [1.0, 0.5], ["without LRD", "LRD (keep_prob = 0.5)"]),
            ("optimizer.name", ["sgdm", "newton"], ["SGDM", "newton"]),
            ("dataset", ["cifar10", "digits"], ["CIFAR-10", "digits"]),
            ("regularizers", [[], [SD], [SD, NG]], ["no regularizers", "SD", "SD+NG"]),
            ("regularizers", [[SD], [SD | {"keep_prob": 0.8}]],
             ["SD(keep_prob=0.9)", "SD(keep_prob=0.8)"]),
            # Catches: one SD of 0.9 and another of 0.8 behind one word.
            ("regularizers", [[SD], [SD | {"keep_prob": 0.8}, NG], [NG]],
             ["SD(keep_prob=0.9)", "SD(keep_prob=0.8)+NG", "NG"]),
            ("schedule", [{"milestones": [], "gamma": 0.1}, {"milestones": [2, 3], "gamma": 0.5},
                          {"milestones": [], "gamma": 0.1, "power": 0.9}],
             ["constant", "× 0.5 after 2/3", "(1 − t)^0.9"]),
            ("optimizer.momentum", [0.9, ABSENT], ["0.9", "–"]),
            ("optimizer.lr", [0.1, 1e-5], ["0.1", "1e-05"]),
            ("nesterov", [True, False], ["yes", "no"]),
        ],
    )  # fmt: skip
    def test_of_values_below_a_head(self, path, values, titles):
        assert value_titles(path, values) == titles

    @pytest.mark.parametrize(
        ("path", "values", "titles"),
        [
            (KEEP, [1.0, 0.5], ["without LRD", "LRD (keep_prob = 0.5)"]),
            ("optimizer.name", ["adam"], ["Adam"]),
            ("regularizers", [[], [SD]], ["no regularizers", "SD"]),
            ("schedule.milestones", [[], [100, 150]], ["no milestones", "milestones = 100/150"]),
            ("optimizer.lr", [0.1], ["lr = 0.1"]),
            ("precision", ["bf16"], ["precision = bf16"]),
            ("optimizer.momentum", [ABSENT], ["momentum = –"]),
            ("arm", ["mine"], ["mine"]),
        ],
    )
    def test_of_values_that_stand_alone(self, path, values, titles):
        assert speaking_titles(path, values) == titles

    @given(st.lists(st.floats(0, 1), min_size=1, max_size=5, unique=True))
    def test_distinct_values_read_distinctly(self, values):
        assert len(set(value_titles(KEEP, values))) == len(values)

    @given(st.floats(allow_nan=False, allow_infinity=False))
    def test_a_number_is_spelled_so_that_it_reads_back(self, value):
        assert float(spell(value)) == value
