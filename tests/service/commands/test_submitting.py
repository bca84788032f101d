"""`lrd submit, clone, extend`: how a shell says what is to run."""

import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from typer.testing import CliRunner

from lrd_core.__main__ import main as run_alone
from lrd_core.errors import InvalidSpec, LRDError
from lrd_core.training import TrainState
from service import cli
from service.client import Client
from service.commands.arguments import seeds_of
from service.store.session import Database
from tests.conftest import small_sweep
from tests.seeded import seed
from tests.service.test_cli import lrd


@pytest.fixture
def database_url(sqlite: Callable[[Path], str], tmp_path: Path) -> str:
    """One kind is enough, as in test_cli."""
    return sqlite(tmp_path / "storage")


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "sweep.yaml"
    path.write_text(yaml.safe_dump(small_sweep()))
    return str(path)


def submitted(said: str, url: str) -> dict[str, Any]:
    """The sweep that a command says it has made."""
    with Client(url) as client:
        return client.sweep(said.split()[1].rstrip(":")).status()


@pytest.mark.parametrize(
    ("text", "seeds"),
    [
        (None, None), ("3", 3), (" 3 ", 3), ("5,6,7", [5, 6, 7]), ("[5, 6]", [5, 6]), ("5,", [5]),
        ("[5]", [5]),
    ],
)  # fmt: skip
def test_seeds_are_a_count_or_a_list(text: str | None, seeds: int | list[int] | None) -> None:
    assert seeds_of(text) == seeds


@pytest.mark.parametrize("text", ["", "three", "-1", "1.5", "5;6", ",", "5,,6", "9" * 5000])
def test_other_seeds_are_refused_with_what_they_may_be(text: str) -> None:
    with pytest.raises(
        typer.BadParameter, match=r"is neither a count such as 3 nor a list such as 5,6,7$"
    ):
        seeds_of(text)


def test_a_file_is_submitted_with_parts_of_it_changed(url: str, file: str) -> None:
    """Catches: a file that has to be copied for two epochs less."""
    words = ["--set", "base.epochs=1", "--set", "grid.optimizer.keep_prob=[1.0, 0.7, 0.5]"]
    sweep = submitted(lrd("submit", file, *words, "--seeds", "5,6"), url)
    assert sweep["trials_total"] == 6
    assert sweep["spec"]["base"]["epochs"] == 1
    assert sweep["spec"]["seeds"] == [5, 6]
    assert "3 trials: 3 arms" in lrd("submit", file, *words, "--seeds", "1", "--plan")
    assert yaml.safe_load(Path(file).read_text()) == small_sweep()


def test_a_sweep_comes_in_by_standard_input(url: str) -> None:
    text = yaml.safe_dump(small_sweep(name="piped"))
    assert submitted(lrd("submit", "-", given=text), url)["name"] == "piped"
    assert "2 trials: 2 arms" in lrd("submit", "-", "--seeds", "1", "--plan", given=text)


def test_a_trial_comes_in_by_standard_input_too() -> None:
    trial = yaml.safe_dump(small_sweep()["base"] | {"epochs": 1})
    assert lrd("run", "-", given=trial).startswith("epoch 1  train_loss ")


def test_a_preset_takes_a_list_of_seeds(url: str) -> None:
    assert "40 trials: 10 arms" in lrd(
        "submit", "--preset", "digits", "--seeds", "5,6,7,8", "--plan"
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("base.epochs=0", "/base/epochs: should be greater than or equal to 1, got 0"),
        ("base.epochs.x=0", "/set/base.epochs.x: there is no 'base.epochs.x' in a sweep: 'epochs'"),
        (
            "optimizer.keep_prob=0.5",
            "/set/optimizer.keep_prob: there is no 'optimizer.keep_prob' in a sweep (did you mean "
            "'base.optimizer.keep_prob'?)",
        ),
        ("zork=1", "/zork: unknown field"),
    ],
)
def test_what_a_change_breaks_is_told_at_its_place(
    url: str, file: str, change: str, said: str
) -> None:
    with pytest.raises(InvalidSpec) as refused:
        lrd("submit", file, "--set", change)
    assert str(refused.value).startswith(said)
    assert lrd("ls").startswith("no sweeps yet")


