"""A table as Markdown, CSV, LaTeX and JSON, each read back by a reader of that format."""

import csv
import io
import json
import shutil
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from lrd_core.spec import ExpectedSpec, TableSpec
from service.analysis import render
from service.analysis.arms import summarise
from service.analysis.comparison_table import ComparisonTable
from service.analysis.comparisons import compare
from service.analysis.escaping import unescape_csv
from service.analysis.tables import build_table

from . import latex
from .cases import arm, pair, trials

HOSTILE = (
    "a|b", "`code`", "<script>alert(1)</script>", "back\\slash", "$x^2$", "50 % off", "under_score",
    "_it_", "*bold*", "**b**", "~~s~~", "[link](http://x)", "![i](x)", "two\nlines",
    "\u202egnp.exe", "🎲 p=½", "=cmd()", "+1", "-1", "@SUM(A1)", "\t=1",
    "# head", "1. one", "- item",
    "> quote",
    "&amp;", "&", "{", "}", "\\", "\\\\", "\\input{/etc/passwd}", "%", "#", "~", "^", '"quoted"',
    "a,b;c", "\x00\x1b[31m", "日本語", "‚é'", "<!-- c -->", "https://x.org", "a&b", "[1]", "*",
    "http://a_b_c", "  ", "|", "^^^", "www.example.org", "x@example.org", "--", "---", "===",
    "\u2028sep", "{[}", "'", "``", "a,,b", "a`b", "\\|", "a\\|b", "<b>", "$$", "]", "?`", "<<",
    "''",
)  # fmt: skip
LABEL = st.one_of(st.sampled_from(HOSTILE), st.text(min_size=1, max_size=12))
MARKDOWN = MarkdownIt("commonmark").enable(["table", "strikethrough"])


def seen(label):
    """A label as one printed line: control characters and line ends are blanks."""
    line = " ".join(label.splitlines())
    return "".join(char if char.isprintable() else " " for char in line)


def feeds(label):
    return label.replace("\r\n", "\n").replace("\r", "\n")


def table(arms, samples=None, **more):
    observations = []
    for each in arms:
        observations += trials(each.id, (samples or {}).get(each.id, [0.9, 0.8]))
    summaries = summarise(arms, observations)
    found = compare(summaries, observations) if any(each.is_baseline for each in arms) else []
    return build_table(summaries, found, baseline=["optimizer.keep_prob"], **more)


def labelled(labels):
    """A list of arms by label."""
    arms = [arm(str(i), label, batch_size=i + 1) for i, label in enumerate(labels)]
    return table(arms, layout=TableSpec(rows="arm"))


def grid():
    arms = [
        arm(f"{name}{p}", f"{name}, {p}", baseline=p == 1.0, name=name, keep_prob=p, dataset=data)
        for data in ("digits", "mnist")
        for name in ("adam", "sgdm")
        for p in (1.0, 0.5)
    ]  # fmt: skip
    arms = [arm(f"{each.config['dataset']}{each.id}", each.label, baseline=each.is_baseline,
                name=each.config["optimizer"]["name"], dataset=each.config["dataset"],
                keep_prob=each.config["optimizer"]["keep_prob"]) for each in arms]  # fmt: skip
    wide = [0.90, 0.91, 0.93, 0.92, 0.94, 0.95, 0.96, 0.97, 0.98]
    samples = {
        "digitsadam0.5": wide, "digitsadam1.0": [0.5] * 9, "mnistsgdm0.5": [0.9, "diverged"],
        "mnistsgdm1.0": ["running"],
    }  # fmt: skip
    expected = ExpectedSpec.model_validate(
        {
            "source": "Table 2, 50 % of it_all",
            "unit": "percent",
            "values": [{"where": {"dataset": "digits", "optimizer.name": "adam",
                                  "optimizer.keep_prob": 0.5}, "value": 94.0}],
        }
    )  # fmt: skip
    return table(arms, samples, expected=expected)


# --- readers --------------------------------------------------------------------------------------


