"""Another package's model, data set, task and optimizer, named in a spec."""

import copy
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
import torch

from lrd_core import plugins
from lrd_core.errors import InvalidSpec, PluginError
from lrd_core.spec import SweepSpec, TrialSpec, expand_arms
from lrd_core.training import TrainState, train
from tests.installed import install

pytestmark = pytest.mark.usefixtures("lab")

ENTRY_POINTS = """
[lrd.models]
lab_net = lab_parts:net
lab_broken = lab_absent:net
[lrd.datasets]
lab_stripes = lab_parts:stripes
lab_unread = lab_parts:unread
[lrd.tasks]
lab_task = lab_parts:Counting
lab_chance = lab_parts:Chance
[lrd.optimizers]
lab_lion = lab_parts:Lion
"""

PARTS = '''
"""What a laboratory might add."""
import torch
from torch import nn
from lrd_core.datasets.images import ImageData


def net(image_shape, classes, dropout):
    pixels = image_shape[0] * image_shape[1] * image_shape[2]
    return nn.Sequential(nn.Flatten(), nn.Dropout(0.2), nn.Linear(pixels, classes))


def unread(root):
    return torch.load(root / "none.pt")


def stripes(root):
    labels = torch.arange(64) % 2
    images = torch.zeros(64, 1, 6, 6, dtype=torch.uint8)
    images[labels == 1, :, ::2] = 255
    return ImageData(
        images, labels, images, labels, classes=2, scale=255, mean=(0.5,), std=(0.5,)
    )


class Counting:
    def __init__(self, spec, device, data_dir):
        self.spec = spec

    def model(self):
        return nn.Linear(1, 1)

    def train_epoch(self, model, optimizer, epoch):
        optimizer.zero_grad()
        model(torch.ones(1, 1)).sum().backward()
        optimizer.step()
        return {"train_loss": float(epoch)}

    def evaluate(self, model):
        return {"counted": 1.0}


class Chance(Counting):
    """It draws from torch's global generators everywhere, and seeds none."""

    def __init__(self, spec, device, data_dir):
        self.data = torch.rand(())

    def model(self):
        return nn.Linear(1, 1)

    def train_epoch(self, model, optimizer, epoch):
        trained = super().train_epoch(model, optimizer, epoch)
        return trained | {"train_drawn": torch.rand(())}

    def evaluate(self, model):
        return {"data": self.data, "weight": model.weight.detach().sum(), "drawn": torch.rand(())}


class Lion(torch.optim.Optimizer):
    def __init__(self, params, lr, weight_decay, beta=0.9):
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "beta": beta})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                p.add_(p.grad.sign() + group["weight_decay"] * p, alpha=-group["lr"])
'''


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package with entry points, as pip leaves it."""
    install(tmp_path, "lab_parts", ENTRY_POINTS, PARTS)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "lab_parts", raising=False)
    return tmp_path


def spec(**changes: Any) -> TrialSpec:
    return TrialSpec.parse(
        {
            "dataset": "digits",
            "model": "fcnet",
            "optimizer": {"name": "adam"},
            "epochs": 2,
            "batch_size": 512,
        }
        | changes
    )


def test_a_model_and_a_data_set_of_another_package_are_trained() -> None:
    trial = spec(dataset="lab_stripes", model="lab_net", epochs=30, batch_size=16)
    reports = list(train(trial, TrainState.create(trial)))
    assert reports[-1].metrics["test_accuracy"] == 1
    # Its own dropout is seeded by the trial, whatever the global generators say.
    torch.rand(7)
    again = list(train(trial, TrainState.create(trial)))
    assert [report.metrics for report in again] == [report.metrics for report in reports]


def test_an_optimizer_of_another_package_gets_learning_rate_dropout() -> None:
    trial = spec(
        model="lab_net",
        optimizer={"name": "lab_lion", "lr": 0.5, "keep_prob": 0.25, "options": {"beta": 0.8}},
        batch_size=2000,  # one step an epoch
    )
    state = TrainState.create(trial)
    assert state.optimizer.param_groups[0]["beta"] == 0.8
    before = state.model.get_parameter("2.weight").detach().clone()
    next(train(trial, state))
    after = state.model.get_parameter("2.weight")
    step = (after - before).abs()
    # Lion's step is lr in size wherever there is a gradient; a quarter of the elements keep it.
    kept = step[after.grad != 0] > 0.4  # type: ignore[index]
    assert kept.float().mean().item() == pytest.approx(0.25, abs=0.08)


def test_a_task_of_another_package_is_named_by_the_spec() -> None:
    trial = spec(task="lab_task", dataset="lab_stripes", model="lab_net")
    reports = list(train(trial, TrainState.create(trial)))
    assert [report.metrics for report in reports] == [
        {"train_loss": 1.0, "counted": 1.0},
        {"train_loss": 2.0, "counted": 1.0},
    ]


def test_a_task_of_another_package_may_do_without_a_data_set_and_a_model() -> None:
    bare = {"task": "lab_task", "optimizer": {"name": "adam"}, "epochs": 2}
    trial = TrialSpec.parse(bare)
    assert (trial.dataset, trial.model) == ("", "")
    assert not {"dataset", "model"} & trial.config().keys()
    assert TrialSpec.parse(bare | {"dataset": None, "model": None}) == trial
    # As the store and the workers have it.
    assert TrialSpec.parse(trial.model_dump(mode="json")) == trial
    assert len(list(train(trial, TrainState.create(trial)))) == 2
    sweep = {"name": "bare", "base": bare, "grid": {"optimizer.keep_prob": [1.0, 0.5]}}
    for _ in range(2):
        arms = expand_arms(SweepSpec.parse(sweep))
        assert [arm.config.model for arm in arms] == ["", ""]
        sweep = SweepSpec.parse(sweep).model_dump(mode="json", exclude_unset=True)
    with pytest.raises(InvalidSpec, match=r"^/dataset: missing.*\n/model: missing[^\n]*$"):
        TrialSpec.parse({**bare, "task": "classification"})
    with pytest.raises(InvalidSpec, match=r"^/task: unknown task 'lab_tsak'[^\n]*$"):
        TrialSpec.parse({**bare, "task": "lab_tsak"})


def test_what_another_package_reports_nobody_knows_beforehand() -> None:
    """Catches: a plugin's own metric, refused; and a mistyped one of this package's, let through
    for the name of a plugin's model."""

    def asked(**base: Any) -> dict[str, Any]:
        table = {"metric": "regret"}
        return {"name": "lab", "base": spec(**base).config(), "table": table}

    for base in ({"task": "lab_task"}, {"dataset": "lab_stripes", "model": "fcnet"}):
        assert expand_arms(SweepSpec.parse(asked(**base)))
    with pytest.raises(InvalidSpec, match=r"^/table/metric: no trial of this sweep reports"):
        expand_arms(SweepSpec.parse(asked(dataset="digits", model="lab_net")))


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"dataset": "lab_stripes", "task": "descent"}, "/task: descent works only with dataset s"),
        ({"dataset": "lab_stripes", "task": "segmentation"}, "/task: .* dataset voc_segmentation"),
        ({"dataset": "lab_stripes", "model": "point"}, "/: model point does not go with dataset"),
        ({"dataset": "lab_stripes", "model": "ssd300"}, "/: model ssd300 does not go with"),
        (
            {"dataset": "surface", "data": {"surface": "toy"}, "model": "lab_net"},
            "/: model lab_net does not go with dataset surface; one of point does",
        ),
        (
            {"dataset": "lab_stripes", "data": {"crop_size": 97}},
            "/: crop_size does not go with dataset lab_stripes",
        ),
        (
            {"dataset": "lab_stripes", "data": {"surface": "toy"}},
            "/: surface does not go with dataset lab_stripes",
        ),
        (
            {"dataset": "voc_detection", "model": "lab_net", "regularizers": ["SD"]},
            "/regularizers: SD drops hidden units of classification models; this task is detection",
        ),
    ],
)
def test_what_would_be_passed_over_in_silence_is_refused(changes: Any, fault: str) -> None:
    # Each was accepted, and trained other data, another model or without the regularizer.
    with pytest.raises(InvalidSpec, match=fault):
        spec(**changes)


