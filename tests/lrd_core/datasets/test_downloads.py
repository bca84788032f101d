"""Archives that lie where torchvision downloads them to, and what becomes of them."""

import gzip
import hashlib
import io
import pickle
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import savemat
from torchvision.datasets import CIFAR10, MNIST, SBDataset
from torchvision.datasets.voc import DATASET_YEAR_DICT

from lrd_core.datasets import catalogue, voc
from lrd_core.errors import DataNotFound
from tests.lrd_core.voc_tree import voc_tree


def md5(file: Path) -> str:
    return hashlib.md5(file.read_bytes(), usedforsecurity=False).hexdigest()


def archive(file: Path, content: Path) -> str:
    """Pack a folder, as its own name; gives the sum."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(file, "w:gz" if file.suffix in (".gz", ".tgz") else "w") as tar:
        tar.add(content, content.name)
    return md5(file)


def holding(name: str, root: Path) -> catalogue.Holding:
    return next(each for each in catalogue.listing(root) if each.name == name)


def without_network(*_: Any, **__: Any) -> None:
    raise OSError("timed out")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with small archives of VOC, which pass for torchvision's; no network."""
    monkeypatch.setattr("torchvision.datasets.utils._urlretrieve", without_network)
    root = tmp_path / "data"
    for part, year, lists in (
        ("2012", 2012, ("trainval",)),
        ("2007", 2007, ("trainval",)),
        ("2007-test", 2007, ("test",)),
    ):
        tree = voc_tree(tmp_path / part, year=year)
        for name in lists:
            (tree / "ImageSets" / "Main" / f"{name}.txt").write_text("t0\nt1\n")
        entry = dict(DATASET_YEAR_DICT[part])
        entry["md5"] = archive(root / entry["filename"], tmp_path / part / "VOCdevkit")
        monkeypatch.setitem(DATASET_YEAR_DICT, part, entry)
    return root


def with_sbd(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The archive of the extra masks too, with one of an image that VOC has no mask of."""
    released = root.parent / "benchmark_RELEASE"
    (released / "dataset" / "cls").mkdir(parents=True)
    record = np.zeros((1, 1), [("Segmentation", object)])
    record["Segmentation"][0, 0] = np.zeros((48, 64), np.uint8)
    savemat(released / "dataset" / "cls" / "x9.mat", {"GTcls": record})
    monkeypatch.setattr(SBDataset, "md5", archive(root / "sbd" / SBDataset.filename, released))


def fetch_interrupted(name: str, root: Path, after: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fetch until Ctrl-C, or a signal's exit, once that many files are unpacked."""
    makefile, made = tarfile.TarFile.makefile, []

    def interrupted(*arguments: Any) -> None:
        made.append(1)
        if len(made) > after:
            raise KeyboardInterrupt
        makefile(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(tarfile.TarFile, "makefile", interrupted)
        with pytest.raises(KeyboardInterrupt):
            catalogue.fetch(name, root)


@pytest.mark.parametrize("after", [0, 12, 25, 45])
def test_a_detection_set_is_there_as_a_whole_or_not_at_all(
    root: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    """Catches: an interrupted download that counts as present and is never repaired, and trials
    that train on VOC 2012 alone while VOC 2007 is still coming."""
    fetch_interrupted("voc_detection", root, after, monkeypatch)
    assert not holding("voc_detection", root).present
    split = voc.detection(root)
    assert [len(split.train), len(split.val)] == [4, 2]
    for sample in split.train + split.val:
        voc.read_image(sample.image)
        voc.read_boxes(sample.truth)
    assert holding("voc_detection", root).detail == "5 annotated images of 2012, and those of 2007"
    assert not list(root.rglob(".lrd-unfinished*"))


def test_without_the_extra_masks_no_trial_of_a_sweep_trains_on_fewer(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: a first trial that fails for want of SBD, and a second one that does without."""
    for _ in range(2):
        with pytest.raises(DataNotFound, match=r"VOC 2012 with the extra masks is not in") as found:
            voc.segmentation(root)
    assert "if VOCdevkit/VOC2012 is there without" in str(found.value)
    # On purpose:
    with tarfile.open(root / DATASET_YEAR_DICT["2012"]["filename"]) as tar:
        tar.extractall(root, filter="data")
    assert len(voc.segmentation(root).train) == 3
    # And once the masks can be had:
    with_sbd(root, monkeypatch)
    catalogue.fetch("voc_segmentation", root)
    assert [sample.image.stem for sample in voc.segmentation(root).train] == [
        "t0",
        "t1",
        "t2",
        "x9",
    ]


def test_a_segmentation_set_comes_with_its_masks(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_sbd(root, monkeypatch)
    assert len(voc.segmentation(root).train) == 4
    assert holding("voc_segmentation", root).detail == "5 masks, 6 with the extra ones"
    assert not list(root.rglob(".lrd-unfinished*"))


def test_a_torn_folder_is_mended_and_its_own_files_are_kept(root: Path) -> None:
    """Catches: somebody's own masks, gone with a copy of VOC that was interrupted."""
    torn = root / "VOCdevkit" / "VOC2012"
    for file, content in (("Mine/t0.png", b"mine"), ("Annotations/t0.xml", b"to")):
        (torn / file).parent.mkdir(parents=True)
        (torn / file).write_bytes(content)
    assert len(voc.read_boxes(voc.detection(root).train[2].truth).labels) == 1
    assert len(voc.read_boxes(torn / "Annotations" / "t0.xml").labels) == 1
    assert (torn / "Mine" / "t0.png").read_bytes() == b"mine"


def test_cifar_is_unpacked_from_its_archive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / CIFAR10.base_folder
    source.mkdir()
    batch = {"data": np.arange(3072, dtype=np.uint8)[None], "labels": [3]}
    for name, _ in CIFAR10.train_list + CIFAR10.test_list:
        (source / name).write_bytes(pickle.dumps(batch))
    root = tmp_path / "data"
    monkeypatch.setattr(CIFAR10, "tgz_md5", archive(root / CIFAR10.filename, source))
    fetch_interrupted("cifar10", root, 5, monkeypatch)
    assert not holding("cifar10_holdout", root).present
    assert catalogue.fetch("cifar10", root).present
    assert holding("cifar10_holdout", root).present


def test_mnist_is_unpacked_from_archives_that_somebody_has_put_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torchvision.datasets.utils._urlretrieve", without_network)
    raw, resources = tmp_path / "MNIST" / "raw", []
    raw.mkdir(parents=True)
    for name, _ in MNIST.resources:
        sides = (2, 28, 28) if "images" in name else (2,)
        content = io.BytesIO()
        for number in (0x800 + len(sides), *sides):
            content.write(number.to_bytes(4))
        content.write(bytes(int(np.prod(sides))))
        (raw / name).write_bytes(gzip.compress(content.getvalue()))
        resources.append((name, md5(raw / name)))
    with pytest.raises(DataNotFound, match="MNIST is not in"):
        catalogue.ensure("mnist", tmp_path)
    assert sorted(file.name for file in raw.iterdir()) == sorted(name for name, _ in resources)
    monkeypatch.setattr(MNIST, "resources", resources)
    assert catalogue.ensure("mnist", tmp_path) == raw
    assert not (tmp_path / "MNIST" / ".lrd-unfinished").exists()
