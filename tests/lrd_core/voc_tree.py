"""A small VOC in a folder: squares of one class on a grey ground, with masks and boxes."""

from pathlib import Path

import numpy as np
from PIL import Image

ANNOTATION = """<annotation><object>
  <name>{name}</name><difficult>{difficult}</difficult>
  <bndbox><xmin>{x1}</xmin><ymin>{y1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox>
</object></annotation>"""


def voc_tree(root: Path, train: int = 3, val: int = 2, year: int = 2012) -> Path:
    """Images of 64 × 48 or 48 × 64, each with a cat (class 8) of 20 × 20; gives VOC's folder.

    The names are `t0 …` and `v0 …`; the mask has a border of 255 around the cat.
    """
    voc = root / "VOCdevkit" / f"VOC{year}"
    parts = {"train": train, "val": val}
    for folder in ("JPEGImages", "SegmentationClass", "Annotations"):
        (voc / folder).mkdir(parents=True)
    for kind in ("Main", "Segmentation"):
        (voc / "ImageSets" / kind).mkdir(parents=True)
        for part, count in parts.items():
            names = "".join(f"{part[0]}{number}\n" for number in range(count))
            (voc / "ImageSets" / kind / f"{part}.txt").write_text(names)
    for part, count in parts.items():
        for number in range(count):
            _example(voc, f"{part[0]}{number}", number)
    return voc


def _example(voc: Path, name: str, number: int) -> None:
    size = (64, 48) if number % 2 else (48, 64)  # rows, columns
    x, y = 10 + number, 12
    pixels, mask = np.full((*size, 3), 128, np.uint8), np.zeros(size, np.uint8)
    mask[y - 1 : y + 21, x - 1 : x + 21] = 255
    mask[y : y + 20, x : x + 20] = 8
    pixels[mask == 8] = (250, 30, 30)
    Image.fromarray(pixels).save(voc / "JPEGImages" / f"{name}.jpg", quality=95)
    indexed = Image.fromarray(mask).copy()
    indexed.putpalette([value for grey in range(256) for value in [grey] * 3])
    indexed.save(voc / "SegmentationClass" / f"{name}.png")
    # VOC counts pixels from 1, both ends included.
    text = ANNOTATION.format(name="cat", difficult=0, x1=x + 1, y1=y + 1, x2=x + 20, y2=y + 20)
    (voc / "Annotations" / f"{name}.xml").write_text(text)
