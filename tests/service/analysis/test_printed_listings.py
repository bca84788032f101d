"""Comparisons and effects read back from LaTeX, as `test_printed` does with tables of arms."""

from dataclasses import replace

import pytest

from lrd_core.errors import LRDError
from service.analysis import listings, printed
from service.analysis.effect_table import EffectTable
from service.analysis.effects import effects_of
from service.analysis.escaping import latex_comment
from service.analysis.metrics import Metric

from .cases import arm, trials
from .test_comparison_table import two_optimizers
from .test_effect_table import EMPTY, table

OF_EFFECT = printed.OF_LINE[printed.EFFECTS]
ORIGINAL = listings.latex(table(), {"sweep": "demo"}, name="4m94m4")


def listing(source: str) -> printed.PrintedListing:
    (found,) = printed.read(source)
    assert isinstance(found, printed.PrintedListing)
    return found


def wrong(source: str) -> list[str]:
    return printed.line_differences(listing(source), [listing(ORIGINAL)])


def test_every_effect_that_was_written_is_found_again() -> None:
    found = listing(ORIGINAL)
    assert found.question == {"sweep": "4m94m4", "metric": "test_accuracy", "at": "last"}
    assert [each.name for each in found.lines] == [each.name for each in table().effects]
    assert found.lines[0].texts[:3] == ("+0.75†", "+0.75to+0.75", "+0.50to+1.00")
    assert found.lines[3].texts[2] == "+1.00→+0.50"
    assert found.counted == "6 effects"
    assert wrong(ORIGINAL) == []
    (other,) = printed.read(listings.latex(table(), name="s", baseline=7))
    assert other.question["baseline"] == 7


@pytest.mark.parametrize(
    ("was", "now", "said"),
    [
        ("+0.75$\\dagger$", "+0.85$\\dagger$", "+0.85† in the file, +0.75† in the service"),
        ("+0.50 to +1.00", "+0.50 to +1.10", "+0.50to+1.10 in the file, +0.50to+1.00 in the"),
        ("0.012", "0.0012", "0.0012 in the file, 0.012 in the service"),
        ("+0.00 &", "+0.00$\\dagger$ &", "+0.00† in the file, +0.00 in the service"),
        ("$-$0.50$\\dagger$", "0.50$\\dagger$", "0.50† in the file, -0.50† in the service"),
        ("0.012", "0", "0 in the file, 0.012 in the service"),
        ("0.012", "0.00", "0.00 in the file, 0.012 in the service"),
        ("+0.50 to +1.00", "+0.50 to +1.000", "+0.50to+1.000 in the file, +0.50to+1.00 in the"),
        (" & 4 & 9 ", " & 4 & 8 ", "8 in the file, 9 in the service"),
        (" & 4 & 9 ", " & 4 & 4 & 9 ", ": 8 cells, the service has 7"),
        ("% lrd effect SD\n", "% lrd effect DG\n", "DG is no effect of this sweep"),
    ],
)
def test_what_was_changed_is_seen_once_with_its_line(was: str, now: str, said: str) -> None:
    assert was in ORIGINAL
    source = ORIGINAL.replace(was, now, 1)
    (sentence,) = wrong(source)
    assert said in sentence
    line = next(
        number
        for number, (one, other) in enumerate(
            zip(ORIGINAL.splitlines(), source.splitlines(), strict=True), 1
        )
        if one != other
    )
    assert sentence.startswith(f"line {line}: ")


@pytest.mark.parametrize(
    ("was", "now"),
    [
        ("+0.75$\\dagger$", "\\textbf{+0.75}"),
        ("+0.75$\\dagger$ &", "+0.8 &"),
        ("+0.75$\\dagger$ &", "+0.7 &"),  # of 0.745, it may be
        ("0.012", "0.01"),
        ("0.012", "0.0120"),
        ("0.012", ""),
        (" & 0.0039 & 0.012", ""),
        (" \\\\ % lrd", "\\\\% lrd"),
        (" & ", "\n  & "),
        ("LRD (keep\\_prob = 0.5)", "LRD"),
    ],
)
def test_what_is_set_otherwise_rounded_or_left_out_is_no_difference(was: str, now: str) -> None:
    assert was in ORIGINAL
    assert wrong(ORIGINAL.replace(was, now)) == []


