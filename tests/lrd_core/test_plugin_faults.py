"""What another package may get wrong, and the sentence that tells its author."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from lrd_core.datasets.images import ImageData, load_images
from lrd_core.environment import pin
from lrd_core.errors import PluginError
from lrd_core.spec import TrialSpec
from lrd_core.training import TrainState, train
from tests.installed import install

pytestmark = pytest.mark.usefixtures("lab")

ENTRY_POINTS = """
[lrd.models]
wrong_net = wrong_parts:net
[lrd.datasets]
wrong_data = wrong_parts:data
[lrd.tasks]
wrong_task = wrong_parts:Task
"""

PARTS = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(64, 10)

    def forward(self, x):
        return answer(self.layer(x.flatten(1)))


def net(image_shape, classes, dropout):
    return Net()


def data(root):
    return found


class Task:
    def __init__(self, spec, device, data_dir):
        pass

    def model(self):
        return nn.Linear(1, 1)

    def train_epoch(self, model, optimizer, epoch):
        return {"train_loss": 1.0}

    def evaluate(self, model):
        return {}
"""


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "wrong_parts", ENTRY_POINTS, PARTS)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "wrong_parts", raising=False)


def parts() -> Any:
    import wrong_parts  # type: ignore[import-not-found]

    return wrong_parts


def of_task() -> TrialSpec:
    return TrialSpec.parse({"task": "wrong_task", "optimizer": {"name": "adam"}, "epochs": 1})


def of_model() -> TrialSpec:
    return TrialSpec.parse(
        {
            "dataset": "digits",
            "model": "wrong_net",
            "optimizer": {"name": "adam"},
            "epochs": 1,
            "batch_size": 1437,
        }
    )


