"""`lrd trials, logs, figure, table, compare`: what a shell reads of a sweep."""

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from sqlalchemy import update

from lrd_core.errors import LRDError
from lrd_core.trial_folder import log_name, trial_folder
from service import client
from service.settings import Settings
from service.store.models import Trial
from service.store.session import Database
from tests.conftest import factorial, small_sweep
from tests.seeded import seed
from tests.service.test_cli import lrd

pytestmark = pytest.mark.usefixtures("url")


@pytest.fixture
def database_url(sqlite: Callable[[Path], str], tmp_path: Path) -> str:
    """One kind is enough, as in test_cli."""
    return sqlite(tmp_path / "storage")


def test_trials_are_told_a_line_each(database: Database) -> None:
    """Catches: a failed trial without its reason, and shares under a table in percent."""
    sweep_id = seed(database, small_sweep(), states=("succeeded", "failed", "queued", "cancelled"))
    first, second, third, fourth = lrd("trials", sweep_id).splitlines()
    assert first.split()[:5] == ["1", "succeeded", "2/2", "test", "accuracy"]
    assert first.endswith("seed 0  without LRD")
    assert second.split()[:4] == ["2", "failed:", "error", "1/2"]
    assert third.split()[:6] == ["3", "queued", "0/2", "–", "seed", "1"]
    assert second.endswith("seed 0  LRD (keep_prob = 0.5)")
    assert fourth.split()[1:3] == ["cancelled:", "user"]
    assert lrd("trials", sweep_id, "--state", "failed").splitlines() == [second]


