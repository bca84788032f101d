"""The table of effects in each of its forms."""

import csv
import io
import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from lrd_core.titles import KEEP_PROB
from service.analysis import effect_table, listings, render
from service.analysis.data import ArmInfo
from service.analysis.effect_table import EffectTable
from service.analysis.effects import effects_of
from service.analysis.factors import designs
from service.analysis.metrics import Metric
from service.drawing import captions

from . import latex
from .cases import Value, arm, trials

SD, NG = {"kind": "SD", "keep_prob": 0.9}, {"kind": "NG"}


def table(seeds: int = 9, *, metric: str = "test_accuracy", name: str = "adam") -> EffectTable:
    """LRD, SD and NG, on and off; LRD does 1 point alone and 0.5 with SD."""
    arms = [
        arm(f"{p} {len(chosen)} {at}", keep_prob=p, regularizers=chosen, name=name)
        for p in (1.0, 0.5)
        for at, chosen in enumerate(([], [SD], [NG], [SD, NG]))
    ]
    observations = []
    for each in arms:
        lrd, sd = each.config["optimizer"]["keep_prob"] == 0.5, SD in each.config["regularizers"]
        values: list[Value] = [
            0.9 + 0.01 * lrd + 0.002 * sd - 0.005 * (lrd and sd) + seed / 1000
            for seed in range(seeds)
        ]
        observations += trials(str(each.id), values)
    found = effects_of(arms, observations, metric=metric, baseline=[KEEP_PROB])
    return EffectTable(tuple(found), Metric(metric), "last", "FCNet on digits", ("By the way.",))


EMPTY = EffectTable((), Metric("test_accuracy"), "last", advice=("By the way.",))


def test_markdown_reads_as_it_is() -> None:
    lines = listings.markdown(table()).splitlines()
    assert lines[0] == "Effect of each factor on test accuracy, last epoch; FCNet on digits"
    assert lines[2] == (
        "| factor | effect (percentage points) | 95 % t interval | in its settings | settings | n "
        "| p | p (Holm) |"
    )
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[4:10]]
    assert rows[0] == [
        "LRD (keep_prob = 0.5)", "+0.75†", "+0.75 to +0.75", "+0.50 to +1.00", "4", "9", "0.0039",
        "0.012",
    ]  # fmt: skip
    assert rows[3] == [
        "LRD (keep_prob = 0.5) × SD", "−0.50†", "−0.50 to −0.50", "+1.00 → +0.50", "2", "9",
        "0.0039", "0.0078",
    ]  # fmt: skip
    assert [row[-1] for row in rows[4:]] == ["1", "–"]  # SD × NG is only looked at
    notes = "\n".join(lines[11:])
    assert "Holm-adjusted over 3 main effects and, separately, over 2 interactions with" in notes
    assert "The p of the other 1 interaction is not adjusted and marks nothing." in notes
    assert notes.endswith("- By the way.")


def test_without_effects_it_says_why() -> None:
    assert listings.markdown(EMPTY) == f"- {effect_table.NONE}\n- By the way.\n"
    assert listings.to_json(EMPTY)["notes"] == [effect_table.NONE, "By the way."]


def of_arms(arms: Sequence[ArmInfo]) -> EffectTable:
    """Effects of these arms, all with the same numbers."""
    observations = [trial for each in arms for trial in trials(str(each.id), [0.5, 0.6])]
    found = effects_of(arms, observations, baseline=[KEEP_PROB])
    return EffectTable(
        tuple(found),
        Metric("test_accuracy"),
        "last",
        designs=tuple(designs(arms, [KEEP_PROB])),
    )


