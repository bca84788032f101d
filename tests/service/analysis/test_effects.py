"""Main effects and interactions: by hand, against statsmodels, and where something is missing."""

import itertools
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.formula import api as smf
from statsmodels.stats.anova import AnovaRM

from service.analysis.arms import summarise
from service.analysis.baselines import compared_with
from service.analysis.comparisons import compare
from service.analysis.data import ArmInfo
from service.analysis.effects import effects_of

from .cases import arm, trials
from .factorial import KEEP_PROB, KINDS, SD, by_name, grid, observed, random


class TestNumbers:
    def test_by_hand(self) -> None:
        # y = 1 + 2 SD + 3 NG + 4 SD·NG + seed/8: SD does 2 without NG and 6 with it.
        arms = grid("SD", "NG")
        found = by_name(
            effects_of(
                arms,
                observed(
                    arms,
                    2,
                    lambda on, seed: (
                        1
                        + 2 * ("SD" in on)
                        + 3 * ("NG" in on)
                        + 4 * (on == {"SD", "NG"})
                        + seed / 8
                    ),
                ),
                metric="score",
            )
        )
        assert list(found) == ["SD", "NG", "SD × NG"]
        assert [effect.difference for effect in found.values()] == [4.0, 5.0, 4.0]
        assert [effect.settings for effect in found.values()] == [2, 2, 1]
        assert [effect.kind for effect in found.values()] == ["main", "main", "interaction"]
        assert found["SD"].std == 0
        assert found["SD × NG"].factors == ("regularizers.SD", "regularizers.NG")
        assert found["SD × NG"].references == ("no SD", "no NG")

    @pytest.mark.parametrize("seeds", [3, 6, 11])
    def test_agrees_with_an_analysis_of_variance_of_repeated_measures(self, seeds: int) -> None:
        """Of two levels each F is the square of our t; an independent implementation."""
        arms = grid("SD", "NG", "NL")
        value = random(seeds)
        found = by_name(effects_of(arms, observed(arms, seeds, value)))
        rows = [
            {kind: kind in on for kind in KINDS} | {"seed": seed, "y": value(on, seed)}
            for count in range(4)
            for on in map(set, itertools.combinations(KINDS, count))
            for seed in range(seeds)
        ]
        table = AnovaRM(pd.DataFrame(rows), "y", "seed", within=list(KINDS)).fit().anova_table
        assert len(found) == 6
        for name, effect in found.items():
            expected = table.loc[name.replace(" × ", ":")]
            assert effect.p_t == pytest.approx(expected["Pr > F"], rel=1e-8)
            t = (effect.d_z or 0) * math.sqrt(effect.n)
            assert t**2 == pytest.approx(expected["F Value"], rel=1e-8)

    def test_the_sign_flip_test_is_scipys_exact_permutation_test_of_the_seeds(self) -> None:
        arms, value = grid("SD", "NG"), random(1)
        found = by_name(effects_of(arms, observed(arms, 7, value)))
        differences = [
            (value({"SD"}, seed) - value(set(), seed) + value({"SD", "NG"}, seed)
             - value({"NG"}, seed)) / 2
            for seed in range(7)
        ]  # fmt: skip
        oracle = stats.permutation_test(
            (differences,), np.sum, permutation_type="samples", n_resamples=np.inf
        )
        interval = stats.ttest_1samp(differences, 0).confidence_interval(0.95)
        assert found["SD"].p_sign_flip == pytest.approx(oracle.pvalue, rel=1e-12)
        assert (found["SD"].t_low, found["SD"].t_high) == pytest.approx(interval, rel=1e-9)

    def test_what_adds_up_but_for_rounding_has_no_interaction(self) -> None:
        # Catches: "−0.00", better or worse by a bit: 0.1 + 0.2 is not 0.3.
        arms = grid("SD", "NG")
        meeting = effects_of(
            arms, observed(arms, 3, lambda on, seed: 0.1 * ("SD" in on) + 0.2 * ("NG" in on) + 0.7)
        )[-1]
        assert (meeting.difference, meeting.better, meeting.std) == (0.0, None, 0.0)

    def test_over_one_setting_it_is_the_comparison(self) -> None:
        # One regularizer at a time: an effect has no other setting to be averaged over.
        arms = [each for each in grid("SD", "NG") if each.id != "SD+NG"]
        observations = observed(arms, 6, random(2))
        found = by_name(effects_of(arms, observations))
        marked = compared_with(arms, "none")
        single = compare(summarise(marked, observations), observations, baseline=[])
        assert list(found) == ["SD", "NG"]  # no arm has both: nothing is known of their meeting
        for comparison in single:
            effect = found[comparison.arm]
            assert effect.settings == 1
            for field in ("difference", "std", "t_low", "t_high", "p_sign_flip", "p_holm", "p_t"):
                assert getattr(effect, field) == pytest.approx(getattr(comparison, field))