def test_what_its_task_draws_is_seeded_by_trial_and_epoch() -> None:
    # Catches: an arm and its baseline of one seed that begin with different weights, and a trial
    # that resumes and draws what the one that did not stop would not have drawn.
    def run(seed: int, keep_prob: float) -> tuple[Any, list[Any]]:
        torch.rand(3)  # the global generators are elsewhere each time
        optimizer = {"name": "adam", "lr": 1e-3, "keep_prob": keep_prob}
        trial = TrialSpec.parse(
            {"task": "lab_chance", "optimizer": optimizer, "epochs": 2, "seed": seed}
        )
        state = TrainState.create(trial)
        weights = [param.detach().clone() for param in state.model.parameters()]
        reports = train(trial, state)
        first, saved = next(reports), copy.deepcopy(state.state_dict())
        resumed = TrainState.create(trial)
        resumed.load_state_dict(saved)
        torch.rand(3)
        (second,) = reports
        (again,) = train(trial, resumed)
        assert second.metrics == again.metrics
        return weights, [first.metrics, second.metrics]

    weights, (first, second) = run(1, 1.0)
    with_lrd, (masked, _) = run(1, 0.5)
    assert weights == with_lrd
    for drawn in ("data", "drawn", "train_drawn"):
        assert first[drawn] == masked[drawn]
    assert first["drawn"] != second["drawn"]
    assert first["train_drawn"] != second["train_drawn"]
    others, (other, _) = run(2, 1.0)
    assert weights != others
    assert first["data"] != other["data"]