@pytest.mark.parametrize("method", ["model", "train_epoch", "evaluate"])
def test_a_task_without_one_of_its_methods_is_refused(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: `'Task' object has no attribute 'evaluate'`, after the first epoch."""
    monkeypatch.delattr(parts().Task, method)
    with pytest.raises(PluginError, match=f"wrong_task is a Task, which has no method {method}; "):
        TrainState.create(of_task())


def test_a_task_with_a_data_sum_that_is_no_text_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: a failure to record the attempt, told as SQL."""
    monkeypatch.setattr(parts().Task, "data_sha256", torch.zeros(2), raising=False)
    with pytest.raises(PluginError, match=r"^data_sha256 of task wrong_task is tensor.* be text"):
        TrainState.create(of_task())


def test_a_task_whose_model_is_none_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: `'NoneType' object has no attribute 'state_dict'`."""
    monkeypatch.setattr(parts().Task, "model", lambda task: None)
    with pytest.raises(
        PluginError, match=r"^wrong_parts\.Task\.model returned None; it must return"
    ):
        TrainState.create(of_task())


def test_a_model_that_is_all_frozen_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: `element 0 of tensors does not require grad`."""
    frozen = nn.Linear(1, 1).requires_grad_(False)
    monkeypatch.setattr(parts().Task, "model", lambda task: frozen)
    with pytest.raises(PluginError, match="no parameter of the model requires a gradient"):
        TrainState.create(of_task())


def test_a_plugin_that_changes_torch_for_all_trials_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Catches: a module that sets float64 as it is imported, so that the first trial of a kept
    process had other numbers than those after it."""
    trial = of_task()
    pin(trial)
    for change, name in (
        (lambda: torch.set_default_dtype(torch.float64), "default type to torch.float64"),
        (lambda: torch.set_default_device("meta"), "default device to meta"),
        (lambda: torch.set_num_threads(7), "number of threads to 7"),
        (lambda: torch.set_float32_matmul_precision("high"), "precision of products to tf32"),
    ):
        monkeypatch.setattr(parts().Task, "__init__", lambda *_, change=change: change())
        with pytest.raises(PluginError, match=f"set torch's {name}, for all trials"):
            TrainState.create(trial)
        pin(trial)
    monkeypatch.setattr(parts().Task, "__init__", lambda *_: None)
    TrainState.create(trial)


def test_so_is_one_that_does_so_as_it_is_imported_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: a first trial that was refused, and later ones of its process, in which the module
    was imported already, that were not."""
    points = "[lrd.tasks]\nin_doubles = in_doubles:Task\n"
    install(tmp_path, "in_doubles", points, f"{PARTS}\ntorch.set_default_dtype(torch.float64)\n")
    trial = TrialSpec.parse({"task": "in_doubles", "optimizer": {"name": "adam"}, "epochs": 1})
    for _ in range(2):
        with pytest.raises(PluginError, match=r"set torch's default type to torch\.float64"):
            pin(trial)
        assert torch.get_default_dtype() == torch.float32
    monkeypatch.delitem(sys.modules, "in_doubles")


@pytest.mark.parametrize(
    ("evaluated", "said"),
    [
        ({"train_loss": 2.0}, "train_epoch and evaluate both return 'train_loss'"),
        ({"seed": 2.0}, "calls a metric 'seed'; .* must have another one"),
        ({"huge": 10**400}, "as the metric 'huge'; each must be one number"),
        ({"wave": torch.tensor(1j)}, "'wave' is complex"),
    ],
)
def test_metrics_of_which_one_would_be_lost_are_refused(
    evaluated: Any, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: a training loss that is the test's, by which nobody saw the trial diverge."""
    monkeypatch.setattr(parts().Task, "evaluate", lambda task, model: evaluated)
    trial = of_task()
    state = TrainState.create(trial)
    state.optimizer.step()
    with pytest.raises(PluginError, match=said):
        next(train(trial, state))


@pytest.mark.parametrize(
    ("answer", "got"),
    [
        (lambda logits: (logits, logits), "tuple"),
        (lambda logits: logits.argmax(1), r"shape \(1437,\)"),
        (lambda logits: logits[:, :3], r"shape \(1437, 3\)"),
        (lambda logits: logits[:, :, None], r"shape \(1437, 10, 1\)"),
    ],
)
def test_what_is_no_logits_of_its_classes_is_refused(
    answer: Any, got: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: `Target 5 is out of bounds.`; on a GPU, a fault that ends CUDA for the process."""
    monkeypatch.setattr(parts(), "answer", answer, raising=False)
    trial = of_model()
    said = rf"^model wrong_net returned {got}; it must return the logits .* shape \(1437, 10\)$"
    with pytest.raises(PluginError, match=said):
        next(train(trial, TrainState.create(trial)))


def images(*, device: str = "cpu", **changes: Any) -> ImageData:
    pixels = torch.zeros(8, 1, 8, 8, dtype=torch.uint8, device=device)
    labels = torch.zeros(8, dtype=torch.int64)
    made: dict[str, Any] = {"classes": np.int64(2), "scale": 255, "mean": (0.5,), "std": (0.5,)}
    return ImageData(pixels, labels, pixels, labels, **made | changes)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"std": (0.0,)},
            r"must be above 0 and finite, .* got scale 255\.0, mean \[0\.5\], std \[0",
        ),
        ({"scale": 0}, "must be above 0"),
        ({"mean": (float("nan"),)}, "must be above 0 and finite, as mean is"),
        ({"mean": 0.5}, "mean and std must be tuples of 1 numbers, and scale a number"),
        ({"classes": "2"}, "classes must be an integer, got '2'"),
        ({"evaluated": "train"}, 'evaluated must be "test" or "val", got \'train\''),
        ({"device": "meta"}, "train_images and train_labels must be in the CPU's memory"),
    ],
)
def test_images_that_nothing_could_be_learnt_from_are_refused(
    changes: Any, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: a mistake in a data set that was recorded as a finding: `diverged`; and metrics of
    the evaluation that took the place of those of the training."""
    monkeypatch.setattr(parts(), "found", images(), raising=False)
    assert load_images("wrong_data").classes == 2
    monkeypatch.setattr(parts(), "found", images(**changes))
    with pytest.raises(PluginError, match=f"^'wrong_data' of lrd.datasets: .*{said}"):
        load_images("wrong_data")


@pytest.mark.parametrize("regularizers", [[], ["SD"]])
def test_a_task_that_names_what_it_applies_in_a_string_is_told_so(
    regularizers: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: `applies = ("SD")`, which is no tuple, refused for want of what stands there."""
    monkeypatch.setattr(parts().Task, "applies", "SD", raising=False)
    task = {"task": "wrong_task", "optimizer": {"name": "adam"}, "epochs": 1}
    with pytest.raises(
        PluginError, match=r"`applies` of task wrong_task is the string 'SD'; it mu"
    ):
        TrainState.create(TrialSpec.parse(task | {"regularizers": regularizers}))