def test_trials_are_read_to_the_last_page(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: the first thousand of ten thousand, and no word of the rest."""
    sweep_id = seed(database, small_sweep(seeds=5))
    listed = client.SubmittedSweep.list_trials
    monkeypatch.setattr(
        client.SubmittedSweep, "list_trials", lambda *of, **asked: listed(*of, **asked, page_size=3)
    )
    lines = lrd("trials", sweep_id, "--json").splitlines()
    assert [json.loads(line)["id"] for line in lines] == [*range(1, 11)]
    assert {"config", "last_report", "losses"} <= json.loads(lines[0]).keys()


def test_trials_show_the_metric_of_their_sweeps_table(database: Database) -> None:
    sweep_id = seed(database, small_sweep(table={"metric": "test_loss"}))
    assert all("  test loss 1." in line for line in lrd("trials", sweep_id).splitlines())


def test_the_log_of_a_trial_or_of_an_earlier_attempt_at_it(
    database: Database, settings: Settings
) -> None:
    seed(database, small_sweep())
    with database.write() as session:
        session.execute(update(Trial).where(Trial.id == 1).values(attempt=2))
    folder = trial_folder(settings.trials, 1)
    folder.write(log_name(1), b"lost\n")
    folder.write(log_name(2), b"one\ntwo\nthree")
    assert lrd("logs", "1") == "one\ntwo\nthree\n"
    assert lrd("logs", "1", "--tail", "2") == "two\nthree\n"
    assert lrd("logs", "1", "--attempt", "1") == "lost\n"
    assert "trial 2 has no log here" in lrd("logs", "2")
    with pytest.raises(LRDError, match="trial 1 has had 2 attempts, not 3"):
        lrd("logs", "1", "--attempt", "3")
    with pytest.raises(LRDError, match="trial 2 has had 1 attempt, not 3"):
        lrd("logs", "2", "--attempt", "3")
    with pytest.raises(LRDError, match="there is no trial 99"):
        lrd("logs", "99")


@pytest.mark.parametrize(
    ("kind", "begins"), [("svg", b"<?xml"), ("pdf", b"%PDF"), ("png", b"\x89P")]
)
def test_a_figure_is_written_in_the_form_that_its_name_asks_for(
    kind: str, begins: bytes, database: Database, tmp_path: Path
) -> None:
    sweep_id, file = seed(database, small_sweep()), tmp_path / f"forest.{kind}"
    assert lrd("figure", sweep_id, "forest", str(file)) == f"written to {file}\n"
    assert file.read_bytes().startswith(begins)


def test_a_figure_is_asked_for_as_the_api_takes_it(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: an option that is taken, and forgotten on the way."""
    sweep_id, asked = seed(database, small_sweep()), list[object]()
    whole = client.SubmittedSweep.figure

    def figure(self: client.SubmittedSweep, name: str, kind: str, **question: object) -> bytes:
        asked.extend([name, kind, question])
        return whole(self, name, kind, **question)

    monkeypatch.setattr(client.SubmittedSweep, "figure", figure)
    options = {"metric": "train_loss", "at": "best", "by": "seconds", "baseline": "2"}
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    lrd("figure", sweep_id, "learning-curves", str(tmp_path / "a.svg"), *words)
    assert asked == ["learning-curves", "svg", options]


def test_a_figure_without_its_caption_has_it_printed(database: Database, tmp_path: Path) -> None:
    """Catches: a paper whose figure says twice what it shows."""
    sweep_id = seed(database, small_sweep())
    whole, bare = tmp_path / "whole.svg", tmp_path / "bare.svg"
    lrd("figure", sweep_id, "forest", str(whole))
    said, caption = lrd("figure", sweep_id, "forest", str(bare), "--no-caption").splitlines()
    assert said == f"written to {bare}"
    assert caption.startswith("Mean difference of the pairs (same seed), read at the last epoch;")
    assert "Mean difference of the pairs" in whole.read_text()
    assert "Mean difference of the pairs" not in bare.read_text()
    assert "LRD (keep_prob = 0.5)" in bare.read_text()


def test_what_each_factor_does_is_told_and_drawn(database: Database, tmp_path: Path) -> None:
    sweep_id, file = seed(database, factorial()), tmp_path / "effects.svg"
    assert "| SD | " in lrd("effects", sweep_id, "--metric", "test_loss")
    assert lrd("effects", sweep_id, "--format", "csv").startswith("kind,name,")
    lrd("figure", sweep_id, "effects", str(file))
    assert "× SD" in file.read_text()


def test_a_sweep_is_found_by_the_beginning_of_its_id_or_by_its_name(database: Database) -> None:
    first, second = (seed(database, small_sweep(name=name)) for name in ("one sweep", "another"))
    table = lrd("table", first)
    assert lrd("table", first[:8]) == lrd("table", "one sweep") == table
    with pytest.raises(LRDError, match="there is no sweep 'sweep'"):  # a part of a name is none
        lrd("table", "sweep")
    third = seed(database, small_sweep(name="another"))
    with pytest.raises(LRDError, match=f"matches 2 sweeps: {third}, {second}; name one"):
        lrd("table", "another")
    lines = lrd("ls").splitlines()
    assert [line.split()[0] for line in lines] == [third, second, first]
    assert re.fullmatch(
        rf"{first}  \d{{4}}-\d\d-\d\d \d\d:\d\d  succeeded  4/4  one sweep", lines[2]
    )


def test_a_baseline_is_named_by_its_label_or_its_id(database: Database) -> None:
    """Catches: another arm than the one that was meant, in silence."""
    sweep_id = seed(database, small_sweep())
    label = "LRD (keep_prob = 0.5)"
    assert "minus the baseline (LRD (keep_prob = 0.5))" in lrd(
        "compare", sweep_id, "--baseline", label
    )
    assert lrd("compare", sweep_id, "--baseline", "2") == lrd(
        "compare", sweep_id, "--baseline", label
    )
    for command in ("table", "effects", "methods"):
        lrd(command, sweep_id, "--baseline", label)
    with pytest.raises(
        LRDError, match=r"'without' \(did you mean 'without LRD'\?\); they are without LRD; LRD"
    ):
        lrd("table", sweep_id, "--baseline", "without")


def test_what_has_nothing_in_it_is_said_and_not_written(database: Database, tmp_path: Path) -> None:
    """Catches: an empty figure in a paper, and exit status 0."""
    document = small_sweep(baseline={}, grid={"optimizer.lr": [0.1, 0.01]})
    sweep_id, file = seed(database, document), tmp_path / "a.svg"
    with pytest.raises(LRDError, match="no arm has a baseline to be compared with"):
        lrd("figure", sweep_id, "forest", str(file))
    with pytest.raises(LRDError, match="The arms of this sweep differ in one factor"):
        lrd("figure", sweep_id, "effects", str(file))
    assert not file.exists()
    assert lrd("trials", sweep_id, "--state", "failed") == "none of its trials is like that\n"
    with pytest.raises(LRDError, match="/query/at: should be last, best or epoch:N"):
        lrd("table", sweep_id, "--at", "final")


def test_how_the_numbers_were_made_is_told(database: Database) -> None:
    sweep_id = seed(database, small_sweep())
    text = lrd("methods", sweep_id, "--at", "best", "--metric", "test_loss")
    assert text.startswith("**Training.** FCNet was trained on digits for 2 epochs in batches of")
    assert "The test loss is that of each trial's best epoch" in text
    assert "\\paragraph{Seeds.} Each arm has" in lrd("methods", sweep_id, "--format", "latex")


def test_how_soon_each_arm_reaches_a_value_is_told(database: Database) -> None:
    """Catches: the paper's claim about speed, to be had by `curl` alone."""
    document = small_sweep(seeds=3)
    document["base"]["epochs"] = 10
    sweep_id = seed(database, document)
    goal, legend, signs, doubt, *rows = lrd("speed", sweep_id, "0.7").splitlines()
    assert goal.startswith("test accuracy at least 70.00 %: seeds that reached it")
    assert "how many times as fast as the arm's baseline" in legend
    assert signs.startswith("never: on most seeds only the baseline reached it; ∞: only the arm")
    assert "fluctuates more" in doubt
    heads = [
        "seeds",
        "epochs",
        "seconds",
        "×",
        "epochs",
        "×",
        "seconds",
        "faster-ties-slower",
        "arm",
    ]
    assert rows[0].split() == heads
    assert rows[1].split()[:1] + rows[1].split()[3:] == ["3/3", "–", "–", "–", "without", "LRD"]
    reached, epochs, seconds, *ratios, tally = rows[2].split()[:6]
    assert reached == "3/3"
    assert sum(map(int, tally.split("-"))) == 3
    assert float(seconds) == 0.5 * float(epochs)
    assert all(0.5 < float(ratio) < 2 for ratio in ratios)
    assert "0/3" in lrd("speed", sweep_id, "0.001", "--metric", "test_loss")
    begun = seed(database, small_sweep(), states=("queued",))
    assert "0/2, 2 undecided" in lrd("speed", begun, "0.7")
    assert lrd("speed", sweep_id, "70%") == lrd("speed", sweep_id, "0.7")
    assert "'much' is no number" in lrd("speed", sweep_id, "much", code=2)
    with pytest.raises(LRDError, match=r"shares are 0 to 1: 0\.88, not 88; got 88"):
        lrd("speed", sweep_id, "88")


def test_how_soon_each_arm_gets_there_is_read_by_programs(database: Database) -> None:
    """Catches: columns to be cut out of a text, and comparisons with one baseline alone."""
    document = small_sweep(seeds=3, grid={"optimizer.keep_prob": [1.0, 0.5, 0.25]})
    document["base"]["epochs"] = 10
    sweep_id = seed(database, document)
    found = json.loads(lrd("speed", sweep_id, "0.7", "--format", "json"))
    rows = [*csv.DictReader(lrd("speed", sweep_id, "0.7", "--format", "csv").splitlines())]
    assert [row["arm"] for row in rows] == [arm["label"] for arm in found["items"]]
    for row, arm in zip(rows, found["items"], strict=True):
        assert (row["trials"], row["reached"], row["never"], row["undecided"]) == (
            "3",
            "3",
            "0",
            "0",
        )
        assert float(row["epochs"]) == arm["epochs"]
    assert rows[0]["baseline"] == rows[0]["epoch_ratio"] == ""
    for row, against in zip(rows[1:], found["comparisons"], strict=True):
        assert float(row["epoch_ratio"]) == against["epoch_ratio"]
        assert int(row["faster"]) + int(row["ties"]) + int(row["slower"]) == int(row["n"]) == 3
    half = "LRD (keep_prob = 0.5)"
    words = ["speed", sweep_id, "0.7", "--baseline", half, "--format", "csv"]
    rows = [*csv.DictReader(lrd(*words).splitlines())]
    assert [row["baseline"] for row in rows] == [half, "", half]
    assert rows[1]["baseline_id"] == ""
    never = lrd("speed", sweep_id, "0.001", "--metric", "test_loss", "--format", "csv")
    assert [row["never"] for row in csv.DictReader(never.splitlines())] == ["3"] * 3
    with pytest.raises(LRDError, match=f"sweep {sweep_id} has no arm 999 to be the baseline"):
        lrd("speed", sweep_id, "0.7", "--baseline", "999")


def test_how_many_seeds_a_difference_takes_is_told(database: Database) -> None:
    """Catches: a number of seeds that is guessed, because nothing says what the pilot showed."""
    document = small_sweep(seeds=3, grid={"optimizer.keep_prob": [1.0, 0.5, 0.25]})
    document["primary"] = {"optimizer.keep_prob": 0.5}
    sweep_id = seed(database, document)
    what, found, *rows = lrd("power", sweep_id).splitlines()
    assert what.startswith("Test accuracy, last epoch: arm minus its baseline, paired by seed.")
    assert "80% power, by a paired t test at p < 0.05," in found  # one primary comparison
    assert rows[0].split() == ["n", "s", "found", "now", "arm"]
    assert rows[1].split()[0] == "3"
    assert rows[1].split()[2] == "–"
    assert rows[2].endswith("LRD (keep_prob = 0.25), exploratory")
    *_, heads, first, _ = lrd("power", sweep_id, "0.5%").splitlines()
    assert "seeds for 0.50" in heads
    assert lrd("power", sweep_id, "0.5%") == lrd("power", sweep_id, "0.005")
    answer = json.loads(lrd("power", sweep_id, "0.5%", "--format", "json"))
    seeds = [answer["items"][0][name] for name in ("seeds", "seeds_high")]
    assert first.split()[3:5] == [f"{number:,}" for number in seeds]
    rows = [*csv.DictReader(lrd("power", sweep_id, "0.5%", "--format", "csv").splitlines())]
    assert [row["difference"] for row in rows] == ["0.005", "0.005"]
    assert [int(row["seeds"]) for row in rows] == [each["seeds"] for each in answer["items"]]
    assert "none can" in lrd("power", sweep_id, "0.000001%")
    alone = seed(database, small_sweep(grid={}, baseline={}))
    assert lrd("power", alone).startswith(
        "The sweep has one arm, so there is nothing to compare it with."
    )
    with pytest.raises(LRDError, match=r"0\.002 is 0\.2 percentage points; got 2"):
        lrd("power", sweep_id, "2")


def test_the_spec_of_a_sweep_is_a_file_to_submit(database: Database, tmp_path: Path) -> None:
    """Catches: a spec that is to be dug out of JSON, and one that is not taken back."""
    document = small_sweep(name="naïve: one", seeds=[7, 9], priority=3)
    text, file = lrd("spec", seed(database, document)), tmp_path / "again.yaml"
    assert yaml.safe_load(text) == document
    assert text.startswith("name: 'naïve: one'\nbase:")
    file.write_text(text)
    assert "4 trials: 2 arms" in lrd("submit", str(file), "--plan")


def test_nothing_is_written_for_a_figure_that_is_refused(
    database: Database, tmp_path: Path
) -> None:
    """Catches: an empty file, which a paper then shows."""
    sweep_id, file = seed(database, small_sweep()), tmp_path / "a.svg"
    with pytest.raises(LRDError, match="did you mean 'test_loss'"):
        lrd("figure", sweep_id, "keep-prob", str(file), "--metric", "tset_loss")
    with pytest.raises(LRDError, match="surface"):
        lrd("figure", sweep_id, "descent", str(file))
    assert not file.exists()


def test_a_table_is_compared_with_the_arm_that_is_asked_for(
    database: Database, tmp_path: Path
) -> None:
    """Catches: a table against the spec's baseline, whatever is asked; and a paper of it that is
    held against another one."""
    sweep_id = seed(database, small_sweep(seeds=3))
    words = ("table", sweep_id, "--baseline", "2", "--format")
    rows = csv.DictReader(lrd(*words, "csv").splitlines())
    assert [row["baseline"] for row in rows] == ["LRD (keep_prob = 0.5)", ""]
    assert json.loads(lrd(*words, "json"))["metric"] == "test_accuracy"
    paper = tmp_path / "paper.tex"
    paper.write_text(lrd(*words, "latex"))
    assert "all as the service has them" in lrd("verify", str(paper))
    with pytest.raises(LRDError, match="has no arm 9 to be the baseline"):
        lrd("table", sweep_id, "--baseline", "9")
    assert "baseline (LRD (keep_prob = 0.5))" in lrd("compare", sweep_id, "--baseline", "2")


def test_a_papers_effects_and_comparisons_are_held_against_the_service(
    database: Database, tmp_path: Path
) -> None:
    """Catches: what `lrd verify` passes by, or holds against another metric or baseline."""
    sweep_id, paper = seed(database, factorial(seeds=3)), tmp_path / "paper.tex"
    words = ("--metric", "test_loss", "--at", "best", "--baseline", "4", "--format", "latex")
    commands = ("effects", "compare")
    listed = "".join(lrd(command, sweep_id, *words) for command in commands)
    paper.write_text(lrd("table", sweep_id, "--format", "latex") + listed)
    about, effects, compared, _ = lrd("verify", str(paper)).splitlines()
    assert about.endswith("4 cells, all as the service has them")
    assert f"comparisons of test_loss at best of sweep {sweep_id}: 3 comparisons, all" in compared
    assert f"effects of test_loss at best of sweep {sweep_id}: 3 effects, all as" in effects
    source = paper.read_text()
    row = next(line for line in source.splitlines() if "% lrd effect " in line and "×" not in line)
    paper.write_text(source.replace(row, row.replace(" & 3 & ", " & 5 & ")))
    said = lrd("verify", str(paper), code=1)
    assert "1 of 3 effects not as the service has them" in said
    assert re.search(r"line \d+: .*: 5 in the file, 3 in the service", said)