def test_a_grid_of_models_and_p_has_no_effects_for_another_reason() -> None:
    """Catches: "differ in one factor, or in none", of arms that differ in model and keep_prob."""
    arms = [
        arm(f"{data} {model} {p}", dataset=data, model=model, keep_prob=p)
        for data in ("digits", "mnist")
        for model in ("fcnet", "resnet34")
        for p in (1.0, 0.5)
    ]
    for some, what in ((arms[:4], "Models"), (arms, "Data sets and models")):
        (note,) = of_arms(some).notes
        assert note.startswith(f"{what} are never averaged over, and the arms of each differ in")
    apart = [arm(f"{size}", keep_prob=0.5, batch_size=size) for size in (64, 128)]
    assert of_arms([arm("32", batch_size=32), *apart]).notes == [
        "No two arms differ in just one factor, between its reference and another level, so no "
        "factor has an effect. Effects are for grids of several factors."
    ]
    assert of_arms(arms[:2]).notes == [effect_table.NONE]
    assert of_arms(arms[:1]).notes == ["The sweep has one arm, so no factor has an effect."]


def test_arms_in_no_effect_are_named() -> None:
    """Catches: an explicit arm that differs in something else, left out without a word."""
    arms = [
        arm(f"{p} {size}", keep_prob=p, batch_size=size) for p in (1.0, 0.5) for size in (32, 64)
    ]
    found = of_arms(arms)
    assert found.effects
    assert not any("In no effect" in note for note in found.notes)
    others = [arm(f"else {at}", batch_size=100 + at, epochs=6 + at) for at in range(7)]
    alone = arm("alone", model="resnet34")
    assert [note for note in of_arms([*arms, *others, alone]).notes if "In no effect" in note] == [
        "In no effect, because no arm differs from them in just one factor, between its reference "
        "and another level: else 0, else 1, else 2, else 3, else 4 and 2 more.",
        "In no effect, because the arms of their data set and model differ in one factor, or in "
        "none: alone.",
    ]


def test_few_seeds_are_told_before_anybody_wonders_about_the_daggers() -> None:
    notes = table(5).notes
    assert any("None is marked at p < 0.05" in note for note in notes)
    assert "5 seeds cannot reach p < 0.05 over 3 main effects, whatever the data; 7 can." in notes
    assert not any("cannot reach" in note for note in table(9).notes)


def test_what_is_missing_is_told() -> None:
    arms = [arm(key, regularizers=value) for key, value in {
        "none": [], "sd": [SD], "ng": [NG], "both": [SD, NG]}.items()]  # fmt: skip
    values: dict[str, list[Value]] = {each: [0.5, 0.6, 0.7] for each in ("none", "sd", "ng")}
    values["both"] = ["diverged", "diverged", "diverged"]
    values["ng"][2] = "oom"
    observations = [trial for key, some in values.items() for trial in trials(key, some)]
    made = EffectTable(tuple(effects_of(arms, observations)), Metric("test_accuracy"), "best")
    rows = {line.name: line.cells for line in made.lines}
    assert rows["SD"][4:6] == ("1/2", "3")
    assert rows["NG"][4:6] == ("1/2", "2")
    assert rows["SD × NG"][1:6] == ("–", "–", "–", "0/1", "0")
    assert (
        "A setting counts the seeds with a number in all of its arms; a setting with no such seed "
        "is left out. Without a number in some arm: diverged: seeds 0, 1, 2; failed: oom: seed 2."
    ) in made.notes


def test_why_an_effect_has_no_interval_is_told() -> None:
    """Catches: a dash without a reason, where eight of nine seeds stand beside it."""
    arms = [arm(key, regularizers=value) for key, value in {
        "none": [], "sd": [SD], "ng": [NG], "both": [SD, NG]}.items()]  # fmt: skip
    values: dict[str, list[Value]] = {each: [0.5, 0.61, 0.7] for each in ("none", "sd", "ng")}
    values["both"] = [0.8, "oom", "oom"]
    observations = [trial for key, some in values.items() for trial in trials(key, some)]
    made = EffectTable(tuple(effects_of(arms, observations)), Metric("test_accuracy"), "last")
    assert {line.cells[2] for line in made.lines} == {"–"}
    assert made.lines[0].cells[5] == "1 to 3"
    assert (
        "Without an interval, because some setting has a single seed, which says nothing about "
        "spread: SD, NG, SD × NG."
    ) in made.notes
    assert not any("interval" in note for note in table().notes)
    assert "no bar: a setting with one seed; filled" in captions.effects(made.effects)
    assert "no bar" not in captions.effects(table().effects)


