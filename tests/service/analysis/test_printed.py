"""Tables read back from LaTeX: what was written is found again, what was changed is seen."""

import re

import pytest
from hypothesis import given, settings

from lrd_core.errors import LRDError
from service.analysis import printed, render
from service.analysis.tables import Table

from .cases import arm, pair
from .test_render import LABEL, grid, labelled, table


def wrong(source: str, found: Table) -> list[str]:
    (read,) = printed.read(source)
    return printed.differences(read, render.to_json(found))


def powers() -> Table:
    arms = [arm("a"), arm("b", keep_prob=0.5)]
    return table(arms, {"a": [3e-7, 5e-7], "b": [1.0]}, metric="test_loss")


def fates() -> Table:
    return table(pair(), {"plain": ["diverged", "diverged"], "lrd": [0.9, "oom"]})


@pytest.mark.parametrize("made", [grid, powers, fates])
def test_every_cell_that_was_written_is_found_again(made):
    found = made()
    (read,) = printed.read(render.latex(found, {"sweep": "demo"}, name="4m94m4"))
    assert read.question == {"sweep": "4m94m4", "metric": found.metric.name, "at": "last"}
    cells = [cell for row in found.rows for cell in row.cells if cell.summary]
    arms = [str(cell.summary.arm.number) for cell in cells]
    assert [cell.number for cell in read.cells] == arms
    assert printed.differences(read, render.to_json(found)) == []
    assert read.unsigned == ()


@given(LABEL)
@settings(max_examples=100, deadline=None)
def test_no_label_makes_a_row_of_the_services_own_look_unsigned(label):
    """Catches: complaints about a title with numbers, or about the published values below."""
    found = labelled([label, "2", "4"])
    (read,) = printed.read(render.latex(found, {"label": label}))
    assert (len(read.cells), read.unsigned) == (3, ())


ROWS = [line for line in render.latex(grid()).splitlines() if printed.OF_ROW in line]
BARE = ROWS[1].split(printed.OF_ROW)[0].replace("90.00", "99.99")


@pytest.mark.parametrize("now", [
    BARE,
    BARE + "% checked by hand",
    f"{ROWS[1]}\n{BARE}",
    f"{BARE} {ROWS[1]}",
    BARE + "[2pt]",
    BARE.replace(" & ", "\n & "),
])  # fmt: skip
def test_a_row_without_its_comment_is_not_taken_for_sound(now):
    """Catches: a typed row, or one whose comment was lost, and still "all as the service has"."""
    (said,) = wrong(render.latex(grid()).replace(ROWS[1], now), grid())
    assert "99.99(1/2)`" in said
    assert re.fullmatch(r"line \d+: `.*` is not verified: its comment is gone", said)


@pytest.mark.parametrize("now", [
    r"\addlinespace[2pt] \cmidrule(lr){2-3}",
    r"\midrule \multicolumn{3}{l}{With 2 layers} \\",
    r"\multirow{2}{*}{digits} & \multicolumn{2}{c}{Adam} \\",
    "% " + BARE,
    r"& SGDM & Adam (best of 3) \\",
])  # fmt: skip
def test_what_stands_between_rows_is_none(now):
    """Catches: complaints about rules, headings over a group of rows, and rows taken out."""
    assert wrong(render.latex(grid()).replace(ROWS[1], f"{now}\n{ROWS[1]}"), grid()) == []


def test_the_heads_of_other_kinds_of_tables_are_none():
    """Catches: complaints about a column's title that is a number."""
    head, row = r"p & 0.5 & 0.9 \\", r"a & $1.00$ & $2.00$ \\ % arm numbers 1 2"
    about = '% lrd verify {"sweep": "s", "metric": "test_loss", "at": "last"}'
    again = [r"\midrule", r"\endhead", r"\bottomrule", r"\endfoot"]
    for lines in (
        [r"\hline", head, r"\hline", row, r"\end{tabular}"],
        [r"\toprule", head, r"\midrule\endfirsthead", head, *again, row, r"\end{longtable}"],
        [head, row, r"\end{tabular}"],
    ):
        (read,) = printed.read("\n".join([about, *lines, r"and 1 & 2 \\"]))
        assert (len(read.cells), read.unsigned) == (2, ())
        (read,) = printed.read("\n".join([about, *lines[:-1], "b & 1", lines[-1]]))
        assert [each.text for each in read.unsigned] == ["b & 1"]


def test_another_baseline_is_asked_for_again():
    (read,) = printed.read(render.latex(grid(), name="s", baseline=7))
    assert read.question["baseline"] == 7


@pytest.mark.parametrize(("was", "now", "said"), [
    ("94.00", "94.50", "94.50 ± 2.74 † (9) in the file, 94.00 ± 2.74 † (9) in the service"),
    ("2.74", "1.74", "94.00 ± 1.74 † (9) in the file"),
    ("(9)", "(8)", "(8) in the file"),
    (r"$50.00 \pm 0.00$", r"$50.00 \pm 0.00^{\dagger}$", "50.00 ± 0.00 † (9) in the file"),
    (r"$\mathbf{94.00} \pm 2.74^{\dagger}$ {\footnotesize (9)}", "", "nothing in the file"),
    (r"\emph{running}", "90.00", "90.00 (0/1) in the file, running (0/1) in the service"),
])  # fmt: skip
def test_a_number_that_was_changed_is_seen(was, now, said):
    source = render.latex(grid())
    assert was in source
    sentences = wrong(source.replace(was, now, 1), grid())
    assert len(sentences) == 1
    assert said in sentences[0]