def test_a_table_of_effects_stands_beside_others_and_rows_may_be_moved() -> None:
    lines = ORIGINAL.splitlines()
    rows = [number for number, line in enumerate(lines) if OF_EFFECT in line]
    lines[rows[0]], lines[rows[-1]] = lines[rows[-1]], lines[rows[0]]
    moved = "\n".join(lines)
    assert wrong(moved) == []
    header = '% lrd verify {"sweep": "s", "metric": "test_loss", "at": "last"}\n'
    both = printed.read(f"{header}a & $1.00$ \\\\ % arm numbers 1\n{moved}")
    assert [type(each) for each in both] == [printed.PrintedTable, printed.PrintedListing]


def test_rows_that_say_no_effect_are_not_taken_for_sound_and_no_rows_say_nothing() -> None:
    with pytest.raises(LRDError, match="no row of this table still says which effect it is"):
        printed.read(ORIGINAL.replace(OF_EFFECT, "% "))
    assert printed.read(listings.latex(EMPTY)) == []


def test_an_effect_without_its_comment_is_not_taken_for_sound() -> None:
    """Catches: a row of one kind whose comments are all gone, passed by for those of the other."""
    lines = ORIGINAL.splitlines()
    rows = [number for number, line in enumerate(lines) if OF_EFFECT in line]
    ruled = lines.index(r"\midrule", rows[0])
    bare = [line.split(" % lrd")[0] if n < ruled else line for n, line in enumerate(lines)]
    said = wrong("\n".join(bare))
    assert len(said) == ruled - rows[0]
    assert said[0].startswith(f"line {rows[0] + 1}: `")
    assert all(each.endswith("is not verified: its comment is gone") for each in said)
    assert listing(ORIGINAL).unsigned == ()


def test_a_sweep_that_lost_its_effects_has_none_of_the_papers() -> None:
    assert len(printed.line_differences(listing(ORIGINAL), [])) == 6


@pytest.mark.parametrize("label", ["a & b", "100 % \\\\", "two\nlines", "% lrd effect x"])
def test_an_effect_is_found_by_any_name(label: str) -> None:
    arms = [arm(f"{name} {p}", name=name, keep_prob=p) for name in (label, "x") for p in (1.0, 0.5)]
    observations = [trial for each in arms for trial in trials(str(each.id), [0.5, 0.6])]
    made = tuple(effects_of(arms, observations))
    assert any(" ".join(label.split()) in " ".join(each.name.split()) for each in made)
    named = EffectTable(made, Metric("test_accuracy"), "last")
    source = listings.latex(named)
    found = listing(source)
    assert [each.name for each in found.lines] == [
        latex_comment(each.name).removeprefix("% ") for each in made
    ]
    assert (found.unsigned, printed.line_differences(found, [found])) == ((), [])
    assert printed.line_differences(listing(source.replace("0.00", "0.70")), [found]) != []


def test_comparisons_are_read_back_and_held_by_the_labels_of_their_arms() -> None:
    original = listings.latex(two_optimizers(), name="s")
    found = listing(original)
    assert (found.of, found.counted) == (printed.COMPARISONS, "2 comparisons")
    assert [each.name for each in found.lines] == ["adam lrd", "sgdm lrd"]
    assert found.lines[0].texts[:3] == ("+1.25", "+1.05to+1.45", "6-0-0")
    assert printed.line_differences(found, [found]) == []
    changed = original.replace("6-0-0", "5-1-0", 1).replace(
        "% lrd comparison sgdm", "% lrd comparison x"
    )
    one, other = printed.line_differences(listing(changed), [found])
    assert one.endswith(": adam lrd: 5-1-0 in the file, 6-0-0 in the service")
    assert other.endswith("x lrd is no comparison of this sweep")


def test_a_first_column_that_was_rewritten_is_no_difference() -> None:
    """Catches: a table made when all arms had one baseline, held against one that names them."""
    original = listings.latex(replace(two_optimizers(), baseline=()), name="s")
    assert "adam lrd $-$ adam &" in original
    found = listing(original.replace("adam lrd $-$ adam &", "LRD &"))
    assert printed.line_differences(found, [listing(original)]) == []


@pytest.mark.parametrize("of", ['"forests"', "[1]", "true"])
def test_a_table_of_what_is_not_known_here_is_refused_with_its_line(of: str) -> None:
    """Catches: a newer service's table that is passed by, or a fault without a line."""
    with pytest.raises(LRDError, match=r"line \d+: a table of .* is unknown"):
        printed.read(ORIGINAL.replace('"effects"', of))
