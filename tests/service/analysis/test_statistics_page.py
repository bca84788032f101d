"""docs/statistics.md: the numbers it prints are those that the code computes."""

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import norm

from service.analysis.arms import ArmSummary, summarise
from service.analysis.comparisons import Comparison, compare
from service.analysis.contrasts import averaged
from service.analysis.paired import paired_statistics
from service.analysis.power import detectable_effect, seeds_needed
from service.analysis.resampling import sign_flip
from service.analysis.speed import compare_speed
from service.analysis.tables import build_table

from .cases import pair, series, trials

PAGE = (Path(__file__).parents[3] / "docs" / "statistics.md").read_text(encoding="utf-8")


def rows(head):
    """The rows below the table's head that starts so, as lists of cells."""
    lines = PAGE[PAGE.index(f"\n| {head} |") + 1 :].splitlines()[2:]
    found = []
    for line in lines:
        if not line.startswith("|"):
            return found
        found.append([cell.strip().strip("`") for cell in line.strip("|").split("|")])
    return found


def example():
    values = [(float(without), float(with_lrd)) for _, without, with_lrd in rows("seed")]
    observations = [
        *trials("plain", [without for without, _ in values]),
        *trials("lrd", [with_lrd for _, with_lrd in values]),
    ]
    summaries = summarise(pair(), observations)
    return summaries, compare(summaries, observations)


def test_the_worked_example_is_what_the_code_computes():
    _, (comparison,) = example()
    printed = rows("field | value")
    assert len(printed) == 13
    for name, value, *_ in printed:
        digits = len(value.lstrip("0.").replace(".", ""))
        assert float(f"{getattr(comparison, name):.{digits}g}") == float(value), name


def test_its_cells_read_as_printed():
    summaries, comparisons = example()
    found = build_table(summaries, comparisons, baseline=["optimizer.keep_prob"])
    plain, lrd = (row.cells[0] for row in found.rows)
    assert f"`{plain.text}`" in PAGE
    assert f"**`{lrd.text}`**†" in PAGE
    assert (lrd.best, lrd.significant) == (True, True)


@pytest.mark.parametrize("row", rows("pairs"), ids=lambda row: row[0])
def test_the_coverage_of_both_intervals_is_what_it_says(row):
    pairs, bca, t = (int(cell.removesuffix(" %")) for cell in row)
    repeats = 1000
    differences = np.random.default_rng(pairs).normal(1.0, 1.0, (repeats, pairs))
    found = paired_statistics(differences, np.zeros_like(differences))
    for low, high, percent in (("ci_low", "ci_high", bca), ("t_low", "t_high", t)):
        share = percent / 100
        covered = ((found[low] <= 1.0) & (found[high] >= 1.0)).mean()
        # Half of the last digit, and four standard errors.
        assert covered == pytest.approx(
            share, abs=0.005 + 4 * (share * (1 - share) / repeats) ** 0.5
        )


@pytest.mark.parametrize("row", rows("seeds of the settings"), ids=lambda row: row[0])
def test_the_coverage_of_an_effects_interval_is_what_it_says(row):
    """Catches: 81 % where one of two settings has two of ten seeds."""
    seeds, percent = [int(each) for each in row[0].split(",")], int(row[1].removesuffix(" %"))
    repeats = 1000
    shape = repeats, len(seeds), max(seeds)
    differences = np.random.default_rng(0).normal(1.0, 1.0, shape)
    for setting, count in enumerate(seeds):
        differences[:, setting, count:] = np.nan
    found = averaged(np.stack([differences, 0 * differences], axis=2))
    covered = np.mean([each["t_low"] <= 1.0 <= each["t_high"] for each in found])
    share = percent / 100
    assert covered == pytest.approx(share, abs=0.005 + 4 * (share * (1 - share) / repeats) ** 0.5)


@pytest.mark.parametrize("row", rows("seeds of the second setting"), ids=lambda row: row[0])
def test_how_often_a_mean_of_nothing_is_marked_is_what_it_says(row):
    seeds, percent = int(row[0]), int(row[1].removesuffix(" %"))
    repeats = 1000
    differences = np.random.default_rng(seeds).normal(0.0, 1.0, (repeats, 2, 10))
    differences = differences * [[1.0], [4.0]] + [[1.0], [-1.0]]
    differences[:, 1, seeds:] = np.nan
    found = averaged(np.stack([differences, 0 * differences], axis=2))
    marked = np.mean([each["p_sign_flip"] < 0.05 for each in found])
    share = percent / 100
    assert marked == pytest.approx(share, abs=0.005 + 4 * (share * (1 - share) / repeats) ** 0.5)