def test_what_a_plugin_prints_is_not_among_the_reports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Catches: `lrd run FILE --json | jq` that fails at a line which one's own model prints."""
    create = TrainState.create

    def talks(*words: Any, **named: Any) -> TrainState:
        sys.stdout.write("the images are loaded\n")
        return create(*words, **named)

    monkeypatch.setattr(TrainState, "create", talks)
    trial = tmp_path / "trial.yaml"
    trial.write_text(yaml.safe_dump(small_sweep()["base"] | {"epochs": 2}))
    done = CliRunner().invoke(cli.app, ["run", str(trial), "--json"])
    assert [json.loads(line)["epoch"] for line in done.stdout.splitlines()] == [1, 2]
    assert done.stderr == "the images are loaded\n"
    monkeypatch.setattr(sys, "argv", ["lrd_core", str(trial)])
    assert run_alone() == 0
    said = capsys.readouterr()
    assert [json.loads(line)["epoch"] for line in said.out.splitlines()] == [1, 2]
    assert said.err == "the images are loaded\n"


@pytest.mark.parametrize("changes", [[], ["--set", "base.epochs=1"], ["--seeds", "3"]])
def test_one_trial_that_is_submitted_is_told_how_to_run_it(
    url: str, tmp_path: Path, changes: list[str]
) -> None:
    """Catches: `/dataset: unknown field`, for one who took the wrong one of two files, and eight
    more of these."""
    trial = tmp_path / "trial.yaml"
    trial.write_text(yaml.safe_dump(small_sweep()["base"]))
    with pytest.raises(InvalidSpec) as refused:
        lrd("submit", str(trial), *changes)
    (fault,) = refused.value.faults
    assert "this is one trial, not a sweep: run it with `lrd run FILE`" in fault.detail


def test_a_sweep_that_is_run_is_told_how_to_submit_it(file: str) -> None:
    with pytest.raises(InvalidSpec) as refused:
        lrd("run", file)
    (fault,) = refused.value.faults
    assert fault.detail == "this is a sweep, not a single trial: submit it with `lrd submit FILE`"


def test_a_plan_says_that_a_baseline_leaves_nothing_to_compare(url: str, file: str) -> None:
    every = "every arm is a baseline: nothing is compared"
    assert every in lrd("submit", file, "--plan", "--set", "baseline={optimizer.name: adam}")
    assert every not in lrd("submit", file, "--plan")


def test_a_sweep_is_cloned_with_parts_of_it_changed(url: str, file: str) -> None:
    """Catches: a clone that loses what was not changed."""
    first = submitted(lrd("submit", file), url)
    words = ["--set", "base.optimizer.name=sgdm", "--set", "base.batch_size=64"]
    plan = lrd("clone", first["id"], *words, "--seeds", "1", "--plan")
    assert plan.startswith("2 trials: 2 arms")
    assert len(lrd("ls").splitlines()) == 1
    clone = submitted(lrd("clone", first["id"], *words, "--name", "another"), url)
    assert (clone["name"], clone["trials_total"]) == ("another", 4)
    assert clone["spec"] == first["spec"] | {
        "name": "another",
        "base": first["spec"]["base"] | {"optimizer": {"name": "sgdm"}, "batch_size": 64},
    }
    same = submitted(lrd("clone", first["id"]), url)
    assert same["spec"] == first["spec"]


def test_what_is_wrong_with_a_clone_is_told_at_its_place(url: str, file: str) -> None:
    first = submitted(lrd("submit", file), url)
    for plan in ([], ["--plan"]):
        with pytest.raises(InvalidSpec, match=r"^/base/epochs: should be greater"):
            lrd("clone", first["id"], "--set", "base.epochs=0", *plan)
    with pytest.raises(LRDError, match=r"^there is no sweep 'nope'; `lrd ls` lists them$"):
        lrd("clone", "nope")


def test_an_extension_is_planned(url: str, file: str) -> None:
    """Catches: a plan that changes the sweep, counts what it has again, or is of the addition
    alone: what seeds can show depends on all of them."""
    sweep_id = submitted(lrd("submit", file, "--seeds", "3"), url)["id"]
    plan = lrd("extend", sweep_id, "--seeds", "6", "--plan").splitlines()
    assert plan[:2] == ["6 trials would be added, to make:", "12 trials: 2 arms"]
    assert plan[-1].startswith("6 pairs can reach p < 0.05")
    axis = ("--grid", "optimizer.keep_prob=[0.5, 0.7]")
    assert lrd("extend", sweep_id, *axis, "--plan").startswith("3 trials would be added")
    assert lrd("extend", sweep_id, "--seeds", "2", "--plan").startswith("nothing is added: ")
    with pytest.raises(InvalidSpec, match=r"/grid/optimizer.lr: no axis of this sweep"):
        lrd("extend", sweep_id, "--grid", "optimizer.lr=[1]", "--plan")
    assert lrd("status", sweep_id).split()[2] == "0/6"
    lrd("cancel", sweep_id)
    with pytest.raises(LRDError, match="was cancelled; clone it instead"):
        lrd("extend", sweep_id, "--seeds", "6", "--plan")


