"""Segmentation: its metrics by hand, its windows, and PSPNet trained for real on tiny images."""

import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from lrd_core.choices import METRICS
from lrd_core.datasets.windows import IGNORED
from lrd_core.errors import PluginError
from lrd_core.models import build_model
from lrd_core.spec import TrialSpec
from lrd_core.tasks.segmentation import CLASSES, Segmentation, scores, training_window
from lrd_core.training import TrainState, train
from tests.lrd_core.voc_tree import voc_tree


def spec(**changes: Any) -> TrialSpec:
    return TrialSpec.parse(
        {
            "dataset": "voc_segmentation",
            "data": {"crop_size": 33, "max_examples": 3},
            "model": "pspnet",
            "optimizer": {"name": "adam", "keep_prob": 0.5},
            "schedule": {"power": 0.9},
            "epochs": 1,
            "batch_size": 2,
        }
        | changes
    )


def test_mean_iou_and_pixel_accuracy_by_hand() -> None:
    truth = torch.tensor([[[0, 0, 1], [1, IGNORED, 2]]])
    guess = torch.tensor([[[0, 1, 1], [1, 0, 2]]])
    metrics = scores()
    metrics.update(guess, truth)
    found = {name: value.item() for name, value in metrics.compute().items()}
    # Class 0: 1 pixel of both over 2 of either; class 1: 2 over 3; class 2: 1 over 1. The ignored
    # pixel counts nowhere, and the 18 classes that occur nowhere are not averaged.
    assert found["mean_iou"] == pytest.approx((1 / 2 + 2 / 3 + 1) / 3)
    assert found["pixel_accuracy"] == pytest.approx(4 / 5)


def test_mean_iou_is_over_all_images_together_not_a_mean_over_batches() -> None:
    metrics = scores()
    metrics.update(torch.tensor([[[0, 0, 0, 1]]]), torch.tensor([[[0, 0, 0, 0]]]))
    metrics.update(torch.tensor([[[1, 1, 1, 1]]]), torch.tensor([[[1, 1, 1, 1]]]))
    # Class 0: 3 of 4; class 1: 4 of 5.
    assert metrics.compute()["mean_iou"].item() == pytest.approx((3 / 4 + 4 / 5) / 2)


