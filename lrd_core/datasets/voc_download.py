"""VOC's archives, and the extra masks of Hariharan et al. (the paper's [11]) as PNG files.

torchvision downloads and checks the sums. Called within the node's download lock.
"""

import shutil
from pathlib import Path

import numpy as np
from PIL import Image


def fetch_segmentation(root: Path) -> None:
    """Download VOC 2012; add `SegmentationClassAug` and `ImageSets/Segmentation/trainaug.txt`."""
    from torchvision.datasets import SBDataset, VOCSegmentation

    voc = root / "VOCdevkit" / "VOC2012"
    if not (voc / "ImageSets" / "Segmentation" / "val.txt").exists():
        VOCSegmentation(root, year="2012", download=True)
    if not (voc / "SegmentationClassAug").exists():
        if not (root / "sbd" / "cls").exists():
            SBDataset(root / "sbd", image_set="train", mode="segmentation", download=True)
        add_extra_masks(voc, root / "sbd")


def fetch_detection(root: Path) -> None:
    """Download VOC 2012, and the training and test parts of VOC 2007."""
    from torchvision.datasets import VOCDetection

    voc = root / "VOCdevkit"
    if not (voc / "VOC2012" / "ImageSets" / "Main" / "val.txt").exists():
        VOCDetection(root, year="2012", download=True)
    for part in ("trainval", "test"):
        if not (voc / "VOC2007" / "ImageSets" / "Main" / f"{part}.txt").exists():
            VOCDetection(root, year="2007", image_set=part, download=True)


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


def _names(file: Path) -> list[str]:
    return file.read_text().split()


def _sbd_mask(file: Path) -> np.ndarray:
    from scipy.io import loadmat

    mask: np.ndarray = loadmat(file)["GTcls"][0]["Segmentation"][0]
    return mask.astype(np.uint8)


def _save(mask: np.ndarray, file: Path) -> None:
    Image.fromarray(mask).save(file)
