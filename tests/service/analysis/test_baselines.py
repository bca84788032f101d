"""Which arm an arm is compared with."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.analysis.baselines import as_asked, compared_with, pair_with_baselines
from service.analysis.data import ArmInfo

from .cases import arm

KEEP = ["optimizer.keep_prob"]


def partners(arms, paths=KEEP):
    """Arm -> its baseline."""
    return {each.arm.id: each.baseline.id for each in pair_with_baselines(arms, paths)}


def grid(*, names=("adam", "sgdm"), keep_probs=(1.0, 0.5), datasets=("digits",)):
    """Every combination; p = 1 is the baseline. Ids such as `digits/adam/0.5`."""
    return [
        arm(f"{dataset}/{name}/{p:g}", baseline=p == 1, dataset=dataset, name=name, keep_prob=p)
        for dataset in datasets
        for name in names
        for p in keep_probs
    ]


class TestOneAxis:
    def test_each_combination_of_the_other_axes_has_its_own_baseline(self):
        arms = grid(datasets=("digits", "mnist"), keep_probs=(1.0, 0.3, 0.5))
        found = partners(arms)
        assert len(found) == 8
        for mine, theirs in found.items():
            assert theirs == mine.rpartition("/")[0] + "/1"

    def test_what_differs_is_named(self):
        (found,) = pair_with_baselines(grid(names=("adam",)), KEEP)
        assert found.differs_in == ("optimizer.keep_prob",)

    def test_a_baseline_is_compared_with_nothing(self):
        assert partners(grid(keep_probs=(1.0,))) == {}

    def test_an_arm_whose_combination_has_no_baseline_is_left_out(self):
        arms = [each for each in grid(datasets=("digits", "mnist")) if each.id != "mnist/adam/1"]
        assert "mnist/adam/0.5" not in partners(arms)
        assert len(partners(arms)) == 3

    def test_of_several_baselines_elsewhere_the_nearest_is_no_stand_in(self):
        arms = [*grid(), arm("mnist/adam/0.5", dataset="mnist", keep_prob=0.5)]
        assert "mnist/adam/0.5" not in partners(arms)

    def test_no_baseline_at_all_compares_nothing(self):
        assert partners([arm("a", keep_prob=0.3), arm("b", keep_prob=0.5)]) == {}

    def test_the_arms_come_in_their_own_order(self):
        arms = grid(keep_probs=(0.9, 0.1, 1.0, 0.5), names=("adam",))
        assert list(partners(arms)) == ["digits/adam/0.9", "digits/adam/0.1", "digits/adam/0.5"]

    @given(st.permutations(grid(datasets=("digits", "mnist"), keep_probs=(1.0, 0.3, 0.5))))
    def test_the_order_of_arms_changes_no_pair(self, arms):
        assert partners(arms) == partners(sorted(arms, key=lambda each: each.id))


class TestAVariant:
    """`optimizer.name` brings defaults along: the learning rate, momentum or betas."""

    ARMS = (
        arm("adam", baseline=True, name="adam", lr=0.001),
        arm("sgdm", name="sgdm", lr=0.1),
        arm("adam-half", baseline=True, name="adam", lr=0.001, keep_prob=0.5),
        arm("sgdm-half", name="sgdm", lr=0.1, keep_prob=0.5),
    )

    def test_what_comes_along_with_the_variant_may_differ(self):
        found = partners(self.ARMS, ["optimizer.name"])
        assert found["sgdm"] == "adam"

    def test_of_several_the_one_that_differs_least_is_taken(self):
        assert partners(self.ARMS, ["optimizer.name"])["sgdm-half"] == "adam-half"

    def test_a_default_that_came_along_is_not_named(self):
        found = pair_with_baselines(self.ARMS, ["optimizer.name"])
        assert {each.differs_in for each in found} == {("optimizer.name",)}

    def test_two_equally_near_are_no_baseline(self):
        arms = [
            arm("a", baseline=True, lr=0.1), arm("b", baseline=True, lr=0.2), arm("c", lr=0.3),
            arm("d", name="sgdm", lr=0.3),
        ]  # fmt: skip
        assert partners(arms, ["optimizer.name"]) == {}


TUNED = [
    arm("Adam", baseline=True, lr=0.001),
    arm("Adam+", keep_prob=0.5, lr=0.003),
    arm("SGDM", baseline=True, name="sgdm", lr=0.1),
    arm("SGDM+", name="sgdm", keep_prob=0.5, lr=0.3),
]
"""A learning rate of its own for each optimizer, with LRD and without."""


class TestTheBaselineOfItsOptimizer:
    def test_a_learning_rate_tuned_for_lrd_leaves_the_pair_a_pair(self):
        # Catches: no comparison at all where each of several optimizers was tuned.
        found = pair_with_baselines(TUNED, KEEP)
        assert partners(TUNED) == {"Adam+": "Adam", "SGDM+": "SGDM"}
        assert {each.differs_in for each in found} == {("optimizer.keep_prob", "optimizer.lr")}

    def test_an_equal_one_comes_first(self):
        tuned = arm("Adam 0.003", baseline=True, lr=0.003)
        assert partners([*TUNED, tuned])["Adam+"] == "Adam 0.003"

    def test_of_two_with_its_optimizer_neither_is_taken(self):
        assert "Adam+" not in partners([*TUNED, arm("Adam 0.01", baseline=True, lr=0.01)])

    @pytest.mark.parametrize("path", ["dataset", "task", "model"])
    def test_data_set_task_and_model_are_the_same(self, path):
        other = arm("other", keep_prob=0.5, lr=0.003, **{path: "mnist"})
        assert "other" not in partners([*TUNED, other])

    def test_a_name_that_the_baseline_sets_may_differ(self):
        arms = [arm("a", baseline=True), arm("b", name="sgdm", batch_size=32)]
        arms += [arm("c", baseline=True, model="large"), arm("d", name="sgdm", model="large")]
        assert partners(arms, ["optimizer.name"]) == {"b": "a", "d": "c"}


class TestTheOnlyBaseline:
    def test_everything_is_compared_with_it_whatever_differs(self):
        arms = [arm("plain", baseline=True), arm("lrd", keep_prob=0.5)]
        arms += [arm("SD", regularizers=[{"kind": "SD"}]), arm("larger", model="resnet34")]
        assert partners(arms, []) == {"lrd": "plain", "SD": "plain", "larger": "plain"}

    @pytest.mark.parametrize("path", ["dataset", "task"])
    def test_another_data_set_and_another_task_are_not(self, path):
        # Catches: a dagger for LRD on MNIST, tested against CIFAR-10 without it.
        arms = [arm("plain", baseline=True), arm("lrd", keep_prob=0.5)]
        arms += [arm("other", keep_prob=0.5, **{path: "mnist"})]
        assert partners(arms) == partners(arms, []) == {"lrd": "plain"}
        asked = [arms[0], arm("other", **{path: "mnist"})]
        assert partners(asked, [path]) == {"other": "plain"}

    def test_all_that_differs_is_named_in_the_order_a_reader_looks(self):
        arms = [arm("plain", baseline=True), arm("other", model="resnet34", keep_prob=0.5)]
        arms += [arm("third", model="resnet34")]
        found = {each.arm.id: each.differs_in for each in pair_with_baselines(arms, KEEP)}
        assert found["other"] == ("model", "optimizer.keep_prob")

    def test_what_goes_along_with_keep_prob_is_named_too(self):
        # Catches: a batch size of 32 against 128, and a difference "in keep_prob".
        arms = [arm("plain", baseline=True), arm("lrd", keep_prob=0.5, lr=0.003, batch_size=32)]
        (found,) = pair_with_baselines(arms, KEEP)
        assert found.differs_in == ("optimizer.keep_prob", "optimizer.lr", "batch_size")

    def test_only_what_comes_with_another_name_goes_unnamed(self):
        other = {"name": "sgdm", "lr": 0.1, "keep_prob": 0.5, "model": "large", "epochs": 20}
        arms = [arm("plain", baseline=True, pretrained=True), arm("lrd", **other)]
        (found,) = pair_with_baselines(arms, KEEP)
        assert found.differs_in == ("model", "optimizer.name", "optimizer.keep_prob", "epochs")

    def test_regularizers_are_compared_as_values(self):
        arms = [
            arm("plain", baseline=True), arm("SD", regularizers=[{"kind": "SD", "keep_prob": 0.9}]),
            arm("LRD", keep_prob=0.5),
            arm("LRD+SD", regularizers=[{"kind": "SD", "keep_prob": 0.9}], keep_prob=0.5),
        ]  # fmt: skip
        found = {each.arm.id: each.differs_in for each in pair_with_baselines(arms, [])}
        assert found["LRD+SD"] == ("regularizers", "optimizer.keep_prob")


class TestWhichItIs:
    def test_one_by_its_id(self):
        arms = compared_with(grid(names=("adam",)), "digits/adam/0.5")
        assert [each.id for each in arms if each.is_baseline] == ["digits/adam/0.5"]

    def test_an_id_that_no_arm_has_is_an_error(self):
        with pytest.raises(KeyError, match="nobody"):
            compared_with(grid(), "nobody")

    def test_what_the_spec_marked_stays_marked(self):
        arms, paths = as_asked(grid(), {"optimizer": {"name": "adam"}})
        assert (arms, paths) == (grid(), ["optimizer"])

    def test_where_the_spec_says_nothing_the_plain_optimizer_is_it(self):
        arms, paths = as_asked([replace(each, is_baseline=False) for each in grid()], {})
        assert (arms, paths) == (grid(), KEEP)

    @pytest.mark.parametrize("keep_probs", [(1.0,), (0.3, 0.5)])
    def test_without_a_choice_of_keep_prob_there_is_no_default(self, keep_probs):
        arms = [replace(each, is_baseline=False) for each in grid(keep_probs=keep_probs)]
        assert as_asked(arms, {}) == (arms, [])

    def test_a_configuration_without_an_optimizer_is_no_fault(self):
        arms = [ArmInfo("a", "a", {"dataset": "digits"}, False)]
        assert as_asked(arms, {}) == (arms, [])
