"""The table of comparisons in each of its forms."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from service.analysis import listings
from service.analysis.arms import summarise
from service.analysis.comparison_table import ALONE, NONE, ComparisonTable
from service.analysis.comparisons import compare
from service.analysis.data import ArmInfo
from service.analysis.metrics import Metric

from . import latex
from .cases import Value, arm, pair, trials

SEEDS = range(6)
PLAIN: list[Value] = [0.9 + seed / 1000 for seed in SEEDS]
BETTER: list[Value] = [0.91 + seed / 500 for seed in SEEDS]


def made(
    arms: Sequence[ArmInfo],
    values: Mapping[str, Sequence[Value]],
    *,
    metric: str = "test_accuracy",
    baseline: Sequence[str] = ("optimizer.keep_prob",),
) -> ComparisonTable:
    observations = [trial for key, some in values.items() for trial in trials(key, some)]
    summaries = summarise(arms, observations)
    compared = compare(summaries, observations, metric=metric, baseline=baseline)
    return ComparisonTable(
        tuple(compared), tuple(summaries), Metric(metric), "last", tuple(baseline), ("By the way.",)
    )


def table() -> ComparisonTable:
    return made(pair(), {"plain": PLAIN, "lrd": BETTER})


def two_optimizers(label: str = "sgdm") -> ComparisonTable:
    arms = [
        arm(f"{name}{tail}", name=name, keep_prob=p, baseline=p == 1.0)
        for name in ("adam", label)
        for p, tail in ((1.0, ""), (0.5, " lrd"))
    ]
    return made(arms, {each.id: BETTER if "lrd" in each.label else PLAIN for each in arms})


def test_markdown_reads_as_it_is() -> None:
    lines = listings.markdown(table()).splitlines()
    assert lines[0] == (
        "Test accuracy, last epoch: each arm minus the baseline (plain); FCNet on digits, 5 epochs"
    )
    assert lines[2] == (
        "| arm | difference (percentage points) | 95 % t interval | wins-ties-losses | n | p | "
        "p (Holm) |"
    )
    assert lines[4] == "| lrd | +1.25† | +1.05 to +1.45 | 6-0-0 | 6 | 0.031 | 0.031 |"
    notes = lines[6:]
    assert notes[0].startswith("- Difference: the mean over the n seeds that gave a number in both")
    assert notes[0].endswith("Higher is better.")
    assert notes[1].startswith("- Wins-ties-losses: seeds on which the arm is better, equal, worse")
    assert notes[2:] == [
        "- † p < 0.05 against the baseline (plain): exact two-sided paired sign-flip test.",
        "- By the way.",
    ]


def test_of_several_baselines_the_caption_says_what_they_share() -> None:
    found = two_optimizers()
    assert "each arm minus the baseline (without LRD, otherwise equal)" in found.caption
    assert found.heads[0] == "arm"
    assert [line.cells[0] for line in found.lines] == ["adam lrd", "sgdm lrd"]


def test_of_several_baselines_that_share_nothing_each_line_names_its_own() -> None:
    """Catches: a difference from nobody knows what."""
    found = replace(two_optimizers(), baseline=())
    assert "each arm minus its baseline; FCNet" in found.caption
    assert found.heads[0] == "arm − its baseline"
    assert [line.cells[0] for line in found.lines] == ["adam lrd − adam", "sgdm lrd − sgdm"]
    assert [line.name for line in found.lines] == ["adam lrd", "sgdm lrd"]


def test_differences_of_other_metrics_are_in_their_own_unit() -> None:
    """Catches: percentage points of a loss."""
    found = made(pair(), {"plain": PLAIN, "lrd": BETTER}, metric="test_loss")
    assert found.heads[1] == "difference"
    assert found.lines[0].cells[1:4] == ("+0.0125†", "+0.0105 to +0.0145", "0-0-6")
    assert found.notes[0].endswith("Lower is better.")


def test_an_arm_that_diverged_on_every_seed_has_lost_them() -> None:
    """Catches: a line left out, and the losses kept back."""
    found = made(pair(), {"plain": PLAIN[:3], "lrd": ["diverged"] * 3})
    assert found.lines[0].cells == ("lrd", "–", "–", "0-0-3", "0", "–", "–")
    assert any("counting a diverged seed as lost: wins 0, losses 3" in note for note in found.notes)


def test_what_lacks_seeds_is_told() -> None:
    found = made(pair(), {"plain": PLAIN, "lrd": [*BETTER[:4], "oom", "queued"]})
    assert found.lines[0].cells[4] == "4"
    assert any(note.startswith("lrd: ") and "oom" in note for note in found.notes)


def test_without_a_baseline_it_says_how_to_name_one() -> None:
    """Catches: an empty answer."""
    alone = ComparisonTable((), table().summaries, Metric("test_accuracy"), "last")
    assert listings.markdown(alone) == f"- {NONE}\n"
    assert "--baseline" in NONE
    assert listings.csv(alone).count("\n") == 1


def test_of_one_arm_it_names_no_way_that_leads_nowhere() -> None:
    """Catches: advice to ask for a baseline, when the only arm as the baseline gives the same."""
    for is_baseline in (True, False):
        found = made([arm("one", baseline=is_baseline)], {"one": PLAIN})
        assert found.notes == [ALONE]


def test_csv_has_all_of_it_to_the_last_bit() -> None:
    found = made(pair(), {"plain": PLAIN, "lrd": [*BETTER[:5], "diverged"]})
    (row,) = csv.DictReader(io.StringIO(listings.csv(found)))
    (each,) = found.comparisons
    for name in ("difference", "std", "t_low", "ci_high", "p_sign_flip", "p_wins", "g_z"):
        assert row[name] == repr(getattr(each, name))
    assert (row["arm"], row["baseline"], row["metric"], row["at"]) == (
        "lrd", "plain", "test_accuracy", "last",
    )  # fmt: skip
    assert row["left_out"] == "arm: diverged: 5"
    assert (row["flips"], row["significant"]) == ("", "false")


@pytest.mark.parametrize("label", ["a_b$", r"\input{x}", "<b>", "|", "%", "=1+1"])
def test_a_name_is_text_in_each_form(label: str) -> None:
    found = replace(two_optimizers(label), baseline=())
    source = listings.latex(found)
    latex.check(source)
    assert latex.cells(source)[2][0].split() == f"{label} lrd − {label}".split()
    rows = list(csv.reader(io.StringIO(listings.csv(found))))
    assert not any(cell.startswith("=") for row in rows for cell in row)


def test_latex_is_whole_and_reads_as_the_other_forms_do() -> None:
    found = table()
    source = listings.latex(found, {"sweep": "a_b {"}, name="4m94")
    latex.check(source)
    assert r"\label{tab:4m94-comparisons-test-accuracy-last}" in source
    assert source.startswith("% sweep: a_b {\n% By the way.\n")
    assert latex.cells(source)[1:] == [list(line.cells) for line in found.lines]


def test_json_is_json_and_has_every_field() -> None:
    found = listings.to_json(table())
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert (found["unit"], found["scale"]) == ("percentage points", 100)
    assert {"differs_in", "significant", "better", "ci_low"} <= found["items"][0].keys()
