"""The data sets' archives, and the extra masks of Hariharan et al. (the paper's [11]) as PNG files.

torchvision downloads and checks the sums. Archives stay where torchvision puts them. They are
unpacked in a hidden folder beside the data set's, which then takes its name: what is there is
whole, whatever interrupts this. Called within the node's download lock.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from lrd_core.datasets import catalogue


def fetch_mnist(root: Path) -> None:
    """Download MNIST."""
    from torchvision.datasets import MNIST

    raw = root / "MNIST" / "raw"
    with _hidden(raw.parent) as new:
        if raw.exists():  # archives that somebody has put there need no network
            shutil.copytree(raw, new / "MNIST" / "raw")
        MNIST(new, download=True)
        _place(new / "MNIST" / "raw", raw)


def fetch_cifar(dataset: str, root: Path) -> None:
    """Download torchvision's `CIFAR10` or `CIFAR100`."""
    import torchvision.datasets
    from torchvision.datasets.utils import download_and_extract_archive

    cifar = getattr(torchvision.datasets, dataset)
    with _hidden(root) as new:
        download_and_extract_archive(cifar.url, root, new, cifar.filename, cifar.tgz_md5)
        _place(new / cifar.base_folder, root / cifar.base_folder)


def fetch_segmentation(root: Path) -> None:
    """Download VOC 2012; add `SegmentationClassAug` and `ImageSets/Segmentation/trainaug.txt`.

    Where VOC 2012 is not yet, it does not appear without them: a sweep whose first trial could not
    get them would train the next one on fewer images.
    """
    voc = root / "VOCdevkit" / "VOC2012"
    with _hidden(voc.parent) as new:
        sbd = root / "sbd"
        if not (sbd / "cls").exists():
            sbd = _unpack_sbd(sbd, new)
        if catalogue.present("voc_segmentation", root):
            add_extra_masks(voc, sbd)
        else:
            unpacked = _unpack_voc("2012", root, new)
            add_extra_masks(unpacked, sbd)
            _place(unpacked, voc)


def fetch_detection(root: Path) -> None:
    """Download VOC 2012, and the training and test parts of VOC 2007.

    VOC 2007 comes first: where VOC 2012 was not yet, it does not appear without it.
    """
    older, newer = (root / "VOCdevkit" / f"VOC{year}" for year in (2007, 2012))
    with _hidden(newer.parent) as new:
        if not (older / "ImageSets" / "Main" / "test.txt").exists():
            _unpack_voc("2007", root, new)
            _place(_unpack_voc("2007-test", root, new), older)
        if not catalogue.present("voc_detection", root):
            _place(_unpack_voc("2012", root, new), newer)


def add_extra_masks(voc: Path, sbd: Path) -> int:
    """Write `SegmentationClassAug`: VOC's own masks where they exist, otherwise SBD's `cls/*.mat`.

    The training list has VOC's and SBD's images except VOC's validation images. Returns its length.
    The folder appears whole or not at all.
    """
    lists = voc / "ImageSets" / "Segmentation"
    own, held_out = (_names(lists / f"{part}.txt") for part in ("train", "val"))
    extra = {file.stem for file in (sbd / "cls").glob("*.mat")} - set(own) - set(held_out)
    unfinished, finished = voc / ".SegmentationClassAug", voc / "SegmentationClassAug"
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    for name in sorted(extra):
        _save(_sbd_mask(sbd / "cls" / f"{name}.mat"), unfinished / f"{name}.png")
    for name in (*own, *held_out):
        shutil.copyfile(voc / "SegmentationClass" / f"{name}.png", unfinished / f"{name}.png")
    training = sorted({*own, *extra})
    (lists / "trainaug.txt").write_text("".join(f"{name}\n" for name in training))
    unfinished.rename(finished)
    return len(training)


# --- inside ---------------------------------------------------------------------------------------


@contextmanager
def _hidden(parent: Path) -> Iterator[Path]:
    """An empty folder in `parent`, on one disk with what is to lie there; gone afterwards."""
    folder = parent / ".lrd-unfinished"
    shutil.rmtree(folder, ignore_errors=True)  # of a process that was killed
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _place(new: Path, folder: Path) -> None:
    """Rename `new`, which lies in a hidden folder, to `folder`; files that only an older `folder`
    has, e.g. somebody's own masks, are kept."""
    if folder.exists():
        shutil.copytree(folder, new, copy_function=_copy_if_absent, dirs_exist_ok=True)
        folder.rename(new.with_name(f"{new.name}-before"))
    folder.parent.mkdir(parents=True, exist_ok=True)
    new.rename(folder)


def _copy_if_absent(source: str, target: str) -> None:
    if not Path(target).exists():
        shutil.copy2(source, target)


def _unpack_voc(part: str, root: Path, new: Path) -> Path:
    """Unpack one of torchvision's archives of VOC in `new`; gives the year's folder there."""
    from torchvision.datasets.utils import download_and_extract_archive
    from torchvision.datasets.voc import DATASET_YEAR_DICT

    archive = DATASET_YEAR_DICT[part]
    download_and_extract_archive(
        archive["url"], root, new, filename=archive["filename"], md5=archive["md5"]
    )
    return new / str(archive["base_dir"])


def _unpack_sbd(root: Path, new: Path) -> Path:
    """Unpack SBD in `new`; gives its folder there, which has `cls`."""
    from torchvision.datasets import SBDataset
    from torchvision.datasets.utils import download_and_extract_archive

    download_and_extract_archive(
        SBDataset.url, root, new, filename=SBDataset.filename, md5=SBDataset.md5
    )
    return new / "benchmark_RELEASE" / "dataset"


def _names(file: Path) -> list[str]:
    return file.read_text().split()


def _sbd_mask(file: Path) -> np.ndarray:
    from scipy.io import loadmat

    mask: np.ndarray = loadmat(file)["GTcls"][0]["Segmentation"][0]
    return mask.astype(np.uint8)


def _save(mask: np.ndarray, file: Path) -> None:
    Image.fromarray(mask).save(file)
