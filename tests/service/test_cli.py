"""`lrd` in this process: what it refuses and what it says; test_serve has the rest."""

import json
import os
import re
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from sqlalchemy import update
from typer.testing import CliRunner

from lrd_core import repeats
from lrd_core.errors import LRDError
from service import cli, dispatch
from service.store import leases
from service.store.models import Attempt, Sweep, Trial
from service.store.session import Database
from tests.conftest import small_sweep
from tests.seeded import AT, seed

ROOT = Path(__file__).parents[2]


@pytest.fixture
def database_url(sqlite: Callable[[Path], str], tmp_path: Path) -> str:
    """What differs between the databases is tested through the API: here one is enough."""
    return sqlite(tmp_path / "storage")


def lrd(*words: str, code: int = 0, given: str = "") -> str:
    """What it says; `given` is its standard input."""
    done = CliRunner().invoke(cli.app, [*words], input=given)
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == code, done.output
    return done.output


def misused(*words: str) -> str:
    """What it says of a command that is not written as it has to be, without the frame around."""
    return " ".join(lrd(*words, code=2).replace("│", "").split())


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "sweep.yaml"
    path.write_text(yaml.safe_dump(small_sweep()))
    return str(path)


def test_the_version_is_that_of_the_package() -> None:
    assert lrd("--version").strip() == version("learning-rate-dropout")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["submit"], r"name a FILE \(- for standard input\) or a --preset, one of the two"),
        (["submit", "FILE", "--preset", "digits"], "one of the two"),
        (["submit", "FILE", "--seeds", "2;3"], "'2;3' is neither a count such as 3 nor a list"),
        (["figure", "SWEEP", "forest", "a.jpg"], "a.jpg ends in none of .svg, .pdf, .png"),
        (["figure", "SWEEP", "forrest", "a.svg"], r"'forrest' is not one of .*'forest'"),
        (["trials", "SWEEP", "--state", "failing"], r"'failing' is not one of .*'failed'"),
        (["table", "SWEEP", "--format", "xml"], "'xml' is not one of 'markdown', 'csv', 'latex'"),
        (["methods", "SWEEP", "--format", "csv"], "'csv' is not one of 'markdown', 'latex'"),
        (["token", "create", "ann", "--role", "owner"], "'owner' is not one of 'viewer', 'subm"),
        (["submit", "--preset", "digits", "--set", "base.epochs"], "'base.epochs' is not PATH="),
        (["export", "SWEEP", "all.tar"], "all.tar ends in none of .csv, .parquet, .zip"),
        (["export", "SWEEP", "all.zip", "--of", "trials"], "--of is for .csv and .parquet"),
    ],
)
def test_what_does_not_go_together_is_refused(words: list[str], said: str, file: str) -> None:
    """Catches: the exit status 1 of a command that failed, where a script is written wrongly."""
    assert re.search(said, misused(*(file if word == "FILE" else word for word in words)))


def test_extending_by_nothing_is_refused_with_what_may_be_given() -> None:
    """Catches: exit 0 after nothing, for one who left the option out."""
    said = "either a FILE, or --seeds N (0 … N − 1) or a list such as 5,6,7, --grid PATH=[VALUES]"
    assert said in misused("extend", "SWEEP")
    assert said in misused("extend", "SWEEP", "more.yaml", "--seeds", "3")


def test_a_plan_tells_the_time_and_what_is_there_already(
    url: str, file: str, database: Database
) -> None:
    assert "no trial like these has run here yet" in lrd("submit", file, "--plan")
    seed(database, small_sweep())
    known = lrd("submit", file, "--plan")
    time = r"(\d|under 1) s"
    assert re.search(
        rf"^about {time} with \d at a time \({time} of training\)$", known, re.MULTILINE
    )
    assert "4 have succeeded elsewhere and would run again; `reuse: true` takes over" in known


def test_status_and_plan_say_that_nobody_starts_anything(
    url: str, file: str, database: Database
) -> None:
    """Catches: `lrd api` alone, and a sweep that is queued for ever without a word."""
    nobody = "no dispatcher leads: nothing starts until `lrd dispatch` (or `lrd serve`) runs"
    assert lrd("submit", file, "--plan").splitlines()[-1] == nobody
    sweep_id = lrd("submit", file).split()[1].rstrip(":")
    assert lrd("submit", file).splitlines()[1] == nobody
    assert lrd("status", sweep_id).splitlines()[1:] == [f"  {nobody}"]
    leases.note_no_dispatcher_leads(database)  # then the sweep itself says it, too
    assert lrd("status", sweep_id).count("no dispatcher") == 1
    assert nobody not in lrd("status", seed(database, small_sweep()))
    with database.write() as session:
        leases.take(session, "one", host="node-1", pid=1, seconds=60)
        session.execute(update(Sweep).values(waiting_for=None))
    for command in (["submit", file, "--plan"], ["submit", file], ["status", sweep_id]):
        assert "no dispatcher" not in lrd(*command)