class TestSettings:
    def test_a_hole_in_the_grid_is_no_setting(self) -> None:
        # Catches: an arm set against one that differs in more than the factor.
        arms = [each for each in grid("SD", "NG", "NL") if each.id != "SD+NG"]
        found = by_name(effects_of(arms, observed(arms, 2, random(3))))
        settings = {name: effect.settings for name, effect in found.items()}
        assert settings == {
            "SD": 3, "NG": 3, "NL": 3, "SD × NG": 1, "SD × NL": 1, "NG × NL": 1,
        }  # fmt: skip

    def test_of_several_levels_each_is_held_against_the_reference(self) -> None:
        arms = [
            arm(f"{p} {name}", keep_prob=p, name=name)
            for p in (1.0, 0.7, 0.5)
            for name in ("adam", "sgdm")
        ]
        values = {"1.0": 0.0, "0.7": 1.0, "0.5": 3.0}
        observations = [
            trial
            for each in arms
            for trial in trials(
                str(each.id), [values[str(each.id)[:3]] + 8 * ("sgdm" in str(each.id))]
            )
        ]
        found = effects_of(arms, observations, metric="score", baseline=KEEP_PROB)
        assert {effect.name: effect.difference for effect in found} == {
            "LRD (keep_prob = 0.7)": 1.0,
            "LRD (keep_prob = 0.5)": 3.0,
            "SGDM − Adam": 8.0,
            "LRD (keep_prob = 0.7) × (SGDM − Adam)": 0.0,
            "LRD (keep_prob = 0.5) × (SGDM − Adam)": 0.0,
        }

    def test_what_it_is_in_its_settings_stands_beside_it(self) -> None:
        # SD does 1 alone, 3 with NG: of the main effect the ends, of the meeting without and with.
        arms = grid("SD", "NG")
        for sign in (1.0, -1.0):
            observations = observed(
                arms,
                2,
                lambda on, seed, sign=sign: sign * (("SD" in on) + 2 * (on == {"SD", "NG"})),
            )
            found = by_name(effects_of(arms, observations, metric="score"))
            ends = sorted((sign, 3 * sign))
            assert [found["SD"].lowest, found["SD"].highest] == ends
            assert [found["SD × NG"].lowest, found["SD × NG"].highest] == [sign, 3 * sign]

    def test_interactions_with_what_the_sweep_is_about_are_tested_and_others_looked_at(
        self,
    ) -> None:
        arms = [
            arm(
                f"{p} {'+'.join(chosen)}",
                keep_prob=p,
                regularizers=[KINDS[kind] for kind in chosen],
            )
            for p in (1.0, 0.5)
            for chosen in ((), ("SD",), ("NG",), ("SD", "NG"))
        ]
        observations = [
            trial
            for at, each in enumerate(arms)
            for trial in trials(str(each.id), [float(at == 7) + seed / 8 for seed in range(9)])
        ]
        for baseline, tested in ((KEEP_PROB, 2), ([], 3)):
            found = effects_of(arms, observations, metric="score", baseline=baseline)
            asked = [each for each in found if each.kind == "interaction" and each.asked]
            assert len(asked) == tested
            assert {effect.p_holm for effect in asked} == {tested * 2 / 2**9}
        last = effects_of(arms, observations, metric="score", baseline=KEEP_PROB)[-1]
        assert (last.name, last.p_sign_flip, last.p_holm) == ("SD × NG", 2 / 2**9, None)
        assert not last.significant

    def test_data_sets_are_never_averaged(self) -> None:
        arms = [
            arm(f"{data}+{kinds}", dataset=data, keep_prob=p, regularizers=regularizers)
            for data in ("mnist", "digits")
            for p in (1.0, 0.5)
            for kinds, regularizers in ((f"{p}", []), (f"{p} SD", [SD]))
        ]
        found = effects_of(arms, observed(arms, 2, random(4)), baseline=KEEP_PROB)
        assert [effect.name for effect in found if effect.kind == "main"] == [
            "MNIST: LRD (keep_prob = 0.5)", "MNIST: SD",
            "digits: LRD (keep_prob = 0.5)", "digits: SD",
        ]  # fmt: skip
        assert {effect.settings for effect in found if effect.kind == "main"} == {2}
        assert found[0].where == {"dataset": "mnist"}

    @pytest.mark.parametrize("arms", [[], [arm("a")], [arm("a"), arm("b", lr=0.1)]], ids=len)
    def test_one_factor_has_its_comparisons_and_no_effect(self, arms: list[ArmInfo]) -> None:
        observations = [trial for each in arms for trial in trials(str(each.id), [0.5, 0.6])]
        assert effects_of(arms, observations) == []