@pytest.mark.parametrize(
    ("trained", "evaluated", "said"),
    [
        ({"loss": 1.0}, {}, "returns no train_loss"),
        ({"train_loss": 1.0}, {"epoch": 7.0}, "calls a metric 'epoch'"),
        ({"train_loss": 1.0}, {"hits": torch.ones(1)}, r"'hits' has shape \(1,\)"),
        ({"train_loss": 1.0}, {"": 1.0}, "evaluate returned a metric named ''; a name"),
        ({"train_loss": 1.0}, {"a\0b": 1.0}, "a metric named .*none of them invisible"),
        ({"train_loss": 1.0}, {"x" * 101: 1.0}, "metric named 'xxx.* 1 to 100 characters"),
        ({"train_loss": 1.0}, {7: 1.0}, "a metric named 7; a name is text"),
        ({"train_loss": 1.0}, {f"m{n}": 1.0 for n in range(500)}, "reports 501 metrics"),
        ({"train_loss": 1.0}, None, r"evaluate returned None; it must return a mapping of"),
        (None, {}, r"lab_parts\.Counting\.train_epoch returned None; it must return a mapping of"),
        ({"train_loss": 1.0}, {"hits": "many"}, "returned 'many' as the metric 'hits'; each must"),
        ({"train_loss": [1.0]}, {}, r"train_epoch returned \[1\.0\] as the metric 'train_l"),
    ],
)
def test_what_makes_no_report_is_said_in_a_sentence(
    trained: Any, evaluated: Any, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A metric `epoch` was recorded as the report's own.
    trial = TrialSpec.parse({"task": "lab_task", "optimizer": {"name": "adam"}, "epochs": 1})
    state = TrainState.create(trial)

    def train_epoch(task: Any, model: Any, optimizer: Any, epoch: int) -> Any:
        optimizer.step()
        return trained

    monkeypatch.setattr(type(state.task), "train_epoch", train_epoch)
    monkeypatch.setattr(type(state.task), "evaluate", lambda *_: evaluated)
    with pytest.raises(PluginError, match=said):
        next(train(trial, state))


def test_a_model_with_more_than_tensors_in_its_state_is_refused_before_it_is_trained(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Catches: 'dict' object has no attribute 'dtype', after the last epoch."""
    monkeypatch.setattr(torch.nn.Linear, "get_extra_state", lambda _: {"n": 3})
    trial = TrialSpec.parse({"task": "lab_task", "optimizer": {"name": "adam"}, "epochs": 1})
    with pytest.raises(PluginError, match=r"has '_extra_state', which is a dict; .* a buffer"):
        TrainState.create(trial)


def test_names_are_checked_without_importing_what_they_stand_for() -> None:
    sweep = SweepSpec.parse(
        {
            "name": "lab",
            "base": spec(model="lab_broken").config(),
            "grid": {"optimizer": [{"name": "lab_lion", "lr": 0.1}, {"name": "adam"}]},
        }
    )
    labels = [arm.label for arm in expand_arms(sweep)]
    assert len(labels) == 2
    assert "lab_parts" not in sys.modules
    assert "lab_lion" in labels[0]


def test_what_is_offered_stands_in_the_fault_of_an_unknown_name() -> None:
    with pytest.raises(InvalidSpec, match=r"lab_broken, lab_net, or an entry point of lrd.models"):
        spec(model="lab_nets")
    with pytest.raises(InvalidSpec, match=r"nadam, an entry point of lrd.optimizers"):
        spec(optimizer={"name": "lab_tiger"})
    with pytest.raises(InvalidSpec, match="/optimizer/options: lr must not be among"):
        spec(optimizer={"name": "lab_lion", "lr": 0.1, "options": {"lr": 0.2}})
    with pytest.raises(InvalidSpec, match="/optimizer/lr: missing"):
        spec(optimizer={"name": "lab_lion"})


def test_what_cannot_be_imported_says_what_it_is() -> None:
    with pytest.raises(PluginError, match=r"'lab_broken' of lrd.models is lab_absent:net"):
        TrainState.create(spec(model="lab_broken"))


def test_the_line_of_an_error_is_the_plugins_own() -> None:
    """Catches: the place in torch where a file is opened, which nobody can mend."""
    with pytest.raises(PluginError, match=r"raised FileNotFoundError: .*lab_parts.py:14\)"):
        TrainState.create(spec(model="lab_net", dataset="lab_unread"))


def test_what_is_not_installed_here_says_so() -> None:
    with pytest.raises(PluginError, match="no package installed here offers 'other_net'"):
        plugins.load("lrd.models", "other_net")
    with pytest.raises(InvalidSpec, match="unknown model 'other_net'"):
        spec(model="other_net")


@pytest.mark.parametrize("name", ["lab_parts:net", "os.system", "../lab", "torch.optim:Adam"])
def test_a_spec_never_carries_an_import_path(lab: Path, name: str) -> None:
    for part in ({"model": name}, {"dataset": name}, {"optimizer": {"name": name, "lr": 1.0}}):
        with pytest.raises(InvalidSpec, match="unknown"):
            spec(**part)


def test_entry_points_are_listed_without_torch(lab: Path) -> None:
    code = dedent(
        f"""
        import sys; sys.path.insert(0, {str(lab)!r})
        from lrd_core.spec import TrialSpec
        TrialSpec.parse({{"dataset": "lab_stripes", "model": "lab_net", "epochs": 1,
                          "optimizer": {{"name": "lab_lion", "lr": 0.1}}}})
        print("torch" in sys.modules)
        """
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_model_that_places_no_layer_of_sd_is_not_called_an_arm_with_sd() -> None:
    """Catches: two rows of a table, with SD and without, that are the same bit for bit."""
    trial = spec(model="lab_net", regularizers=["SD"])
    with pytest.raises(PluginError, match="model lab_net has no layer of it"):
        TrainState.create(trial)


@pytest.mark.parametrize("kind", ["SD", "NL"])
def test_a_task_that_applies_no_sd_or_nl_is_not_called_an_arm_with_it(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: the same two rows by a task of another package, which passes both over."""
    bare = {"task": "lab_task", "optimizer": {"name": "adam"}, "epochs": 1}
    state = TrainState.create(TrialSpec.parse(bare | {"regularizers": ["NG", "DG"]}))
    asked = TrialSpec.parse(bare | {"regularizers": [kind]})
    with pytest.raises(PluginError, match=f"asks for {kind}, and task lab_task does not say"):
        TrainState.create(asked)
    monkeypatch.setattr(type(state.task), "applies", (kind,), raising=False)
    assert TrainState.create(asked)


def test_what_is_asked_of_the_data_a_task_of_another_package_may_read() -> None:
    """Of its own data set or none; of the others it gets what each can be asked for."""
    data = {"surface": "toy", "crop_size": 97, "cutout": 4, "max_examples": 5}
    assert spec(task="lab_task", dataset="lab_stripes", data=data).data.crop_size == 97
    trained = spec(dataset="lab_stripes", data={"cutout": 4, "max_examples": 5})
    assert trained.data.cutout == 4
