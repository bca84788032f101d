"""What `lrd` says, in lines; that it is said by the commands is tested in test_cli."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from service.client import StillRunning
from service.commands import output
from service.formatting import count, trouble

PLAN: dict[str, Any] = {
    "trials_total": 1, "arms_total": 1, "present_elsewhere": 0, "reuse": False,
    "comparisons": 0, "advice": [],
    "waiting_for": None, "arms": [],
    "time": {"trial_seconds": 3.0, "wall_seconds": 3.0, "slots": 1, "unknown": 1},
}  # fmt: skip


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "under 1 s"),
        (1.2, "1 s"),
        (89.0, "89 s"),
        (90.0, "2 min"),
        (5399.0, "90 min"),
        (5400.0, "1.5 h"),
        (129_599.0, "36.0 h"),
        (1_787_948.0, "20.7 days"),
    ],
)
def test_a_plans_time_is_in_a_unit_that_one_can_picture(seconds: float, text: str) -> None:
    """Catches: `about 1787948 s`."""
    time = PLAN["time"] | {"wall_seconds": seconds, "trial_seconds": 2 * seconds, "unknown": 0}
    assert f"about {text} with 1 at a time (" in output.plan(PLAN | {"time": time})


def test_one_is_singular() -> None:
    """Catches: `1 trials: 1 arms`."""
    assert [count(n, "trial") for n in (0, 1, 2)] == ["0 trials", "1 trial", "2 trials"]
    said = output.plan(PLAN)
    assert said.startswith("1 trial: 1 arm\n")
    assert said.endswith("; 1 trial is of a kind not seen yet)")


@pytest.mark.parametrize(
    ("present", "reuse", "said"),
    [
        (1, True, "1 has succeeded elsewhere and is reused"),
        (2, True, "2 have succeeded elsewhere and are reused"),
        (1, False, "1 has succeeded elsewhere and would run again; `reuse: true` takes over the"),
    ],
)
def test_a_plan_says_what_becomes_of_trials_that_are_there(
    present: int, reuse: bool, said: str
) -> None:
    assert f"\n{said}" in output.plan(PLAN | {"present_elsewhere": present, "reuse": reuse})


def test_a_plan_says_that_nothing_of_it_could_start() -> None:
    why = "a trial needs 4 GPUs on one node; the largest node has 0"
    said = output.plan(PLAN | {"waiting_for": why})
    assert said.endswith(f"\nnone of its trials could start now: {why}")
    assert "could start" not in output.plan(PLAN)


def test_a_plan_says_that_nothing_is_compared() -> None:
    """Catches: a baseline that every arm matches, and a table without tests days later."""
    arms = [{"label": label, "is_baseline": True} for label in "ab"]
    both = PLAN | {"arms_total": 2, "arms": arms}
    assert output.plan(both).endswith("\nevery arm is a baseline: nothing is compared")
    one = {"label": "c", "is_baseline": False}
    assert "nothing is" not in output.plan(both | {"arms": [*arms, one]})
    assert "nothing is" not in output.plan(PLAN | {"arms": arms[:1]})
    none = output.plan(both | {"arms": [one, one | {"label": "d"}]})
    assert "no arm is a baseline: nothing is compared; say which is, e.g. `baseline: {" in none


def test_each_cause_of_failure_is_told_once_the_most_frequent_first() -> None:
    causes = [
        {"reason": "error", "message": "no such file", "trials": 3},
        {"reason": "diverged", "message": "the training loss of epoch 2 is nan", "trials": 1},
        {"reason": "timeout", "message": None, "trials": 1},
    ]
    said = [
        "5 trials failed; `lrd trials 8w2k --state failed` lists them:",
        "  3 trials: error: no such file",
        "  1 trial: diverged: the training loss of epoch 2 is nan",
        "  1 trial: timeout",
    ]
    assert output.failures(causes, 5, "8w2k").splitlines() == said
    # The service names the most frequent causes; a retry may lie between its two answers.
    assert output.failures(causes, 985, "8w2k").endswith("\n  and 980 trials for other reasons")
    assert len(output.failures(causes, 4, "8w2k").splitlines()) == 4


SWEEP: dict[str, Any] = {
    "id": "8w2k", "name": "a\nname", "state": "succeeded", "trials_total": 320, "tags": [],
    "trials": {"queued": 0, "running": 0, "succeeded": 320, "failed": 0, "cancelled": 0},
}  # fmt: skip


@pytest.mark.parametrize(
    ("state", "counts", "said"),
    [
        ("succeeded", {}, "8w2k  succeeded  320/320  a name"),
        ("cancelled", {"cancelled": 1}, "8w2k  cancelled  320/320  1 cancelled  a name"),
        ("failed", {"failed": 3}, "8w2k  failed     320/320  3 failed  a name"),
        (
            "failed",
            {"failed": 3, "cancelled": 2},
            "8w2k  failed     320/320  3 failed, 2 cancelled  a name",
        ),
        (
            "running",
            {"failed": 1, "queued": 20},
            "8w2k  running    300/320  1 failed  a name",
        ),
    ],
)
def test_a_sweep_is_told_in_a_line_with_what_has_no_result(
    state: str, counts: dict[str, int], said: str
) -> None:
    """Catches: `cancelled 320/320`, of which one was."""
    trials = SWEEP["trials"] | counts | {"succeeded": 320 - sum(counts.values())}
    assert output.sweep(SWEEP | {"state": state, "trials": trials}) == said
    assert output.sweep(SWEEP | {"tags": ["x", "y"]}).endswith("  a name  [x, y]")


TRIAL: dict[str, Any] = {
    "id": 7, "state": "succeeded", "reason": None, "message": None, "epochs": 5, "epochs_done": 5,
    "seed": 3, "label": "plain", "losses": 0, "alone": False,
    "last_report": {"epoch": 5, "train_loss": 0.1, "test_accuracy": 0.94612, "seconds": 2.0},
}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "asked", "said"),
    [
        ({}, None, "7  succeeded  5/5  test accuracy 94.61 %  seed 3  plain"),
        ({}, "train_loss", "7  succeeded  5/5  train loss 0.1000  seed 3  plain"),
        ({}, "map_50", "7  succeeded  5/5  –  seed 3  plain"),  # not every epoch has it
        (
            {"state": "queued", "epochs_done": 0, "last_report": None},
            None,
            "7  queued  0/5  –  seed 3  plain",
        ),
        (
            {"state": "failed", "reason": "diverged", "last_report": {"train_loss": "NaN"}},
            None,
            "7  failed: diverged  5/5  train loss nan  seed 3  plain",
        ),
        ({"last_report": {"epoch": 1, "regret": 2.5}}, None, "7  succeeded  5/5  regret 2.5000  "),
    ],
)
def test_a_trial_is_told_in_a_line(changes: dict[str, Any], asked: str | None, said: str) -> None:
    """Catches: `last_report: {…}` for a reader, a share as 0.946, and `lr` for a result."""
    line = output.trial(TRIAL | changes, asked)
    assert re.sub("  +", "  ", line).strip().startswith(said.strip())


def test_trials_stand_below_each_other() -> None:
    lines = [output.trial(TRIAL | {"id": each}, None) for each in (7, 12_345)]
    assert len({len(line) for line in lines}) == 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"state": "queued", "reason": "stalled", "message": "no report", "losses": 1},
            "trial 7 stalled, to be tried again: no report",
        ),
        (
            {"state": "queued", "reason": "oom", "message": "out of memory", "alone": True},
            "trial 7 oom, to be tried again: out of memory",
        ),
        ({"state": "running", "losses": 1}, "trial 7 is tried again, after 1 loss in a row"),
        ({"state": "queued", "losses": 3}, "trial 7 is tried again, after 3 losses in a row"),
        (
            {"state": "running", "alone": True},
            "trial 7 is tried again, alone on a node: it had run out of memory",
        ),
    ],
)
def test_a_trial_that_is_tried_again_says_why(changes: dict[str, Any], said: str) -> None:
    assert output.again(TRIAL | changes) == said


def test_of_many_trials_that_run_a_few_are_told() -> None:
    """Catches: `running 0/4` for hours, and a thousand numbers in a line."""
    trials = [{"epochs_done": done, "epochs": 5} for done in range(3)]
    assert output.progress(3, trials) == "running: 3 trials, epochs 0/5, 1/5, 2/5"
    many = output.progress(1000, trials * 9)
    assert many.count("/5") == output.SHOWN
    assert many.endswith(", and 990 more")
    assert output.progress(1, []) == "running: 1 trial"


def test_an_extension_by_nothing_is_said_to_be_one() -> None:
    """Catches: `0 trials added`, and silence."""
    assert output.extended(0).startswith("nothing is added: ")
    assert [output.extended(n) for n in (1, 2)] == ["1 trial added", "2 trials added"]


def test_what_can_be_set_is_written_as_a_shell_takes_it() -> None:
    """Catches: `tags=["lr = 0.1"]`, of which a shell makes three words."""
    spec = {"name": "small", "tags": ["lr = 0.1"], "notes": "it's “late”"}
    lines = output.changeable({"spec": spec}).splitlines()
    assert [shlex.split(line) for line in lines] == [
        ["priority=0"],
        ["max_concurrent=null"],
        ["max_failures=null"],
        ['tags=["lr = 0.1"]'],
        ["notes=it's “late”"],
    ]


def test_a_file_that_is_in_the_way_or_not_there_is_told_without_a_number(tmp_path: Path) -> None:
    """Catches: `there is no file FIGURE`, to one who is about to write it, where its folder is not;
    `[Errno 21]`."""
    there, none = tmp_path / "sweep.yaml", tmp_path / "none"

    def said(act: Callable[[], object]) -> str:
        try:
            act()
        except OSError as error:
            return trouble(error)
        return "nothing"

    assert said(there.read_text) == f"there is no file {there}"
    assert said((none / "forest.pdf").touch) == f"there is no folder {none}"
    assert said(tmp_path.read_text) == f"{tmp_path}: Is a directory"
    assert trouble(OSError(28, "No space left on device")) == "No space left on device"
    assert trouble(StillRunning("sweep s has not ended")) == "sweep s has not ended"


def test_a_speed_of_0_or_infinity_is_said_in_words() -> None:
    """Catches: `0.00` times as fast, of an arm that never gets there."""
    arm = {"reached": 0, "trials": 8, "undecided": [], "epochs": None, "seconds": None}
    paired = {"faster": 0, "ties": 4, "slower": 4}
    said = output.speed({
        "metric": "test_accuracy",
        "threshold": 0.9,
        "items": [arm | {"arm_id": at, "label": label} for at, label in enumerate("abc")],
        "comparisons": [
            paired | {"arm_id": 0, "epoch_ratio": 0, "second_ratio": 0.0},
            paired | {"arm_id": 1, "epoch_ratio": "Infinity", "second_ratio": None},
            paired | {"arm_id": 2, "epoch_ratio": 1.5, "second_ratio": 0.04},
        ],
    })  # fmt: skip
    assert "an arm that fluctuates more reaches a value sooner by luck" in said
    ratios = [line.split()[3:5] for line in said.splitlines()[5:]]
    assert ratios == [["never", "never"], ["∞", "–"], ["1.50", "0.04"]]
