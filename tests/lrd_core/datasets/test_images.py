"""Labelled images from each of the forms in which they lie on disk."""

import hashlib
import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lrd_core.choices import AUGMENTED, PARTS, metrics_of
from lrd_core.datasets import images
from lrd_core.datasets.batches import PADDING
from lrd_core.datasets.images import HELD_OUT_IMAGES, ImageData, load_images
from lrd_core.errors import DataNotFound, InvalidSpec, TrialError
from lrd_core.spec import TrialSpec
from lrd_core.training import TrainState, train

COUNT = 5 * 1_200


@pytest.fixture
def pixels() -> tuple[np.ndarray, np.ndarray]:
    draws = np.random.default_rng(0)
    return (
        draws.integers(0, 256, (COUNT, 3, 32, 32), dtype=np.uint8),
        draws.integers(0, 10, COUNT, dtype=np.uint8),
    )


def write_npz(root: Path, pixels: tuple[np.ndarray, np.ndarray]) -> Path:
    (root / "cifar10-train").mkdir()
    for number, rows in enumerate(np.split(np.arange(COUNT), 5)):
        file = root / "cifar10-train" / f"batch_{number + 1}.npz"
        np.savez(file, images=pixels[0][rows], labels=pixels[1][rows])
    return root


def write_pickles(root: Path, pixels: tuple[np.ndarray, np.ndarray]) -> Path:
    folder = root / "cifar-10-batches-py"
    folder.mkdir()

    def dump(name: str, content: dict[str, Any]) -> None:
        (folder / name).write_bytes(pickle.dumps(content))

    for number, rows in enumerate(np.split(np.arange(COUNT), 5)):
        flat = pixels[0][rows].reshape(len(rows), -1)
        dump(f"data_batch_{number + 1}", {"data": flat, "labels": pixels[1][rows].tolist()})
    dump("test_batch", {"data": pixels[0][:7].reshape(7, -1), "labels": [0] * 7})
    dump("batches.meta", {"label_names": list("0123456789")})
    return root


def write_training_pickles(root: Path, pixels: tuple[np.ndarray, np.ndarray]) -> Path:
    """The same, of which somebody has copied what is trained on alone."""
    folder = write_pickles(root, pixels) / "cifar-10-batches-py"
    (folder / "test_batch").unlink()
    (folder / "batches.meta").unlink()
    return root


def expect_as_it_is(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the sums of the files for those of the real ones."""
    for part, pattern in (("train_list", "data_batch_*"), ("test_list", "test_batch")):
        files = sorted((root / "cifar-10-batches-py").glob(pattern))
        sums = [[file.name, hashlib.md5(file.read_bytes()).hexdigest()] for file in files]
        monkeypatch.setattr(f"torchvision.datasets.CIFAR10.{part}", sums)


@pytest.mark.parametrize("write", [write_npz, write_pickles, write_training_pickles])
def test_the_last_training_images_of_cifar10_are_held_out(
    tmp_path: Path, pixels: Any, write: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: `Dataset not found` where the training images are there and the test images are
    not, which is what this data set is for."""
    expect_as_it_is(write(tmp_path, pixels), monkeypatch)
    data = load_images("cifar10_holdout", tmp_path)
    assert len(data.test_labels) == HELD_OUT_IMAGES
    together = torch.cat([data.train_images, data.test_images]).numpy()
    np.testing.assert_array_equal(together, pixels[0])
    labels = torch.cat([data.train_labels, data.test_labels])
    np.testing.assert_array_equal(labels.numpy(), pixels[1])
    assert labels.dtype == torch.int64


def test_another_file_than_cifar10s_is_not_unpickled(tmp_path: Path, pixels: Any) -> None:
    """Catches: code that runs as it is unpickled, and images of a broken copy."""
    root = write_training_pickles(tmp_path, pixels)
    with pytest.raises(DataNotFound, match=r"data_batch_1 is not the original file \(MD5 c99cafc"):
        load_images("cifar10_holdout", root)


IDX = [
    f"{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")
]


