"""How configurations differ."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrd_core.titles import ABSENT
from service.analysis.configurations import (
    agrees,
    distinguishing,
    flatten,
    scope,
    value_at,
    varying,
)

from .cases import config

SD = {"kind": "SD", "keep_prob": 0.9}
NG = {"kind": "NG", "variance": 0.1}
KEEP = "optimizer.keep_prob"


def flats(*every):
    return [flatten(config(**each)) for each in every]


class TestPaths:
    def test_leaves_stand_at_dotted_paths_and_lists_stay_whole(self):
        assert flatten({"a": {"b": {"c": 1}}, "d": [SD], "e": {}}) == {
            "a.b.c": 1, "d": [SD], "e": {},
        }  # fmt: skip

    def test_what_varies_comes_in_the_order_a_reader_looks(self):
        found = varying(flats({}, {"keep_prob": 0.5, "name": "sgdm", "dataset": "mnist"}))
        assert found == ["dataset", "optimizer.name", KEEP]

    def test_a_path_that_only_some_have_varies(self):
        assert varying([{"a": 1, "b": 2}, {"a": 1}]) == ["b"]

    def test_one_configuration_varies_in_nothing(self):
        assert varying(flats({})) == []

    def test_what_follows_from_the_paths_before_it_says_nothing_new(self):
        every = flats({"name": "adam", "lr": 0.001}, {"name": "sgdm", "lr": 0.1})
        assert distinguishing(every, ["optimizer.name", "optimizer.lr"]) == ["optimizer.name"]
        assert distinguishing(every, ["optimizer.lr", "optimizer.name"]) == ["optimizer.lr"]

    @given(st.lists(st.tuples(*[st.integers(0, 2)] * 3), min_size=1, max_size=12, unique=True))
    def test_the_paths_kept_tell_all_apart(self, rows):
        every = [dict(zip("abc", row, strict=True)) for row in rows]
        kept = distinguishing(every, "abc")
        assert len({tuple(flat[path] for path in kept) for flat in every}) == len(rows)

    def test_the_value_of_a_sub_tree_is_its_leaves(self):
        flat = {"schedule.gamma": 0.1, "schedule.milestones": [3], "scheduled": 1}
        assert value_at(flat, "schedule") == {"gamma": 0.1, "milestones": [3]}
        assert value_at(flat, "nothing") is ABSENT

    @pytest.mark.parametrize(
        ("path", "found"),
        [("optimizer.name", "optimizer"), (KEEP, KEEP), ("name", "name"), ("dataset", "dataset")],
    )
    def test_with_a_variant_its_sub_tree_may_differ(self, path, found):
        assert scope(path) == found


class TestAgreement:
    @pytest.mark.parametrize(
        ("asked", "answer"),
        [
            ({KEEP: 1.0}, True),
            ({KEEP: 1}, True),
            ({KEEP: 0.5}, False),
            ({"regularizers": ["SD"]}, True),
            ({"regularizers": [{"kind": "SD"}]}, True),
            ({"regularizers": [{"kind": "SD", "keep_prob": 0.8}]}, False),
            ({"regularizers": ["SD", "NG"]}, False),
            ({"regularizers": []}, False),
            ({"optimizer": {"name": "adam"}}, True),
            ({"optimizer": "adam"}, True),
            ({"no.such.path": 1}, False),
            ({}, True),
        ],
    )
    def test_what_is_left_open_may_be_anything(self, asked, answer):
        assert agrees(flatten(config(regularizers=[SD])), asked) is answer

    def test_the_order_of_regularizers_does_not_matter(self):
        assert agrees(flatten(config(regularizers=[SD, NG])), {"regularizers": ["NG", "SD"]})