class Oracle(nn.Module):
    """Knows that bright red is a cat, class 8."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        red, green = images[:, 0], images[:, 1]
        logits = torch.zeros(len(images), CLASSES, *images.shape[2:])
        logits[:, 8] = torch.where(red - green > 1.5, 1.0, -1.0)
        return logits


def test_images_and_masks_lie_on_each_other(tmp_path: Path) -> None:
    voc_tree(tmp_path)
    task = Segmentation(spec(), torch.device("cpu"), tmp_path)
    metrics = task.evaluate(Oracle())
    assert metrics["mean_iou"] > 0.97
    assert metrics["pixel_accuracy"] > 0.99


def test_pspnet_trains_and_resumes_to_the_same_bits(tmp_path: Path) -> None:
    voc_tree(tmp_path)
    trial = spec(epochs=2)
    straight = TrainState.create(trial, data_dir=tmp_path)
    before = [parameter.detach().clone() for parameter in straight.model.parameters()]
    first, second = train(trial, straight)
    assert set(first.metrics) == set(METRICS["segmentation"])
    assert math.isfinite(second.metrics["train_loss"])
    assert second.lr == pytest.approx(0.001 * 0.5**0.9)
    changed = torch.cat(
        [(a != b).flatten() for a, b in zip(before, straight.model.parameters(), strict=True)]
    )
    assert changed.float().mean() > 0.4  # one step keeps a half; all stages are reached
    # Two epochs of 3 images in batches of 2, where a last one joins the batch before.
    assert straight.optimizer.param_groups[0]["lrd_step"] == 2

    resumed = TrainState.create(trial, data_dir=tmp_path)
    next(reports := train(trial, resumed))
    other = TrainState.create(trial, data_dir=tmp_path)
    other.load_state_dict(resumed.state_dict())
    reports.close()  # type: ignore[attr-defined]
    torch.rand(5)  # nothing global matters: PSPNet's own dropout is seeded by trial and epoch
    (again,) = train(trial, other)
    assert again.metrics == second.metrics


def test_the_windows_scale_turn_and_stay_on_the_image() -> None:
    draws = random.Random(0)
    windows = [training_window(500, 375, 473, draws) for _ in range(2000)]
    sides = torch.tensor([window.width for window in windows])
    assert sides.min() >= 473 / 2 - 1e-3
    assert sides.max() <= 473 / 0.5 + 1e-3
    assert (473 / sides).mean().item() == pytest.approx(1.25, abs=0.04)  # scales 0.5 to 2
    assert 0.45 < sum(window.flip for window in windows) / 2000 < 0.55
    assert 0.45 < sum(window.angle != 0 for window in windows) / 2000 < 0.55
    assert max(abs(window.angle) for window in windows) <= math.radians(10)
    for window in windows:
        for centre, length in ((window.x, 500), (window.y, 375)):
            slack = max(0.0, length - window.width) / 2
            assert length / 2 - slack - 1e-6 <= centre <= length / 2 + slack + 1e-6


def test_bf16_and_another_memory_layout_learn_the_same_thing(tmp_path: Path) -> None:
    voc_tree(tmp_path)
    losses = []
    for execution in ({}, {"channels_last": "off", "precision": "bf16"}):
        trial = spec(execution=execution, data={"crop_size": 33, "max_examples": 2})
        (report,) = train(trial, TrainState.create(trial, data_dir=tmp_path))
        losses.append(report.metrics["train_loss"])
    assert losses[1] == pytest.approx(losses[0], rel=0.1)
    assert losses[1] != losses[0]


@pytest.mark.parametrize(
    ("model", "asked", "expected"),
    [("pspnet", "auto", True), ("theirs", "auto", False), ("theirs", "on", True)],
)
def test_another_packages_network_lies_channels_last_only_where_it_is_asked_to(
    tmp_path: Path, model: str, asked: str, expected: bool
) -> None:
    """Catches: a `view` in the network that fails on images that lie so."""
    voc_tree(tmp_path)
    trial = spec(execution={"channels_last": asked}).model_copy(update={"model": model})
    assert Segmentation(trial, torch.device("cpu"), tmp_path).channels_last is expected


def test_the_auxiliary_head_learns_too() -> None:
    model = build_model("pspnet", (3, 33, 33), CLASSES, seed=0)
    main, auxiliary = model(torch.rand(2, 3, 33, 33))
    assert not torch.equal(main, auxiliary)
    auxiliary.sum().backward()
    weight = model.get_parameter("auxiliary.0.weight")
    assert weight.grad is not None
    assert weight.grad.abs().sum() > 0


def test_pspnet_needs_two_images_a_batch() -> None:
    for changes in ({"batch_size": 1}, {"data": {"max_examples": 1}}):
        with pytest.raises(ValueError, match="at least 2"):
            spec(**changes)


@pytest.mark.parametrize(
    ("answer", "got"),
    [
        (lambda logits: {"out": logits}, "returned dict; "),  # as torchvision's networks do
        (lambda logits: logits[:, :20], r"returned shape \(2, 20, 33, 33\); "),
        (lambda logits: logits[..., ::8, ::8], r"returned shape \(2, 21, 5, 5\); "),
        (lambda logits: (logits, logits[:, 0]), r"returned shape \(2, 33, 33\); "),
        (lambda logits: (), "returned tuple; "),
    ],
)
def test_what_is_no_logits_of_each_pixel_is_refused(
    answer: Callable[[torch.Tensor], Any], got: str, tmp_path: Path
) -> None:
    """Catches: `'dict' object has no attribute 'float'`; on a GPU, the end of CUDA."""
    voc_tree(tmp_path)
    task = Segmentation(spec(), torch.device("cpu"), tmp_path)

    class Theirs(nn.Module):
        def forward(self, images: torch.Tensor) -> Any:
            return answer(torch.zeros(len(images), CLASSES, *images.shape[2:]))

    wanted = r"it must return the logits of a batch, a tensor of shape \(2, 21, 33, 33\)$"
    with pytest.raises(PluginError, match=f"^model pspnet {got}{wanted}"):
        task._losses(Theirs(), torch.zeros(2, 3, 33, 33), torch.zeros(2, 33, 33).long())