def markdown_tables(text):
    """Every table as rows of cells, each cell as (shown text, the kinds of tokens within)."""
    tables, row = [], None
    for token in MARKDOWN.parse(text):
        if token.type == "table_open":
            tables.append([])
        elif token.type == "tr_open":
            row = []
            tables[-1].append(row)
        elif token.type == "inline" and row is not None:
            row.append(
                ("".join(child.content for child in token.children),
                 {child.type for child in token.children if child.type != "text"})
            )  # fmt: skip
        elif token.type == "tr_close":
            row = None
    return tables


class TestMarkdown:
    def test_rows_and_columns_read_back(self):
        found, expected = markdown_tables(render.markdown(grid()))
        assert [text for text, _ in found[0]] == [
            "dataset", "Adam, without LRD", "Adam, LRD (keep_prob = 0.5)", "SGDM, without LRD",
            "SGDM, LRD (keep_prob = 0.5)",
        ]  # fmt: skip
        assert [text for text, _ in found[1]] == [
            "digits", "50.00 ± 0.00 (9)", "94.00 ± 2.74 (9)†", "85.00 ± 7.07 (2)",
            "85.00 ± 7.07 (2)",
        ]  # fmt: skip
        assert found[1][2][1] == {"strong_open", "strong_close"}
        assert found[2][3][0] == "running (0/1)"
        assert expected[1][1:] == [
            ("94.00", set()), ("94.00 ± 2.74 (9)", set()), ("+0.00", set()),
            ("87.34 to 100.66", set()), ("within noise", set()),
        ]  # fmt: skip

    @pytest.mark.parametrize("label", HOSTILE)
    def test_a_hostile_label_reads_as_it_stands(self, label):
        ((head, row, other),) = markdown_tables(render.markdown(labelled([label, "other"])))
        assert len(head) == len(row) == len(other) == 2
        shown, kinds = row[0]
        assert shown == seen(label).strip()
        assert kinds <= {"text_special"}

    @settings(max_examples=200)
    @given(LABEL)
    def test_any_label_reads_as_it_stands(self, label):
        ((_, row, _),) = markdown_tables(render.markdown(labelled([label, "other"])))
        assert row[0][0].split() == seen(label).split()
        assert row[0][1] <= {"text_special"}

    @pytest.mark.parametrize("label", HOSTILE)
    def test_in_a_note_it_reads_as_it_stands_too(self, label):
        arms = [arm("a", label), arm("b", "other", keep_prob=0.5)]
        text = render.markdown(table(arms, {"a": ["diverged"]}))
        tokens = MARKDOWN.parse(text[text.index("\n- ") :])
        shown = [
            "".join(child.content for child in token.children)
            for token in tokens if token.type == "inline"
        ]  # fmt: skip
        assert any(each.split() == f"{seen(label)}: n=0/1, 1 failed (seed 0 diverged).".split()
                   for each in shown), shown  # fmt: skip

    def test_harmless_text_is_left_alone(self):
        text = render.markdown(labelled(["keep_prob=0.5, p = 0.3 (50 %)", "other"]))
        assert "| keep_prob=0.5, p = 0.3 (50 %) |" in text


