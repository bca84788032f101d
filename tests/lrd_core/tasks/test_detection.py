"""Detection: its metric by hand, and SSD300 trained for real on tiny images."""

import math
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from lrd_core.choices import METRICS
from lrd_core.datasets.voc import Boxes
from lrd_core.errors import PluginError
from lrd_core.models.ssd import SIDE
from lrd_core.spec import TrialSpec
from lrd_core.tasks.detection import Detection, mean_average_precision
from lrd_core.training import TrainState, train
from tests.lrd_core.voc_tree import voc_tree


def spec(**changes: Any) -> TrialSpec:
    return TrialSpec.parse(
        {
            "dataset": "voc_detection",
            "data": {"max_examples": 2},
            "model": "ssd300",
            "optimizer": {"name": "adam", "lr": 0.0001, "keep_prob": 0.5},
            "epochs": 1,
            "batch_size": 2,
        }
        | changes
    )


def truth(*corners: list[float], difficult: bool = False) -> Boxes:
    count = len(corners)
    return Boxes(torch.tensor(corners), torch.ones(count).long(), torch.full((count,), difficult))


def found(*scored: tuple[float, list[float]]) -> dict[str, Tensor]:
    return {
        "boxes": torch.tensor([box for _, box in scored]),
        "scores": torch.tensor([score for score, _ in scored]),
        "labels": torch.ones(len(scored)).long(),
    }


A, B, NOWHERE = [0.0, 0, 10, 10], [20.0, 20, 40, 40], [100.0, 100, 120, 120]
HALF_OF_A = [0.0, 0, 10, 6]  # overlaps A by 0.6


def test_the_mean_average_precision_by_hand() -> None:
    # Hit, miss, hit: precision 1 up to recall 1/2, then 2/3 up to recall 1. Of the 101 recalls
    # 0, 0.01, …, 1 the first 51 see a precision of 1.
    image = found((0.9, HALF_OF_A), (0.8, NOWHERE), (0.7, B))
    expected = (51 * 1 + 50 * 2 / 3) / 101
    assert mean_average_precision([image], [truth(A, B)]) == pytest.approx(expected, abs=1e-4)


def test_difficult_objects_count_neither_way() -> None:
    images = [found((0.9, A)), found((0.8, B))]
    truths = [truth(A), truth(B, difficult=True)]
    assert mean_average_precision(images, truths) == pytest.approx(1)
    assert mean_average_precision([images[0], found((0.1, NOWHERE))], truths) == pytest.approx(1)


def test_ssd300_trains_and_reports_both_losses(tmp_path: Path) -> None:
    voc_tree(tmp_path)
    trial = spec()
    state = TrainState.create(trial, data_dir=tmp_path)
    before = [parameter.detach().clone() for parameter in state.model.parameters()]
    (report,) = train(trial, state)
    assert set(report.metrics) == set(METRICS["detection"])
    assert all(math.isfinite(value) for value in report.metrics.values())
    moved = [
        (old != new)[new.grad != 0]
        for old, new in zip(before, state.model.parameters(), strict=True)
    ]
    share = torch.cat(moved).float().mean().item()
    assert share == pytest.approx(0.5, abs=0.01)  # after one step with LRD, p = 0.5
    # All is learned but the box heads of scales that these few objects do not have.
    assert sum(len(each) > 0 for each in moved) > 0.8 * len(moved)


def test_the_mean_average_precision_is_taken_now_and_then(tmp_path: Path) -> None:
    voc_tree(tmp_path)
    task = Detection(spec(epochs=25), torch.device("cpu"), tmp_path)
    model = Silent()
    reported = []
    for task.epoch in (1, 9, 10, 11, 20, 25):
        reported.append("map_50" in task.evaluate(model))
    assert reported == [False, False, True, False, True, True]


class Silent(torch.nn.Module):
    """Finds nothing; its loss tells how many boxes it was shown."""

    def forward(self, images: list[Tensor], targets: Any = None) -> Any:
        assert {tuple(image.shape) for image in images} == {(3, SIDE, SIDE)}
        if targets is None:
            return [found((0.1, NOWHERE)) for _ in images]
        return {"boxes": torch.tensor(float(sum(len(t["boxes"]) for t in targets)))}


def test_the_validation_loss_is_over_whole_images(tmp_path: Path) -> None:
    voc_tree(tmp_path)
    task = Detection(spec(), torch.device("cpu"), tmp_path)
    assert task.evaluate(Silent())["val_loss"] == 2  # a batch of two images, a box on each


@pytest.mark.parametrize(
    ("losses", "objects", "said"),
    [
        (torch.ones(()), None, "returned shape () in training mode; it must return a mapping"),
        ({}, None, "returned dict in training mode; it must return a mapping of losses, each"),
        ({"box": torch.ones(2)}, None, "returned dict in training mode"),
        (None, {"boxes": torch.ones(1, 4)}, "returned dict in evaluation mode; it must return"),
        (None, [found((0.1, A))], "returned list in evaluation mode; it must return a list of 2 "),
        (None, [found((0.1, A)) | {"labels": torch.ones(2)}] * 2, "returned list in evaluation"),
        (None, [{"boxes": torch.ones(1, 4)}] * 2, "returned list in evaluation mode"),
    ],
)
def test_what_is_neither_losses_nor_objects_is_refused(
    losses: Any, objects: Any, said: str, tmp_path: Path
) -> None:
    """Catches: `'Tensor' object has no attribute 'values'`."""
    voc_tree(tmp_path)
    task = Detection(spec(), torch.device("cpu"), tmp_path)
    task.epoch = 1

    class Theirs(Silent):
        def forward(self, images: list[Tensor], targets: Any = None) -> Any:
            theirs = objects if targets is None else losses
            return super().forward(images, targets) if theirs is None else theirs

    with pytest.raises(PluginError, match=f"^model ssd300 {re.escape(said)}"):
        task.evaluate(Theirs())