@pytest.mark.parametrize(("was", "now"), [
    (r"\mathbf{94.00}", "94.00"),
    ("94.00", "94"),
    (r" {\footnotesize (9)}", ""),
    (r"^{\dagger}", ""),
    (r" \pm 2.74", ""),
    (" & ", "\n  & "),
    (r" \\ % arm", r"\\% arm"),
    ("Adam", r"\textsc{Adam} \& friends"),
    (r"$\mathbf{94.00}", r"\cellcolor{gray!20} $\mathbf{94.00}"),
])  # fmt: skip
def test_what_is_set_otherwise_or_left_out_is_no_difference(was, now):
    source = render.latex(grid())
    assert was in source
    assert wrong(source.replace(was, now), grid()) == []


def test_rows_and_columns_may_be_moved_with_their_arms():
    lines = render.latex(grid()).splitlines()
    rows = [number for number, line in enumerate(lines) if printed.OF_ROW in line]
    lines[rows[0]], lines[rows[-1]] = lines[rows[-1]], lines[rows[0]]
    assert wrong("\n".join(lines), grid()) == []
    first, second = r"a & $1.00$ & $2.00$ \\ % arm numbers 1 2", r"a & $2.00$ \\ % arm numbers 2"
    header = '% lrd verify {"sweep": "s", "metric": "test_loss", "at": "last"}\n'
    for row, arms in ((first, ["1", "2"]), (second, ["2"])):
        (read,) = printed.read(header + row)
        assert [(cell.number, cell.mean[0]) for cell in read.cells] == [(a, a) for a in arms]


@pytest.mark.parametrize(("exact", "right", "wrong_ones"), [
    (0.94446, ["94.45", "94.4", "94", "94.446"], ["94.5", "95", "94.440", "94.450"]),
    (0.94565, ["94.6", "94.56", "94.57"], ["94.5", "94.564"]),
    (0.285, ["28.50", "28", "29"], ["28.6", "28.4"]),
    (0.90, ["90.00", "90", "90.0", "90.000"], ["90.01", "9", "nan", "NaN", "inf"]),
])  # fmt: skip
def test_rounding_is_that_of_the_value_and_not_of_the_digits_shown(exact, right, wrong_ones):
    """Catches: 94.446, shown as 94.45, that may be 94.5 in a paper and not 94.4."""
    found = table(pair(), {"plain": [0.5], "lrd": [exact]})
    source = render.latex(found)
    (shown,) = {cell.mean for cell in printed.read(source)[0].cells} - {"50.00"}
    assert [each for each in right if wrong(source.replace(shown, each), found)] == []
    assert [each for each in wrong_ones if not wrong(source.replace(shown, each), found)] == []


def test_a_deviation_is_rounded_from_its_value_too():
    """Catches: the shown 0.45 of a deviation of 0.446, rounded once more."""
    found = table(pair(), {"plain": [0.5, 0.5], "lrd": [0.9, 0.9 + 0.00446 * 2**0.5]})
    source = render.latex(found)
    assert r"\pm 0.45" in source
    assert wrong(source.replace(r"\pm 0.45", r"\pm 0.4"), found) == []
    assert wrong(source.replace(r"\pm 0.45", r"\pm 0.5"), found) != []


def test_several_tables_of_one_file_are_kept_apart():
    source = render.latex(grid(), name="one") + r"\section{B}" + render.latex(powers(), name="two")
    one, two = printed.read(source)
    assert (one.question["sweep"], two.question["sweep"]) == ("one", "two")
    assert source.splitlines()[two.line - 1].startswith(printed.OF_TABLE)
    assert len(two.cells) == 2
    assert printed.read("no table at all") == []


@pytest.mark.parametrize(("was", "now", "said"), [
    ('"metric"', "metric", "line 2: which table this is can no longer be read"),
    ('"sweep"', '"sleep"', "line 2: which table this is can no longer be read"),
    ("digits & ", "", "line 13: the comment names 5 arms and the row has 4 cells"),
    ("(9)}", "(9)} (2)", r"line 13: no mean ± deviation \(n\) can be read in"),
])  # fmt: skip
def test_what_can_no_longer_be_read_is_said_with_its_line(was, now, said):
    source = render.latex(grid())
    assert was in source
    if not now:  # a cell was taken out, and all arms left in
        source = source.replace(printed.OF_ROW, f"{printed.OF_ROW}another ", 1)
    with pytest.raises(LRDError, match=said):
        printed.read(source.replace(was, now, 1))


def test_a_table_whose_rows_name_no_arms_is_not_taken_for_sound():
    with pytest.raises(LRDError, match="line 2: no row of this table still says which arms"):
        printed.read(render.latex(grid()).replace(printed.OF_ROW, "% "))


def test_an_arm_of_another_sweep_is_named():
    source = render.latex(table(pair())).replace(
        f"{printed.OF_ROW}{arm('plain').number}", f"{printed.OF_ROW}41"
    )
    assert any("arm 41 is not in this sweep" in each for each in wrong(source, table(pair())))