@pytest.mark.parametrize("row", rows("points of noise: baseline, arm"), ids=lambda row: row[0])
def test_how_much_faster_noise_looks_is_what_it_says(row):
    """Catches: a speed of which half is noise, and a page that says nothing of it."""
    noise, value = [float(each) / 100 for each in row[0].split(",")], row[1].removesuffix(" %")
    repeats, random = 100, np.random.default_rng(0)
    mean = 0.93 - 0.3 * np.exp(-np.arange(1, 101) / 10)
    found = []
    for _ in range(repeats):
        curves = [
            series(arm, seed, (mean + spread * random.standard_normal(100)).tolist())
            for arm, spread in zip(("plain", "lrd"), noise, strict=True)
            for seed in range(10)
        ]
        (against,) = compare_speed(
            pair(), curves, metric="test_accuracy", threshold=float(value) / 100
        )
        found.append((against.epoch_ratio, against.faster, against.slower))
    said = [row[2], *row[3].split(", ")]
    for numbers, text in zip(zip(*found, strict=True), said, strict=True):
        digit = 0.5 * 10 ** -len(text.partition(".")[2])
        error = np.std(numbers) / repeats**0.5
        assert np.mean(numbers) == pytest.approx(float(text), abs=digit + 4 * error)


def test_planning_is_what_it_says():
    assert [seeds_needed(m) for m in (1, 2, 5, 10)] == [6, 7, 8, 9]
    for seeds, effect in ((3, 3.26), (5, 1.68), (10, 1.00)):
        assert f"{effect:.2f} for {seeds}" in PAGE
        assert detectable_effect(seeds) == pytest.approx(effect, abs=0.005)


def test_how_often_the_fewest_seeds_find_what_the_t_test_finds_is_what_it_says():
    """All pairs have to agree, each with the probability that a normal difference has its sign."""
    families = {m: seeds_needed(m) for m in range(1, 27)}
    found = [
        100 * norm.cdf(detectable_effect(seeds, 0.05 / m)) ** seeds for m, seeds in families.items()
    ]
    page = " ".join(PAGE.split())
    assert f"in {found[0]:.0f} % of sweeps of one comparison" in page
    assert f"in {min(found):.0f} to {max(found):.0f} % of those of up to 26" in page
    assert "it does so in 74 to 77 %" in page
    repeats, random = 1000, np.random.default_rng(0)
    for m in (1, 7, 13, 26):
        seeds, level = families[m] + 2, 0.05 / m
        differences = random.normal(detectable_effect(seeds, level), 1.0, (repeats, seeds))
        marked = np.mean(sign_flip(differences, np.full(repeats, 1e-9)) < level)
        assert 0.735 - 4 * 0.014 <= marked <= 0.775 + 4 * 0.014


@pytest.mark.parametrize("row", rows("loss of a seed that collapses"), ids=lambda row: row[0])
def test_how_often_a_rare_collapse_is_marked_is_what_it_says(row):
    """Catches: "10 to 18 %" of a collapse of 10 standard deviations, where a real one is larger."""
    loss, random = float(row[0].partition(" s")[0]), np.random.default_rng(1)
    for seeds, cell, repeats in zip((6, 10, 20), row[1:], (4000, 4000, 1000), strict=True):
        plain, other = random.standard_normal((2, repeats, seeds))
        other += 0.1 * loss - loss * (random.random((repeats, seeds)) < 0.1)
        marked = np.mean(sign_flip(other - plain, np.full(repeats, 1e-9)) < 0.05)
        share = int(cell.removesuffix(" %")) / 100
        error = (share * (1 - share) / repeats) ** 0.5
        assert marked == pytest.approx(share, abs=0.005 + 4 * error)


def test_the_best_of_fifty_epochs_reads_as_much_too_high_as_it_says():
    epochs = np.random.default_rng(0).normal(93.0, 0.3, (2000, 50))
    assert f"{epochs.max(axis=1).mean():.1f}" == "93.7"
    assert "the best reads 93.7 on average" in " ".join(PAGE.split())


def test_every_field_of_an_arm_and_of_a_comparison_is_explained():
    explained = {name for name in ArmSummary.__dataclass_fields__ if f"`{name}`" in PAGE}
    assert ArmSummary.__dataclass_fields__.keys() - explained == {"arm", "missing"}
    explained = {name for name in Comparison.__dataclass_fields__ if f"`{name}`" in PAGE}
    assert Comparison.__dataclass_fields__.keys() - explained <= {
        "arm_id", "arm", "baseline_id", "baseline", "differs_in", "metric", "higher_is_better",
        "baseline_diverged",
    }  # fmt: skip
