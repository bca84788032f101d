"""Every preset trains: its first and its last arm, an epoch of a step or two on tiny data.

Of the two large networks the last arm alone, the one with learning-rate dropout.
"""

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from lrd_core import presets
from lrd_core.datasets import images
from lrd_core.datasets.images import ImageData
from lrd_core.spec import expand
from tests.lrd_core.freed import trained_and_freed
from tests.lrd_core.voc_tree import voc_tree

TINY: dict[str, Any] = {"base.epochs": 1, "base.batch_size": 4}
FEW = TINY | {"base.data.max_examples": 4}
REDUCED = dict.fromkeys(presets.names(), FEW) | {
    "figure-1": {"base.epochs": 1},
    "figure-4": {"base.epochs": 1},
    "detection": TINY | {"base.data.max_examples": 2},
    "segmentation": TINY | {"base.data": {"max_examples": 2, "crop_size": 33}},
}

LARGE = ("detection", "segmentation")


def noise(shape: tuple[int, ...], classes: int) -> ImageData:
    draws = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (8, *shape), generator=draws, dtype=torch.uint8)
    labels = torch.arange(8)
    channels = shape[0]
    return ImageData(
        pixels, labels, pixels, labels, classes=classes, scale=255,
        mean=(0.5,) * channels, std=(0.25,) * channels, crop_and_flip=channels == 3,
    )  # fmt: skip


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of tiny data sets, with noise for those of which there is no sample."""
    for name, shape, classes in (
        ("mnist", (1, 28, 28), 10),
        ("cifar10", (3, 32, 32), 10),
        ("cifar100", (3, 32, 32), 100),
    ):
        made = noise(shape, classes)
        monkeypatch.setitem(images._LOADERS, name, lambda root, made=made: made)
    voc_tree(tmp_path)
    return tmp_path


# The arms of table-1 are those of its parts: test_presets.py.
@pytest.mark.parametrize("name", [name for name in presets.names() if name != "table-1"])
def test_a_preset_trains(name: str, data: Path) -> None:
    sweep = presets.apply_preset(name, REDUCED[name], seeds=1)
    trials = expand(sweep)
    for trial in trials[-1:] if name in LARGE else (trials[0], trials[-1]):
        (report,) = trained_and_freed(trial, data_dir=data)
        assert math.isfinite(report.metrics["train_loss"])
        # What the preset's table shows and what the paper is held against is reported.
        wanted = {sweep.table.metric or "test_accuracy"}
        if sweep.expected:
            wanted |= {value.metric or sweep.expected.metric for value in sweep.expected.values}
        assert wanted <= set(report.metrics)