class TestCsv:
    def read(self, found):
        return list(csv.DictReader(io.StringIO(render.csv(found)), strict=True))

    def test_numbers_read_back_to_the_last_bit(self):
        made = grid()
        of_arm = {each.arm.id: each for each in made.summaries}
        against = {each.arm_id: each for each in made.comparisons}
        for row in self.read(made):
            summary = of_arm[row["arm_id"]]
            for name in ("mean", "std", "ci_low", "ci_high", "iqm", "seconds"):
                value = getattr(summary, name)
                assert row[name] == ("" if value is None else repr(value))
            comparison = against.get(row["arm_id"])
            assert (row["p_holm"] == "") == (comparison is None or comparison.p_holm is None)
            assert row["status"] == summary.status

    def test_the_paths_that_vary_are_columns(self):
        rows = self.read(grid())
        assert {row["dataset"] for row in rows} == {"digits", "mnist"}
        assert {row["optimizer.keep_prob"] for row in rows} == {"1.0", "0.5"}

    def test_every_arm_has_its_line(self):
        assert len(self.read(grid())) == 8

    @given(st.lists(LABEL, min_size=1, max_size=4))
    def test_labels_read_back_and_none_is_a_formula(self, labels):
        for row, label in zip(self.read(labelled(labels)), labels, strict=True):
            shown = row["arm"]
            assert unescape_csv(shown) == feeds(label)
            assert not shown.lstrip().startswith(("=", "+", "-", "@"))

    @pytest.mark.parametrize("label", ["'+1", "''=1", "' =1", "'\t", "'", "'quoted'", "''"])
    def test_a_labels_own_apostrophes_stay(self, label):
        """Catches: an apostrophe of the label's that is taken for the writer's."""
        assert unescape_csv(self.read(labelled([label]))[0]["arm"]) == label

    @pytest.mark.parametrize("label", ["=cmd()", "+1", "-1", "@x", "\t=1", " =1", "＝1", "\r=1"])
    def test_what_a_spreadsheet_would_compute_is_kept_from_it(self, label):
        assert self.read(labelled([label]))[0]["arm"] == "'" + feeds(label)

    def test_a_negative_number_stays_a_number(self):
        row = self.read(table(pair(), {"lrd": [0.5, 0.4], "plain": [0.9, 0.9]}))[1]
        assert float(row["difference"]) == pytest.approx(-0.45)


class TestLatex:
    def test_cells_read_back(self):
        source = render.latex(grid(), {"sweep": "demo", "code": "1a2b"})
        latex.check(source)
        assert source.startswith("% sweep: demo\n% code: 1a2b\n")
        heads, columns, first, second = latex.cells(source)
        assert heads == ["", "Adam", "SGDM"]
        assert columns == ["dataset", *["without LRD", "LRD (keep_prob = 0.5)"] * 2]
        assert first[:3] == ["digits", "50.00 ±0.00 (9)", "94.00 ±2.74^† (9)"]
        assert second[-2:] == ["running (0/1)", "90.00 (1/2)"]
        assert r"$\mathbf{94.00} \pm 2.74^{\dagger}$ {\footnotesize (9)}" in source

    def test_it_can_be_cited_and_says_of_what_it_is(self):
        """Catches: two tables of one paper with one label."""
        found = table(pair(), at="best")
        source = render.latex(found, name="4m94 m4")
        latex.check(source)
        assert r"\label{tab:4m94-m4-test-accuracy-best}" in source
        assert "over seeds; FCNet on digits, 5 epochs.}" in source

    def test_advice_is_for_whoever_reads_the_source(self):
        """Catches: `6 seeds can` in a paper; a dagger explained that stands nowhere."""
        found = table(pair(), {"plain": [0.5, 0.6], "lrd": [0.6, 0.8]})
        source = render.latex(found)
        (advice,) = [line for line in source.splitlines() if "seeds can" in line]
        assert advice.startswith("% 2 pairs cannot")
        assert "dagger" not in source
        assert "seeds can" in render.markdown(found)

    def test_powers_of_ten_are_set_as_such(self):
        arms = [arm("a"), arm("b", keep_prob=0.5)]
        found = table(arms, {"a": [3e-7, 5e-7], "b": [1.0]}, metric="test_loss")
        latex.check(render.latex(found))
        assert r"$\mathbf{4.000\times10^{-7}} \pm 1.414\times10^{-7}$" in render.latex(found)

    def test_a_title_that_repeats_the_one_above_is_left_blank(self):
        arms = [
            arm(f"{name}{batch}{p}", baseline=p == 1.0, name=name, batch_size=batch, keep_prob=p)
            for name in ("adam", "sgdm", "radam") for batch in range(1, 9) for p in (1.0, 0.5)
        ]  # fmt: skip
        rows = latex.cells(render.latex(table(arms)))[1:]
        assert [row[0] for row in rows[:9]] == ["Adam", *[""] * 7, "SGDM"]
        assert [row[1] for row in rows[:3]] == ["1", "2", "3"]

    @pytest.mark.parametrize("label", HOSTILE)
    def test_a_hostile_label_reads_as_it_stands(self, label):
        source = render.latex(labelled([label, "other"]), {label: label})
        latex.check(source)
        assert latex.cells(source)[1][0].split() == seen(label).split()

    @settings(max_examples=200)
    @given(LABEL)
    def test_any_label_leaves_the_table_whole(self, label):
        source = render.latex(labelled([label, "other"]), {label: label})
        latex.check(source)
        assert latex.cells(source)[1][0].split() == seen(label).split()

    @given(LABEL)
    def test_a_label_breaks_out_of_no_comment(self, label):
        source = render.latex(labelled(["a"]), {"sweep": label})
        assert source.splitlines()[1] == r"% needs \usepackage{booktabs}"

    @pytest.mark.parametrize("source", [
        r"\begin{table}\end{tabular}",
        "{", "}", "$x", "a_b", "a--b", r"\pm", "50 % off", r"\input{x}", "#",
        "\\begin{tabular}{lc}\na & b & c \\\\\n\\end{tabular}",
        "\\begin{tabular}{lc}\na & b\n\\end{tabular}",
    ])  # fmt: skip
    def test_the_reader_itself_refuses_what_latex_would(self, source):
        with pytest.raises(latex.Invalid):
            latex.check("\\begin{table}\n" + source + "\n\\end{table}")

    @pytest.mark.slow
    @pytest.mark.skipif(not shutil.which("pdflatex"), reason="pdflatex is not installed")
    def test_pdflatex_compiles_it(self, tmp_path):
        ascii_only = [label for label in HOSTILE if label.isascii()]
        body = render.latex(grid()) + render.latex(labelled(ascii_only))
        preamble = "\\documentclass{article}\n\\usepackage{booktabs}\n\\begin{document}\n"
        (tmp_path / "t.tex").write_text(preamble + body + "\\end{document}\n", encoding="utf-8")
        command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-2000:]