ARMS: dict[str, Any] = {
    "seeds": [7],
    "arms": [{"label": "small steps", "set": {"optimizer.lr": 0.0001}}],
}


def test_arms_are_added_from_a_file_or_standard_input(url: str, file: str, tmp_path: Path) -> None:
    """Catches: arms, which only REST and Python could add."""
    sweep_id = submitted(lrd("submit", file, "--seeds", "2"), url)["id"]
    more = tmp_path / "more.yaml"
    more.write_text(yaml.safe_dump(ARMS))
    plan = lrd("extend", sweep_id, str(more), "--plan")
    assert plan.startswith("8 trials would be added, to make:\n12 trials: 4 arms\n")
    assert lrd("extend", sweep_id, "-", given=json.dumps(ARMS)).startswith("8 trials added\n")
    assert lrd("extend", sweep_id, str(more)).startswith("nothing is added: ")
    with Client(url) as client:
        spec = client.sweep(sweep_id).status()["spec"]
    assert [arm["label"] for arm in spec["arms"]] == ["base", "small steps"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "/: this is empty"),
        ("[1]", "/: should be "),
        ("seed: 3", "/seed: unknown field (did you mean 'seeds'?)"),
        ("arms: [{label: a, set: {optimizer.rate: 1}}]", "/arms/0/set/optimizer.rate: "),
    ],
)
def test_what_is_wrong_in_the_file_of_an_extension_is_told_at_its_place(
    url: str, file: str, text: str, said: str
) -> None:
    sweep_id = submitted(lrd("submit", file), url)["id"]
    with pytest.raises(InvalidSpec) as refused:
        lrd("extend", sweep_id, "-", given=text)
    assert str(refused.value).startswith(said)


def test_sweeps_and_trials_are_found(url: str, file: str) -> None:
    first = submitted(lrd("submit", file, "--set", "name=first"), url)["id"]
    second = submitted(lrd("submit", file, "--set", "name=second"), url)["id"]
    lrd("cancel", second)
    assert first in lrd("ls", "--search", "firs")
    assert second not in lrd("ls", "--search", "firs")
    assert lrd("ls", "--state", "cancelled").split()[0] == second
    assert lrd("ls", "--state", "failed") == "no sweep is like that\n"
    of_arm = lrd("trials", first, "--arm", "without LRD").splitlines()
    assert [line.split(maxsplit=6)[-1] for line in of_arm] == ["without LRD"] * 2
    assert lrd("trials", first, "--arm", "without LRD", "--state", "failed").startswith("none of")
    with pytest.raises(LRDError, match=r"no arm of sweep .* is called 'with LRD'"):
        lrd("trials", first, "--arm", "with LRD")


def test_seeds_are_given_once(url: str, file: str) -> None:
    """Catches: one seed, for one who asked for four, too."""
    with pytest.raises(InvalidSpec, match="/set/seeds: the seeds are given twice"):
        lrd("submit", file, "--seeds", "1", "--set", "seeds=4")
    with pytest.raises(InvalidSpec, match="/set/seeds: the seeds are given twice"):
        lrd("submit", "--preset", "digits", "--seeds", "1", "--set", "seeds=4")


def test_an_extension_says_how_much_it_adds(url: str, file: str) -> None:
    """Catches: `How many in all`, to one whose seeds are 10, 11 and 12, and who gets ten more."""
    sweep_id = submitted(lrd("submit", file, "--seeds", "10,11,12"), url)["id"]
    added, line = lrd("extend", sweep_id, "--seeds", "2").splitlines()
    assert added == "4 trials added"
    assert line.split() == [sweep_id, "queued", "0/10", "small"]
    assert lrd("extend", sweep_id, "--seeds", "12,13").startswith("2 trials added\n")
    with Client(url) as client:
        assert client.sweep(sweep_id).status()["spec"]["seeds"] == [10, 11, 12, 0, 1, 13]
    nothing = "nothing is added: the sweep has all of these trials already\n"
    assert lrd("extend", sweep_id, "--seeds", "1").startswith(nothing)
    assert lrd("extend", sweep_id, "--grid", "optimizer.keep_prob=[0.5]").startswith(nothing)
    assert lrd("extend", sweep_id, "--grid", "optimizer.keep_prob=[0.7]").startswith("6 trials a")