def test_status_names_what_failed(url: str, database: Database) -> None:
    """Catches: a line for each of a thousand trials that failed alike, without arm or seed."""
    sweep_id = seed(database, small_sweep(), states=("failed", "succeeded"))
    assert lrd("status", sweep_id).splitlines() == [
        f"{sweep_id}  failed     4/4  2 failed  small",
        f"  2 trials failed; `lrd trials {sweep_id} --state failed` lists them:",
        "    2 trials: error: RuntimeError: made up (seeded.py:1)",
    ]
    assert len(lrd("status", seed(database, small_sweep())).splitlines()) == 1


NO_GPU = "a trial needs 4 GPUs on one node; the largest node has 0"


@pytest.mark.usefixtures("led")
def test_status_says_why_no_trial_can_start(url: str, database: Database) -> None:
    """Catches: `queued 0/4` for ever, and not a word of what the cluster lacks."""
    sweep_id = seed(database, small_sweep(), states=("queued",))
    assert len(lrd("status", sweep_id).splitlines()) == 1
    with database.write() as session:
        session.execute(update(Sweep).values(waiting_for=NO_GPU))
    _, why = lrd("status", sweep_id).splitlines()
    assert why == f"  waiting, because none of its trials can start: {NO_GPU}"


@pytest.mark.usefixtures("led")
def test_status_says_what_was_lost_and_is_tried_again(url: str, database: Database) -> None:
    """Catches: a sweep whose trials die with their node again and again, and that only `runs`."""
    sweep_id = seed(database, small_sweep(), states=("queued", "running", "queued", "succeeded"))
    lost: dict[int, dict[str, Any]] = {
        1: {"losses": 2, "reason": "lost", "message": "node-1 is gone"},
        2: {"losses": 1, "attempt": 2},
    }
    with database.write() as session:
        session.execute(
            update(Attempt)
            .where(Attempt.trial_id == 2)
            .values(ended_at=AT, outcome="lost", message="node-2 is gone")
        )
        for trial_id, values in lost.items():
            session.execute(update(Trial).where(Trial.id == trial_id).values(**values))
    assert lrd("status", sweep_id).splitlines()[1:] == [
        "  running: 1 trial, epochs 1/2",
        "  trial 1 lost, to be tried again: node-1 is gone",
        "  trial 2 is tried again, after 1 loss in a row: node-2 is gone",
    ]


def test_a_comparison_names_its_metric_its_unit_and_its_baseline(
    url: str, database: Database
) -> None:
    """Catches: shares under a table of percent, of a metric that nobody named."""
    sweep_id = seed(database, small_sweep(seeds=3))
    said = lrd("compare", sweep_id)
    assert said.startswith("Test accuracy, last epoch: each arm minus the baseline (without LRD);")
    assert "| difference (percentage points) |" in said
    assert re.search(r"\| [+−]\d\.\d\d \| [+−]\d\.\d\d to [+−]\d\.\d\d \| \d-\d-\d \| 3 \|", said)
    (item,) = json.loads(lrd("compare", sweep_id, "--format", "json"))["items"]
    assert item["n"] == 3


def test_a_papers_tables_are_held_against_the_service(
    url: str, database: Database, tmp_path: Path
) -> None:
    sweep_id = seed(database, small_sweep(seeds=3))
    sound, paper = lrd("table", sweep_id, "--format", "latex"), tmp_path / "paper.tex"
    best = lrd("table", sweep_id, "--format", "latex", "--metric", "test_loss", "--at", "best")
    paper.write_text(f"\\section{{Results}}\n{sound}{best}")
    lines = lrd("verify", str(paper)).splitlines()[:-1]
    assert [line.partition(" of sweep ")[0].split(": ")[-1] for line in lines] == [
        "test_accuracy at last",
        "test_loss at best",
    ]
    assert all(line.endswith("2 cells, all as the service has them") for line in lines)

    row = next(line for line in sound.splitlines() if "% arm numbers" in line)
    (mean,) = re.findall(r"(\d\d\.\d\d)[} ].*?% arm numbers", row)[:1]
    paper.write_text(sound.replace(mean, "99.99", 1))
    said = lrd("verify", str(paper), code=1)
    assert "1 of 2 cells not as the service has them" in said
    assert re.search(rf"line \d+: .*: 99\.99 .* in the file, {mean} .* in the service", said)

    paper.write_text(sound.replace(row, row.replace(mean, "99.99").partition("% arm")[0]))
    said = lrd("verify", str(paper), code=1)
    assert ": 1 cell as the service has them, 1 row not verified\n" in said
    assert re.search(r"line \d+: `.*99\.99.*` is not verified: its comment is gone", said)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (
            "no table",
            r"paper\.tex has no table of `lrd table`, `lrd compare` or `lrd effects` as LaTeX",
        ),
        ("% lrd verify {}", r"paper\.tex: line 1: which table this is can no longer be read"),
    ],
)
def test_a_paper_that_cannot_be_verified_says_why(
    url: str, source: str, said: str, tmp_path: Path
) -> None:
    paper = tmp_path / "paper.tex"
    paper.write_text(source)
    with pytest.raises(LRDError, match=said):
        lrd("verify", str(paper))