class TestJson:
    def test_carries_the_whole_table(self):
        made = grid()
        found = json.loads(json.dumps(render.to_json(made), allow_nan=False))
        assert found == render.to_json(made)
        assert found["unit"] == "%"
        assert found["layout"]["pair"] == "optimizer.keep_prob"
        texts = [[cell and cell["text"] for cell in row["cells"]] for row in found["rows"]]
        assert texts == [[cell.text for cell in row.cells] for row in made.rows]
        best = found["rows"][0]["cells"][1]
        assert (best["best"], best["significant"], best["n"]) == (True, True, 9)
        assert best["comparison"]["p_holm"] < 0.05
        assert found["expected"][0]["verdict"] == "within noise"

    def test_a_difference_reads_as_where_it_is_listed(self):
        made = grid()
        lines = ComparisonTable(made.comparisons, made.summaries, made.metric, "last").lines
        listed = {line.values[0]: line.cells for line in lines}
        cells = [cell for row in render.to_json(made)["rows"] for cell in row["cells"] if cell]
        compared = [cell for cell in cells if cell["comparison"]]
        assert {cell["arm_id"] for cell in compared} == listed.keys()
        for cell in compared:
            _, difference, interval, *_, p, p_holm = listed[cell["arm_id"]]
            assert list(cell["comparison"]["shown"].values()) == [
                difference.removesuffix("†"), interval, p, p_holm,
            ]  # fmt: skip

    def test_a_hole_is_none(self):
        arms = [arm("a", name="adam"), arm("b", name="sgdm"), arm("c", name="sgdm", keep_prob=0.5)]
        found = render.to_json(table(arms))
        assert found["rows"][0]["cells"][1] is None

    @given(LABEL)
    def test_labels_are_carried_as_they_are(self, label):
        found = json.loads(json.dumps(render.to_json(labelled([label]))))
        assert found["rows"][0]["cells"][0]["label"] == label