def test_priority_and_limit_are_set_from_a_shell_and_a_clone_has_them(url: str, file: str) -> None:
    """Catches: `curl -X PATCH`, and a clone as the first one once was."""
    sweep_id = submitted(lrd("submit", file, "--set", "max_concurrent=1"), url)["id"]
    line, *now = lrd("set", sweep_id, "max_concurrent=2", "priority=5").splitlines()
    assert line.split()[0] == sweep_id
    assert now == ["  priority=5", "  max_concurrent=2", "  max_failures=null"]
    clone = submitted(lrd("clone", sweep_id), url)
    assert (clone["priority"], clone["max_concurrent"]) == (5, 2)
    assert "max_concurrent=null" in lrd("set", sweep_id, "max_concurrent=null")
    with pytest.raises(LRDError, match=r"/prioriti: .*priority"):
        lrd("set", sweep_id, "prioriti=5")
    assert "'priority' is not PATH=VALUE" in lrd("set", sweep_id, "priority", code=2)


def test_a_retry_of_a_paused_sweep_says_how_it_goes_on(url: str, file: str) -> None:
    """Catches: `paused 0/4`, and nothing that runs, without a word why."""
    sweep_id = submitted(lrd("submit", file), url)["id"]
    lrd("pause", sweep_id)
    lrd("cancel", sweep_id)
    said = lrd("retry", sweep_id, "--cancelled")
    assert f"paused: no trial of it starts until `lrd resume {sweep_id}`" in said
    lrd("resume", sweep_id)
    lrd("cancel", sweep_id)
    assert "paused" not in lrd("retry", sweep_id, "--cancelled")


TEXTS = [
    "seed 3 looks odd, see #12", "# plateau", "lr: too high?", "2024", "@ada", "*bold*",
    "[draft] rerun", '"quoted"', "a = b", "true",
]  # fmt: skip


@pytest.mark.parametrize("text", TEXTS)
def test_a_name_and_notes_are_stored_as_they_are_written(url: str, file: str, text: str) -> None:
    """Catches: `name="run #4"`, which YAML made `run` without a word; `notes=@ada`, refused."""
    words = [f"name={text}", f"notes={text}"]
    first = submitted(lrd("submit", file, "--set", words[0], "--set", words[1]), url)
    assert (first["name"], first["notes"]) == (text, text)
    said = lrd("set", first["id"], "name=x", "notes=y")
    assert "  notes=y\n" in said
    with Client(url) as client:
        sweep = client.sweep(first["id"])
        printed = shlex.split(lrd("set", first["id"], *words).splitlines()[-1])
        assert (sweep.status()["name"], sweep.status()["notes"]) == (text, text)
        assert printed == [f"notes={text}"]
        lrd("set", first["id"], "notes=null")
        assert sweep.status()["notes"] == ""
    with pytest.raises(LRDError, match=r"^/name: .*null"):
        lrd("set", first["id"], "name=null")


@pytest.mark.parametrize(
    ("assignment", "said"),
    [
        ("tags=[a] # b", r"^/tags: in '\[a\] # b', YAML takes .* drops it"),
        ("table.metric=#a", r"^/table.metric: in '#a'"),
        ("tags=['a #1', 'b' # c\n]", "^/tags: in "),
        ("tags=[a", r"^/tags: not valid YAML"),
    ],
)
def test_what_yaml_would_drop_of_a_value_is_refused(
    url: str, file: str, assignment: str, said: str
) -> None:
    """Catches: a value cut at its #, or a fault that names no path."""
    with pytest.raises(InvalidSpec, match=said):
        lrd("submit", file, "--set", assignment)
    tags = submitted(lrd("submit", file, "--set", "tags=['é #1', a#b, \"# c\"]"), url)["tags"]
    assert tags == ["é #1", "a#b", "# c"]


@pytest.mark.parametrize("name", ["lr?x=1", "a/b", "50% dropped", "a#b", "../sweeps", "Größe"])
def test_a_sweep_is_found_by_any_name(url: str, database: Database, name: str) -> None:
    """Catches: a name that is taken for the query, or another path, of the address."""
    sweep_id = seed(database, small_sweep(name=name))
    assert lrd("status", name).startswith(f"{sweep_id}  succeeded")