class TestSeeds:
    def test_a_seed_counts_in_the_settings_in_which_it_is_whole(self) -> None:
        # Catches: one trial out of memory that takes its seed from all effects of a grid; a mean
        # over more settings of one arm than of its opposite.
        arms, value = grid("SD", "NG"), random(5)
        lost = {("NG", 1): "oom", ("SD+NG", 2): "running", ("none", 3): "diverged"}
        found = by_name(
            effects_of(
                arms,
                observed(
                    arms,
                    6,
                    lambda on, seed: lost.get(
                        ("+".join(sorted(on, reverse=True)) or "none", seed), value(on, seed)
                    ),
                ),
            )
        )

        def mean(seeds: set[int], one: set[str], other: set[str]) -> float:
            return float(np.mean([value(one, seed) - value(other, seed) for seed in seeds]))

        assert found["SD"].difference == pytest.approx(
            (
                mean({0, 1, 2, 4, 5}, {"SD"}, set())
                + mean({0, 3, 4, 5}, {"SD", "NG"}, {"NG"})
            ) / 2
        )  # fmt: skip
        assert (found["SD"].n, found["SD"].n_least) == (6, 4)
        for effect in found.values():
            assert effect.left_out == {"failed: oom": (1,), "running": (2,), "diverged": (3,)}
            assert effect.diverged == 1
        assert (found["SD × NG"].n, found["SD × NG"].n_least) == (3, 3)

    def test_its_standard_error_is_clustered_by_seed(self) -> None:
        """Against statsmodels' sandwich, of a regression on the settings, each one's residuals
        brought to the size that they have of many seeds. Catches: those of few as they are."""
        rng, arms, n = np.random.default_rng(7), grid("SD", "NG", "NL"), 9
        lost = {(arm.id, seed) for arm in arms for seed in range(n) if rng.random() < 0.15}
        numbers = {
            (str(arm.id), seed): float(rng.normal(seed, 1)) for arm in arms for seed in range(n)
        }
        observations = [
            trial
            for each in arms
            for trial in trials(
                str(each.id),
                [
                    "oom" if (each.id, seed) in lost else numbers[str(each.id), seed]
                    for seed in range(n)
                ],
            )
        ]
        effect = by_name(effects_of(arms, observations, metric="score"))["SD"]
        opposite = {"SD": "none", "SD+NG": "NG", "SD+NL": "NL", "SD+NG+NL": "NG+NL"}
        rows = [
            {"d": numbers[one, seed] - numbers[other, seed], "setting": one, "seed": seed}
            for one, other in opposite.items()
            for seed in range(n)
            if not lost & {(one, seed), (other, seed)}
        ]
        table = pd.DataFrame(rows)
        of_setting = table.groupby("setting")["d"]
        mean, size = of_setting.transform("mean"), of_setting.transform("size")
        table["d"] = mean + (table["d"] - mean) * np.sqrt(size / (size - 1))
        fitted = smf.ols("d ~ 0 + setting", table).fit(
            cov_type="cluster", cov_kwds={"groups": table["seed"], "use_correction": False}
        )
        error = math.sqrt(fitted.cov_params().to_numpy().sum()) / 4
        assert effect.difference == pytest.approx(fitted.params.mean())
        assert effect.std == pytest.approx(error * math.sqrt(n))
        assert 2 < effect.n_least < n
        half = stats.t.ppf(0.975, effect.n_least - 1) * error
        assert effect.t_high == pytest.approx(fitted.params.mean() + half)

    def test_a_setting_with_one_seed_leaves_no_interval(self) -> None:
        """Catches: a setting that adds nothing to the error, for its only residual is 0: 95 %
        intervals that held the truth in 49 % of cases, or of no width at all."""
        arms, value = grid("SD", "NG"), random(9)
        observations = observed(
            arms, 9, lambda on, seed: "oom" if on == {"SD", "NG"} and seed else value(on, seed)
        )
        effect = by_name(effects_of(arms, observations))["SD"]
        assert (effect.settings, effect.n, effect.n_least) == (2, 9, 1)
        assert effect.t_low is effect.t_high is effect.std is effect.p_t is effect.d_z is None
        assert effect.difference is not None
        assert effect.p_sign_flip is not None

    def test_a_setting_without_a_whole_seed_is_left_out_and_said_to_be(self) -> None:
        arms, value = grid("SD", "NG"), random(8)
        observations = observed(
            arms, 4, lambda on, seed: "diverged" if on == {"SD", "NG"} else value(on, seed)
        )
        found = by_name(effects_of(arms, observations))
        assert (found["SD"].planned, found["SD"].settings, found["SD"].n) == (2, 1, 4)
        assert (found["SD × NG"].settings, found["SD × NG"].difference) == (0, None)

    def test_a_seed_that_an_arm_never_had_is_left_out(self) -> None:
        arms = grid("SD", "NG")
        observations = observed(arms, 3, random(6))
        del observations[2]
        found = effects_of(arms, observations)
        assert {effect.n_least for effect in found} == {2}
        assert found[0].left_out == {"not planned": (2,)}

    @pytest.mark.parametrize(("where", "is_marked"), [("SD", False), ("none", True)])
    def test_what_is_better_because_its_worst_seeds_diverged_is_not_marked(
        self, where: str, is_marked: bool
    ) -> None:
        arms = grid("SD", "NG")

        def value(on: set[str], seed: int) -> Any:
            diverges = seed == 9 and ("+".join(sorted(on)) or "none") == where
            return "diverged" if diverges else 1.0 * ("SD" in on) + seed / 8

        found = by_name(effects_of(arms, observed(arms, 10, value), metric="score"))
        effect = found["SD"]
        assert (effect.n, effect.n_least, effect.better) == (10, 9, True)
        assert effect.p_holm == 2 * 2 / 2**10
        assert (effect.survivors_only, effect.significant) == (not is_marked, is_marked)

    @pytest.mark.parametrize("lost", ["diverged", "oom"])
    def test_what_diverged_on_both_sides_is_held_against_neither(self, lost: str) -> None:
        """Catches: a rate at which all arms diverge, and no effect of any grid over it marked."""
        arms, value = grid("SD", "NG"), random(11)

        def told(on: set[str], seed: int) -> Any:
            ends = "diverged" if "SD" in on else lost
            return ends if "NG" in on and seed < 8 else value(on, seed) + ("SD" in on)

        effect = by_name(effects_of(arms, observed(arms, 10, told), metric="score"))["SD"]
        assert (effect.n, effect.n_least, effect.better) == (10, 2, True)
        assert effect.diverged == (16 if lost == "diverged" else 8)
        assert not effect.survivors_only
        assert effect.significant

    def test_a_setting_in_which_the_better_side_always_diverged_is_held_against_it(self) -> None:
        """Catches: a setting that is out of the mean, and out of mind."""
        arms, value = grid("SD", "NG"), random(12)

        def told(on: set[str], seed: int) -> Any:
            return "diverged" if on == {"SD", "NG"} else value(on, seed) + ("SD" in on)

        effect = by_name(effects_of(arms, observed(arms, 10, told), metric="score"))["SD"]
        assert (effect.settings, effect.better, effect.survivors_only) == (1, True, True)
        assert not effect.significant

    @pytest.mark.parametrize("where", [set(), {"SD"}], ids=["neither", "one"])
    def test_an_interaction_is_never_marked_where_an_arm_diverged(self, where: set[str]) -> None:
        # Of either side: what is added and what is subtracted.
        arms = grid("SD", "NG")

        def value(on: set[str], seed: int) -> Any:
            if seed == 9 and on == where:
                return "diverged"
            return 1.0 * (on == {"SD", "NG"})

        meeting = by_name(effects_of(arms, observed(arms, 10, value), metric="score"))["SD × NG"]
        assert (meeting.difference, meeting.p_holm) == (1.0, 2 / 2**9)
        assert not meeting.significant

    def test_without_a_whole_seed_all_is_unknown(self) -> None:
        arms = grid("SD", "NG")
        found = effects_of(arms, observed(arms, 3, lambda on, seed: "diverged" if on else 0.5))
        assert {effect.n for effect in found} == {0}
        for effect in found:
            assert (effect.difference, effect.p_holm, effect.better) == (None, None, None)
            assert (effect.t_low, effect.settings) == (None, 0)
        assert found[0].tested == "n = 0, diverged: 9"

    def test_nothing_is_tested_where_no_seed_changes_anything(self) -> None:
        arms = [
            arm(f"{lr} {size}", dataset="surface", lr=lr, batch_size=size)
            for lr in (0.1, 0.2)
            for size in (1, 2)
        ]
        observations = [trial for each in arms for trial in trials(str(each.id), [0.5] * 9)]
        for effect in effects_of(arms, observations):
            assert (effect.n, effect.p_sign_flip, effect.p_holm) == (9, None, None)