def test_a_table_whose_sweep_is_gone_is_named_and_the_others_are_verified(
    url: str, database: Database, tmp_path: Path
) -> None:
    """Catches: one deleted sweep, after which nothing of a paper can be verified any more."""
    sound = lrd("table", seed(database, small_sweep(seeds=3)), "--format", "latex")
    gone = (
        '% lrd verify {{"sweep": "{}", "metric": "{}", "at": "last"}}\n'
        "a & $1.00$ \\\\ % arm numbers 1\n"
    )
    paper, here = (
        tmp_path / "paper.tex",
        json.loads(sound.partition("% lrd verify ")[2][:200].splitlines()[0]),
    )
    paper.write_text(gone.format("nope", "test_loss") + gone.format(here["sweep"], "bleu") + sound)
    first, second, third, _ = lrd("verify", str(paper), code=1).splitlines()
    assert first.startswith(f"{paper}: line 1: test_loss at last of sweep nope: nothing in it is ")
    assert "verified: there is no sweep 'nope' in this service" in first
    assert "line 3: bleu at last of sweep" in second
    assert "nothing in it is verified: no trial of sweep" in second
    assert third.endswith("2 cells, all as the service has them")


@pytest.mark.parametrize("words", [["table", "nope"], ["cancel", "nope"], ["watch", "nope"]])
def test_who_names_no_sweep_is_sent_to_a_command(url: str, words: list[str]) -> None:
    """Catches: `GET /api/v1/sweeps lists them`, to one who sits at a shell."""
    with pytest.raises(LRDError, match=r"^there is no sweep 'nope'; `lrd ls` lists them$"):
        lrd(*words)


def test_one_trial_is_cancelled_and_retried(url: str, database: Database) -> None:
    """Catches: a whole sweep that is ended for one trial that hangs, and a command for each of
    several."""
    sweep_id = seed(database, small_sweep(), states=("queued", "failed"))
    assert lrd("cancel", "--trial", "1").split()[:3] == ["1", "cancelled:", "user"]
    assert lrd("retry", "--trial", "1").split()[:2] == ["1", "queued"]
    assert lrd("retry", "--trial", "2").split()[:2] == ["2", "queued"]
    assert lrd("trials", sweep_id, "--state", "failed").split()[0] == "4"
    for words in ([], [sweep_id, "--trial", "1"]):
        for command in ("cancel", "retry"):
            assert re.search("name a SWEEP .* or trials with --trial", misused(command, *words))
    both = ("--trial", "1", "--trial", "3")
    assert [line.split()[:2] for line in lrd("cancel", *both).splitlines()] == [
        ["1", "cancelled:"],
        ["3", "cancelled:"],
    ]
    assert [line.split()[:2] for line in lrd("retry", *both).splitlines()] == [
        ["1", "queued"],
        ["3", "queued"],
    ]


def test_other_refusals_about_a_sweep_keep_their_own_words(url: str, database: Database) -> None:
    sweep_id = seed(database, small_sweep())
    with pytest.raises(LRDError, match=f"sweep {sweep_id} has no arm 999 to be the baseline"):
        lrd("compare", sweep_id, "--baseline", "999")


def test_a_mistyped_metric_is_refused(url: str, database: Database) -> None:
    sweep_id = seed(database, small_sweep())
    for command in ("table", "compare"):
        with pytest.raises(LRDError, match=r"'tset_loss' \(did you mean 'test_loss'\?\); they re"):
            lrd(command, sweep_id, "--metric", "tset_loss")


def test_a_comparison_without_a_pair_says_so(url: str, database: Database) -> None:
    sweep_id = seed(database, small_sweep(), states=("queued",))
    said = lrd("compare", sweep_id)
    assert "No seed gave a number in both an arm and its baseline: nothing is tested." in said


