"""Our numbers held against published ones."""

import numpy as np
import pytest
from scipy import stats

from lrd_core.spec import ExpectedSpec
from service.analysis.arms import summarise
from service.analysis.configurations import flatten
from service.analysis.expected import hold_against
from service.analysis.metrics import Metric, NumberFormat

from .cases import arm, trials

ACCURACY = NumberFormat.fitting(Metric("test_accuracy"), [])


def rows(values, arms, samples, where=None, parts=None):
    """`values`: those of `ExpectedSpec`, in percent; `samples`: arm -> its seeds."""
    spec = ExpectedSpec.model_validate(
        {
            "source": "Table 2",
            "unit": "percent",
            "values": values,
            "where": where or {},
            "parts": parts or [],
        }
    )
    observations = [trial for key, sample in samples.items() for trial in trials(key, sample)]
    return list(hold_against(spec, summarise(arms, observations), ACCURACY))


def verdict(ours, paper, tolerance=0.0):
    value = {"where": {"optimizer.name": "adam"}, "value": paper, "tolerance": tolerance}
    (found,) = rows([value], [arm("a")], {"a": ours})
    return found


class TestVerdict:
    OURS = (0.93, 0.94, 0.935, 0.928)

    def test_the_interval_is_the_prediction_interval_for_one_more_run(self):
        found = verdict(self.OURS, 93.77)
        x = np.array(self.OURS)
        half = stats.t.ppf(0.975, 3) * x.std(ddof=1) * (1 + 1 / 4) ** 0.5
        assert (found.low, found.high) == pytest.approx((x.mean() - half, x.mean() + half))

    def test_one_more_run_of_ours_lies_in_it_as_often_as_promised(self):
        rng = np.random.default_rng(5)
        trials_of_it = 400
        inside = sum(
            verdict(rng.normal(0.93, 0.01, 5).tolist(), rng.normal(93, 1)).verdict == "within noise"
            for _ in range(trials_of_it)
        )
        # Four standard errors of a share of 0.95.
        assert inside / trials_of_it == pytest.approx(0.95, abs=4 * (0.95 * 0.05 / 400) ** 0.5)

    @pytest.mark.parametrize(
        ("paper", "said"), [(93.3, "within noise"), (95.2, "within noise"), (96.0, "differs")]
    )
    def test_within_or_outside(self, paper, said):
        assert verdict(self.OURS, paper).verdict == said

    def test_a_tolerance_makes_close_enough(self):
        assert verdict(self.OURS, 96.0, tolerance=3.0).verdict == "within noise"

    def test_the_tolerance_survives_rounding(self):
        assert verdict([0.9377] * 3, 93.78, tolerance=0.01).verdict == "within noise"

    def test_equal_to_the_last_digit_is_within_noise_even_without_spread(self):
        assert verdict([0.9377] * 3, 93.77).verdict == "within noise"
        assert verdict([0.9377] * 3, 93.78).verdict == "differs"

    @pytest.mark.parametrize("ours", [[], [0.93], [0.93, 0.94], ["oom"] * 5, ["queued"]])
    def test_two_seeds_are_too_few(self, ours):
        found = verdict(ours, 93.5)
        assert found.verdict == "too few seeds"
        assert found.low is found.high is None

    @pytest.mark.parametrize("tolerance", [0.0, 5.0])
    def test_survivors_are_not_judged(self, tolerance):
        # Catches: "within noise" of an optimizer that diverges on seven of ten seeds.
        ours = [0.9302, 0.9298, 0.9305, *["diverged"] * 6, "queued", float("nan")]
        found = verdict(ours, 93.0, tolerance)
        assert found.verdict == "3 of 10 seeds survived: not compared"
        assert (found.low, found.high, found.interval) == (None, None, "–")
        assert found.shown[1] == "93.02 ± 0.04 (3/11)"
        assert verdict(["diverged"], 93.0).verdict == "0 of 1 seed survived: not compared"

    def test_within_the_tolerance_one_seed_is_enough(self):
        assert verdict([0.93], 93.0, tolerance=0.5).verdict == "within noise"
        assert verdict([0.93], 96.0, tolerance=0.5).verdict == "too few seeds"