@pytest.mark.parametrize("seeds", [1, 3])
def test_what_no_seed_changes_is_said_not_to_be_tested(seeds: int) -> None:
    """Catches: "7 seeds can", and a test named, of descents that are the same with each seed."""
    arms = [
        arm(f"{lr} {size}", dataset="surface", lr=lr, batch_size=size)
        for lr in (0.1, 0.2)
        for size in (1, 2)
    ]
    observations = [trial for each in arms for trial in trials(str(each.id), [0.5] * seeds)]
    made = EffectTable(tuple(effects_of(arms, observations)), Metric("test_accuracy"), "last")
    assert made.notes[2:] == [
        "Not tested, because no seed changes any of their arms: lr 0.2 − 0.1, batch size 2 − 1, "
        "(lr 0.2 − 0.1) × (batch size 2 − 1)."
    ]


def test_csv_has_all_of_it_to_the_last_bit() -> None:
    made = table()
    rows = list(csv.DictReader(io.StringIO(listings.csv(made))))
    assert len(rows) == len(made.effects)
    for row, each in zip(rows, made.effects, strict=True):
        assert (row["name"], row["kind"], row["at"]) == (each.name, each.kind, "last")
        for field in ("difference", "std", "t_low", "lowest", "p_sign_flip", "p_holm"):
            value = getattr(each, field)
            assert row[field] == ("" if value is None else repr(value))
        assert row["significant"] == str(each.significant).lower()
    assert rows[3]["factors"] == "optimizer.keep_prob × regularizers.SD"


def test_latex_is_whole_and_reads_as_the_other_forms_do() -> None:
    made = table()
    source = listings.latex(made, {"sweep": "a_b {"})
    latex.check(source)
    assert source.startswith("% sweep: a_b {\n% By the way.\n")
    assert latex.cells(source)[1:] == [list(line.cells) for line in made.lines]
    assert r"$-$0.50$\dagger$" in source
    assert "By the way" not in source.split(r"\begin{table}")[1]


@pytest.mark.parametrize("label", ["a_b$", r"\input{x}", "<b>", "|", "%", "=1+1"])
def test_a_name_is_text_in_each_form(label: str) -> None:
    made = table(name=label)  # one optimizer: its name is in no title; two of them are
    two = [arm(f"{name} {p}", name=name, keep_prob=p) for name in (label, "x") for p in (1.0, 0.5)]
    observations = [trial for each in two for trial in trials(str(each.id), [0.5, 0.6])]
    named = EffectTable(tuple(effects_of(two, observations)), Metric("test_accuracy"), "last")
    for each in (made, named):
        latex.check(listings.latex(each))
    assert any(label in effect.name for effect in named.effects)
    assert latex.cells(listings.latex(named))[1][0].split() == (named.effects[0].name.split())
    for row in csv.reader(io.StringIO(listings.csv(named))):
        assert not row[1].startswith("=")


def test_json_is_json_and_has_every_field() -> None:
    made = listings.to_json(table())
    assert json.loads(json.dumps(made, allow_nan=False)) == made
    assert made["unit"] == "percentage points"
    assert {"asked", "significant", "better", "lowest"} <= made["items"][0].keys()


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("pdflatex"), reason="pdflatex is not installed")
def test_pdflatex_compiles_it(tmp_path: Path) -> None:
    preamble = "\\documentclass{article}\n\\usepackage{booktabs}\n\\begin{document}\n"
    source = preamble + listings.latex(table()) + "\\end{document}\n"
    (tmp_path / "t.tex").write_text(source, encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]


def test_both_tables_have_one_ruler() -> None:
    assert render.grid(("a", "b"), [("1", "2")], 1) == "| a | b |\n| :-- | --: |\n| 1 | 2 |"