def write_idx(root: Path) -> Path:
    """MNIST's four files, of three images."""
    folder = root / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for name in IDX:
        sides = (3, 28, 28) if "images" in name else (3,)
        header = b"".join(number.to_bytes(4) for number in (0x800 + len(sides), *sides))
        (folder / name).write_bytes(header + bytes(math.prod(sides)))
    return folder


def test_files_of_mnist_that_are_torn_are_named(tmp_path: Path) -> None:
    """Catches: an AssertionError without a word, and labels of other images."""
    folder = write_idx(tmp_path)
    assert load_images("mnist", tmp_path).train_images.shape == (3, 1, 28, 28)
    for name in IDX:
        whole = (folder / name).read_bytes()
        for torn in (b"", bytes(100), whole[:-1]):
            images._load.cache_clear()
            (folder / name).write_bytes(torn)
            with pytest.raises(
                DataNotFound, match=rf"{name} is missing or torn \(.*: remove {folder}"
            ):
                load_images("mnist", tmp_path)
        (folder / name).write_bytes(whole)


def test_a_torn_archive_of_held_out_images_is_named(tmp_path: Path, pixels: Any) -> None:
    file = write_npz(tmp_path, pixels) / "cifar10-train" / "batch_3.npz"
    content = file.read_bytes()
    for torn in (b"", bytes(100), content[: len(content) // 2]):
        file.write_bytes(torn)
        with pytest.raises(DataNotFound, match=r"batch_3.npz is missing or torn"):
            load_images("cifar10_holdout", tmp_path)


def test_what_is_held_out_is_never_called_the_test_set(tmp_path: Path, pixels: Any) -> None:
    spec = TrialSpec.parse(
        {
            "dataset": "cifar10_holdout",
            "data": {"max_examples": 32},
            "model": "fcnet",
            "optimizer": {"name": "adam", "keep_prob": 0.5},
            "epochs": 1,
        }
    )
    state = TrainState.create(spec, data_dir=write_npz(tmp_path, pixels))
    (report,) = train(spec, state)
    assert set(report.metrics) == set(metrics_of("cifar10_holdout", "classification") or ())
    assert state.task.steps_per_epoch == 1


@pytest.mark.parametrize("write", [write_npz, write_training_pickles])
def test_cifar10_without_its_test_images_says_so(tmp_path: Path, pixels: Any, write: Any) -> None:
    with pytest.raises(
        DataNotFound, match=r"but not its test images: .* cifar10_holdout trains on"
    ):
        load_images("cifar10", write(tmp_path, pixels))


def test_torchvisions_files_of_cifar10_are_read(
    tmp_path: Path, pixels: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    expect_as_it_is(write_pickles(tmp_path, pixels), monkeypatch)
    data = load_images("cifar10", tmp_path)
    np.testing.assert_array_equal(data.train_images.numpy(), pixels[0])
    assert len(data.test_labels) == 7
    assert data.crop_and_flip
    assert AUGMENTED["cifar10"] == f"padded by {PADDING} pixels, cropped at random and flipped"
    assert data.evaluated == "test"


def test_the_digits_need_no_files(tmp_path: Path) -> None:
    data = load_images("digits", tmp_path)
    assert (len(data.train_labels), len(data.test_labels)) == PARTS["digits"] == (1797 - 360, 360)
    assert data.train_images.max() == data.scale == 16
    assert not data.crop_and_flip
    assert "digits" not in AUGMENTED
    few = data.first(10)
    assert len(few.train_labels) == len(few.test_images) == 10
    assert torch.equal(few.train_images, data.train_images[:10])


def test_the_last_training_images_are_held_out_of_any_data_set(tmp_path: Path) -> None:
    """Catches: a learning rate that is chosen by looking at the test set."""
    data = load_images("digits", tmp_path)
    held = data.holding_out(300)
    assert torch.equal(torch.cat([held.train_images, held.test_images]), data.train_images)
    assert torch.equal(torch.cat([held.train_labels, held.test_labels]), data.train_labels)
    assert (len(held.test_labels), held.evaluated) == (300, "val")
    assert held.sha256 != data.sha256
    assert data.holding_out(None) is data
    with pytest.raises(TrialError, match=r"there are 1,437 training images"):
        data.holding_out(1437)


def labelled(train: list[int]) -> ImageData:
    """Images of ten classes; four of each to evaluate on, in the usual order."""
    test = torch.arange(10).repeat_interleave(4)
    parts = [(torch.zeros(len(labels), 1, 8, 8, dtype=torch.uint8), labels) for labels in
             (torch.tensor(train), test)]  # fmt: skip
    return ImageData(*parts[0], *parts[1], classes=10, scale=255, mean=(0.5,), std=(0.5,))


def test_classes_that_are_stored_one_by_one_are_not_held_out_as_a_whole() -> None:
    """Catches: an accuracy of zero, on classes that nothing was trained on."""
    by_class = labelled([label for label in range(10) for _ in range(20)])
    with pytest.raises(TrialError, match=r"data.holdout leaves none of class 8, 9 to train on"):
        by_class.part(40, None)
    with pytest.raises(TrialError, match=r"max_examples leaves none of class 1, 2, 3, .* shuffle"):
        by_class.part(None, 20)
    assert by_class.part(None, None) is by_class
    assert len(by_class.part(10, None).train_labels) == 190  # some of each class are left
    assert len(by_class.part(None, 4).test_labels) == 4  # of class 0, as those to train on


def test_few_examples_of_shuffled_classes_are_not_refused() -> None:
    """Catches: `max_examples: 8` refused, which tries out whether a sweep runs at all."""
    in_turn = labelled(list(range(10)) * 20)
    assert in_turn.part(None, 8).train_labels.tolist() == list(range(8))
    assert len(in_turn.part(None, 40).test_labels) == 40
    assert in_turn.part(195, None).train_labels.tolist() == list(range(5))


def test_a_trial_that_holds_images_out_reports_no_test_metric() -> None:
    trial = {
        "dataset": "digits",
        "data": {"holdout": 400, "max_examples": 350},
        "model": "fcnet",
        "optimizer": {"name": "adam", "keep_prob": 0.5},
        "epochs": 1,
    }
    spec = TrialSpec.parse(trial)
    state = TrainState.create(spec)
    (report,) = train(spec, state)
    assert set(report.metrics) == set(metrics_of("digits", "classification", holdout=True) or ())
    assert "val_accuracy" in report.metrics
    assert len(state.task.data.test_labels) == 350


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"data": {"holdout": 1437}}, "leaves nothing to train on: digits has 1,437 training im"),
        ({"dataset": "cifar10_holdout"}, "holdout does not go with dataset cifar10_holdout"),
        ({"dataset": "voc_detection", "model": "ssd300"}, "holdout does not go with dataset voc"),
    ],
)
def test_what_cannot_be_held_out_is_refused(changes: dict[str, Any], said: str) -> None:
    trial = {
        "dataset": "digits", "data": {"holdout": 100}, "model": "fcnet",
        "optimizer": {"name": "adam"}, "epochs": 1,
    }  # fmt: skip
    with pytest.raises(InvalidSpec, match=said):
        TrialSpec.parse(trial | changes)


def test_the_real_mnist_is_whole(data_dir: Path) -> None:
    data = load_images("mnist", data_dir)
    assert data.train_images.shape == (60_000, 1, 28, 28)
    assert data.test_images.shape == (10_000, 1, 28, 28)
    raw = hashlib.sha256(data.train_images.numpy()).hexdigest()
    assert raw[:16] == "741c988805d008ac"
    values = data.train_images.double() / data.scale
    assert values.mean().item() == pytest.approx(data.mean[0], abs=1e-4)
    assert values.std().item() == pytest.approx(data.std[0], abs=1e-4)


def test_the_real_cifar10_is_whole(data_dir: Path) -> None:
    data = load_images("cifar10_holdout", data_dir)
    assert data.train_images.shape == (45_000, 3, 32, 32)
    assert data.test_images.shape == (5_000, 3, 32, 32)
    counts = torch.cat([data.train_labels, data.test_labels]).bincount()
    assert counts.tolist() == [5_000] * 10
    values = data.train_images[::10].double() / data.scale
    for channel in range(3):
        mean = values[:, channel].mean().item()
        assert mean == pytest.approx(data.mean[channel], abs=5e-3)