class TestRows:
    ARMS = (arm("a"), arm("b", keep_prob=0.5), arm("c", name="sgdm", keep_prob=0.5))

    def test_each_published_value_finds_its_one_arm(self):
        where = {"optimizer.name": "adam", "optimizer.keep_prob": 0.5}
        (found,) = rows([{"where": where, "value": 93.77}], self.ARMS, {"b": [0.94, 0.95, 0.93]})
        assert (found.arm_id, found.label) == ("b", "b")
        assert found.difference == pytest.approx(0.0023)
        assert found.shown == ("93.77", "94.00 ± 1.00 (3)", "+0.23")

    @pytest.mark.parametrize(
        ("where", "said"),
        [({"optimizer.name": "adam"}, "several arms"), ({"dataset": "mnist"}, "no such arm")],
    )
    def test_a_value_of_no_or_of_several_arms_is_said_and_kept(self, where, said):
        (found,) = rows([{"where": where, "value": 93.0}], self.ARMS, {})
        assert (found.verdict, found.arm_id, found.ours) == (said, None, None)
        assert found.shown == ("93.00", "–", "–")

    def test_an_arm_of_other_settings_is_shown_and_not_judged(self):
        value = {"where": {"optimizer.name": "sgdm"}, "value": 93.0, "tolerance": 0.5}
        sample = {"c": [0.93, 0.93, 0.931]}
        own = {name: at for name, at in flatten(self.ARMS[2].config).items() if name != "model"}
        (found,) = rows([value], self.ARMS, sample, own)
        assert found.verdict == "within noise"
        other = own | {"epochs": 200, "dataset": "cifar10", "data.max_examples": None}
        (found,) = rows([value], self.ARMS, sample, other)
        assert found.verdict.startswith("other settings: ")
        assert f"epochs = {own['epochs']} (published: 200)" in found.verdict
        assert "(published: CIFAR-10)" in found.verdict
        assert "examples" not in found.verdict
        assert (found.low, found.high) == (None, None)
        assert found.shown[:2] == ("93.00", "93.03 ± 0.06 (3)")

    def test_a_part_of_the_numbers_was_measured_with_settings_of_its_own(self):
        """Catches: one number of epochs for MNIST and CIFAR-10, and so none at all."""
        values = [
            {"where": {"optimizer.name": "adam", "optimizer.keep_prob": 0.5}, "value": 93.0},
            {"where": {"optimizer.name": "sgdm"}, "value": 93.0},
        ]
        parts = [
            {"of": {"optimizer.name": "sgdm"}, "where": {"epochs": 200}},
            {"of": {"optimizer.name": "adam"}, "where": {"batch_size": 7}},
        ]
        adam, sgdm = rows(values, self.ARMS, {}, {"dataset": "cifar10"}, parts)
        for row, own, not_own in ((adam, "batch size", "epochs"), (sgdm, "epochs", "batch size")):
            assert "(published: CIFAR-10)" in row.verdict  # of the section, as before
            assert own in row.verdict
            assert not_own not in row.verdict

    def test_none_is_left_out_and_the_order_stays(self):
        values = [{"where": {"optimizer.keep_prob": p}, "value": p} for p in (0.9, 1.0, 0.5)]
        found = rows(values, self.ARMS, {})
        assert [each.verdict for each in found] == ["no such arm", "too few seeds", "several arms"]

    def test_a_partial_arm_says_how_many_seeds_it_has(self):
        where = {"optimizer.name": "sgdm"}
        sample = {"c": [0.9, 0.9, "diverged"]}
        (found,) = rows([{"where": where, "value": 90.0}], self.ARMS, sample)
        assert found.shown[1] == "90.00 ± 0.00 (2/3)"

    def test_a_condition_that_does_not_speak_for_itself_is_named(self):
        values = [{"where": {"batch_size": 128, "optimizer.keep_prob": 0.7}, "value": 90.0}]
        assert rows(values, self.ARMS, {})[0].label == "batch size = 128, LRD (keep_prob = 0.7)"