def test_every_command_that_a_message_names_is_there() -> None:
    """Catches: `lrd sweep export`, to one who then looks for it."""
    commands = typer.main.get_command(cli.app)
    sources = [path for room in ("lrd_core", "service") for path in (ROOT / room).rglob("*.py")]
    named = {
        (match[1], match[2], str(path))
        for path in sources
        for match in re.finditer(r"`lrd ([a-z]+)(?: ([a-z]+))?", path.read_text())
    }
    assert len(named) > 20
    for group, below, path in named:
        assert group in commands.commands, path  # type: ignore[attr-defined]
        inside = getattr(commands.commands[group], "commands", None)  # type: ignore[attr-defined]
        assert not (inside and below) or below in inside, path


def test_one_trial_is_told_in_words(tmp_path: Path) -> None:
    trial = tmp_path / "trial.yaml"
    trial.write_text(yaml.safe_dump(small_sweep()["base"] | {"epochs": 1}))
    assert lrd("run", str(trial)).startswith("epoch 1  train_loss ")


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("LRD_PORT", "abc", "LRD_PORT should be an integer, got 'abc'"),
        ("LRD_DATABASE_URL", "foo", "LRD_DATABASE_URL: 'foo' is no URL of a database of this"),
        ("LRD_DATABASE_URL", "mysql://me:secret@x/y", "LRD_DATABASE_URL: 'mysql:…' is no URL of"),
        ("LRD_DATABASE_URL", "postgresql://x:port/y", "write postgresql://USER@HOST/NAME, or sql"),
        ("LRD_DATABASE_URL", "sqlite://", "SQLite needs a file, for several processes share"),
        ("LRD_DATABASE_PASSWORD_FILE", "/p", "and LRD_DATABASE_URL is empty: name the database"),
        ("LRD_STORAGE_DIR", __file__, f"LRD_STORAGE_DIR: {__file__} is a file: name a folder"),
        ("LRD_TRIALS_URL", "s4://secret", "LRD_TRIALS_URL: no storage is known by s4:// here"),
        ("LRD_LEASE_SECONDS", "inf", "LRD_LEASE_SECONDS must be a finite number"),
    ],
)
def test_a_setting_that_cannot_be_is_named_by_whatever_reads_it(
    setting: str, value: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: a traceback through three libraries, and a password in it."""
    monkeypatch.setenv(setting, value)
    for command in (["serve"], ["api"], ["db", "check"], ["token", "ls"]):
        with pytest.raises(LRDError) as refused:
            lrd(*command)
        assert said in str(refused.value)
        assert "secret" not in str(refused.value)
    with pytest.raises(SystemExit, match=re.escape(said)):
        dispatch.main()


@pytest.mark.parametrize("command", ["submit", "run"])
def test_a_file_that_is_not_utf_8_is_told_with_its_line(command: str, tmp_path: Path) -> None:
    """Catches: `UnicodeDecodeError`, of a name with an accent that an old editor saved."""
    file = tmp_path / "old.yaml"
    file.write_bytes("# a sweep\nname: présentée\n".encode("latin-1"))
    with pytest.raises(LRDError, match=r"old.yaml is not UTF-8 \(byte 0xe9 in line 2\): save it"):
        lrd(command, str(file))


@pytest.mark.parametrize("token", ["é", "lrd_a b", "lrd_a\n"])
def test_a_token_that_cannot_be_sent_is_refused_unshown(
    token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: `'ascii' codec can't encode character`, out of the depths of HTTP."""
    monkeypatch.setenv("LRD_TOKEN", token)
    with pytest.raises(LRDError, match=r"^the token \(LRD_TOKEN, or --token\) holds a character"):
        lrd("ls")


def test_the_api_alone_and_the_dispatcher_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Any] = []
    monkeypatch.setattr("service.serve.serve", lambda *a, **k: started.append((a[0].port, k)))
    monkeypatch.setattr(os, "execv", lambda *words: started.append(words))
    lrd("api", "--port", "0")
    lrd("dispatch")
    assert started[0] == (0, {"dispatch": False})
    assert started[1] == (sys.executable, [sys.executable, "-m", "service.dispatch"])


def test_a_trial_is_looked_at_before_thousands_of_it_are_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: a difference that is printed, with exit status 0."""
    monkeypatch.setattr(repeats, "_apart", repeats._tried)
    file = tmp_path / "trial.yaml"
    file.write_text(yaml.safe_dump(small_sweep()["base"]))
    said = lrd("check", str(file), "--epochs", "2").splitlines()
    assert [line.partition(": ")[0] for line in said] == [
        "yes  again from the start",
        "yes  on from its checkpoint after epoch 1",
        "yes  begins with the same weights with LRD",
    ]
    drawn = iter(range(100))
    monkeypatch.setattr(repeats.checkpoint, "weights_sha256", lambda _: f"{next(drawn):064}")
    said = lrd("check", "-", given=file.read_text(), code=1)
    assert "NO   again from the start: the metrics are the same, but the weights are not" in said
    assert "must take its seed from `lrd_core.seeds`" in said
