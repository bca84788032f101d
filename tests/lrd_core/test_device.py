"""A trial on a device beside the CPU: the same numbers, and the host waits once an epoch."""

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.lrd_core import pretended
from tests.lrd_core.pretended import Both
from tests.lrd_core.voc_tree import voc_tree

Trained = Callable[..., Both]


@pytest.fixture(scope="module")
def trained() -> Iterator[Trained]:
    """`pretended.trained` in its process."""
    spawning = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, spawning, initializer=pretended.set_up) as process:
        yield lambda *args, **options: process.submit(pretended.trained, *args, **options).result()


def document(**changes: Any) -> dict[str, Any]:
    return {
        "dataset": "digits",
        "data": {"max_examples": 300},
        "model": "fcnet",
        "optimizer": {"name": "adam", "keep_prob": 0.5},
        "epochs": 2,
        "batch_size": 64,
        "execution": {"compile": "off"},
    } | changes


CIFAR: dict[str, Any] = {
    "dataset": "cifar10",
    "data": {"cutout": 8, "max_examples": 16},
    "batch_size": 8,
}
SURFACE = {"dataset": "surface", "data": {"surface": "toy"}, "model": "point"}


@pytest.mark.parametrize(
    "changes",
    [
        *(
            pytest.param({"optimizer": {"name": name, "keep_prob": 0.5}}, id=name)
            for name in ("sgdm", "rmsprop", "adam", "amsgrad", "radam", "adamw", "nadam")
        ),
        pytest.param({"regularizers": ["SD", "NL", "NG", "DG"]}, id="regularizers"),
        pytest.param(CIFAR | {"model": "resnet34"}, id="resnet34"),
        pytest.param(CIFAR | {"model": "densenet121"}, id="densenet121", marks=pytest.mark.slow),
        pytest.param(SURFACE, id="surface"),
    ],
)
def test_numbers_are_the_cpus_and_the_host_waits_once_an_epoch(
    changes: dict[str, Any], trained: Trained
) -> None:
    both = trained(document(**changes))
    assert both.device == both.cpu
    assert both.waits == [{"tolist": 1}] * 2


@pytest.mark.parametrize("optimizer", ["sgdm", "rmsprop", "adam", "amsgrad", "radam"])
def test_the_fused_form_waits_no_more(optimizer: str, trained: Trained) -> None:
    options = {"optimizer": {"name": optimizer, "keep_prob": 0.5}, "execution": {"compile": "on"}}
    both = trained(document(**options))
    assert both.form == "fused"
    assert both.device == both.cpu
    assert both.waits == [{"tolist": 1}] * 2


@pytest.mark.parametrize("compiling", ["off", "on"])
def test_what_a_cpu_saved_goes_on_there(compiling: str, trained: Trained) -> None:
    # A worker loads every checkpoint to the CPU.
    options = {"regularizers": ["SD", "NG"], "execution": {"compile": compiling}}
    both = trained(document(**options), resumed=True)
    assert both.device == [both.cpu[1]]


@pytest.fixture
def voc(tmp_path: Path) -> Path:
    voc_tree(tmp_path)
    return tmp_path


def test_segmentation_waits_for_its_metrics_alone(voc: Path, trained: Trained) -> None:
    data = {"crop_size": 33, "max_examples": 3}
    changes = {"dataset": "voc_segmentation", "data": data, "model": "pspnet", "batch_size": 2}
    both = trained(document(**changes), voc)
    assert both.device == both.cpu
    # Both metrics leave out the ignored pixels of masks and guesses, once a batch of evaluation.
    assert both.waits == [{"aten.index": 4, "aten.bincount": 1, "tolist": 1}] * 2


@pytest.mark.slow
def test_detection_leaves_no_tensor_behind(voc: Path, trained: Trained) -> None:
    # Torchvision's SSD itself waits several times an image.
    data = {"max_examples": 2}
    changes = {"dataset": "voc_detection", "data": data, "model": "ssd300", "batch_size": 1}
    both = trained(document(**changes, epochs=1), voc)
    assert both.device == both.cpu
