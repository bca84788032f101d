"""VOC as files: lists, masks, boxes and the extra masks."""

import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.io import savemat

from lrd_core.datasets import voc
from lrd_core.datasets.downloads import add_extra_masks
from lrd_core.errors import DataNotFound
from tests.lrd_core.voc_tree import ANNOTATION, voc_tree


def test_a_mask_is_read_as_classes_not_as_colours(tmp_path: Path) -> None:
    voc_tree(tmp_path)
    sample = voc.segmentation(tmp_path).train[0]
    mask = voc.read_mask(sample.truth)
    assert mask.shape == (1, 48, 64)
    assert mask.unique().tolist() == [0, 8, 255]
    assert int((mask == 8).sum()) == 20 * 20
    image = voc.read_image(sample.image)
    assert image.shape == (3, 48, 64)
    assert image.dtype == torch.uint8
    inside = image[:, mask[0] == 8].float().mean(1)
    torch.testing.assert_close(inside, torch.tensor([250.0, 30, 30]), atol=12, rtol=0)


def test_boxes_are_counted_from_zero_and_enclose_their_pixels(tmp_path: Path) -> None:
    voc_tree(tmp_path)
    split = voc.detection(tmp_path)
    boxes = voc.read_boxes(split.train[0].truth)
    assert boxes.corners.tolist() == [[10, 12, 30, 32]]
    assert boxes.labels.tolist() == [voc.CLASSES.index("cat") + 1] == [8]
    assert boxes.difficult.tolist() == [False]


def test_objects_without_number_and_difficult_ones_are_read(tmp_path: Path) -> None:
    none, hard = tmp_path / "none.xml", tmp_path / "hard.xml"
    none.write_text("<annotation></annotation>")
    assert voc.read_boxes(none).corners.shape == (0, 4)
    assert voc.read_boxes(none).labels.dtype == torch.int64
    hard.write_text(ANNOTATION.format(name="dog", difficult=1, x1=1, y1=1, x2=2, y2=2))
    assert voc.read_boxes(hard).difficult.tolist() == [True]


def test_voc_2007_joins_where_it_is(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    newer = voc_tree(tmp_path)
    alone = voc.detection(tmp_path)
    assert (len(alone.train), len(alone.val)) == (3, 2)
    assert "VOC2007 does not exist" in caplog.text
    older = voc_tree(tmp_path, train=4, val=1, year=2007)
    for tree in (newer, older):
        lists = tree / "ImageSets" / "Main"
        parts = [(lists / f"{part}.txt").read_text() for part in ("train", "val")]
        (lists / "trainval.txt").write_text("".join(parts))
    (older / "ImageSets" / "Main" / "test.txt").write_text("v0\n")
    together = voc.detection(tmp_path)
    assert len(together.train) == 5 + 5
    assert [sample.image for sample in together.val] == [older / "JPEGImages" / "v0.jpg"]


def test_the_extra_masks_join_the_training_part_and_never_the_validation(tmp_path: Path) -> None:
    tree = voc_tree(tmp_path)
    (tmp_path / "sbd" / "cls").mkdir(parents=True)
    mask = np.zeros((48, 64), np.uint8)
    mask[3:5, 7:9] = 15
    for name in ("t0", "v1", "x9"):  # in VOC's training list, in its validation list, in neither
        record = np.zeros((1, 1), [("Segmentation", object)])
        record["Segmentation"][0, 0] = mask
        savemat(tmp_path / "sbd" / "cls" / f"{name}.mat", {"GTcls": record})
    assert add_extra_masks(tree, tmp_path / "sbd") == 4
    split = voc.segmentation(tmp_path)
    assert [sample.image.stem for sample in split.train] == ["t0", "t1", "t2", "x9"]
    assert [sample.image.stem for sample in split.val] == ["v0", "v1"]
    np.testing.assert_array_equal(voc.read_mask(split.train[3].truth)[0].numpy(), mask)
    assert 8 in voc.read_mask(split.train[0].truth)  # VOC's own mask, where it has one
    assert 8 in voc.read_mask(split.val[1].truth)


def test_batches_are_read_in_order_and_one_ahead() -> None:
    read_before_asked = threading.Event()

    def read(element: int) -> int:
        if element == 3:
            read_before_asked.set()
        return element * 10

    batches = voc.read_ahead([[1, 2], [3]], read, threads=2)
    assert next(batches) == [10, 20]
    assert read_before_asked.wait(10)
    assert list(batches) == [[30]]
    assert not list(voc.read_ahead([], read, threads=1))


def test_an_image_that_cannot_be_read_is_an_error_of_its_batch(tmp_path: Path) -> None:
    with pytest.raises(DataNotFound, match=r"no.jpg is missing or torn"):
        list(voc.read_ahead([[tmp_path / "no.jpg"]], voc.read_image, threads=1))


@pytest.mark.parametrize("torn", [b"", bytes(100), None], ids=["empty", "zeros", "missing"])
def test_files_of_voc_that_are_torn_or_missing_are_named(
    tmp_path: Path, torn: bytes | None
) -> None:
    """Catches: `cannot identify image file` of a copy that somebody interrupted."""
    tree = voc_tree(tmp_path)
    split, boxes = voc.segmentation(tmp_path), voc.detection(tmp_path)

    def spoil(file: Path) -> None:
        file.unlink()
        if torn is not None:
            file.write_bytes(torn)

    for read, file in (
        (voc.read_image, split.train[0].image),
        (voc.read_mask, split.train[0].truth),
        (voc.read_boxes, boxes.train[0].truth),
    ):
        spoil(file)
        with pytest.raises(
            DataNotFound, match=rf"{file} is missing or torn .*: remove {tree}, and"
        ):
            read(file)
    if torn is None:
        with pytest.raises(DataNotFound, match=r"t0.jpg is missing or torn"):
            split.sha256  # noqa: B018
        spoil(tree / "ImageSets" / "Segmentation" / "train.txt")
        with pytest.raises(DataNotFound, match=rf"train.txt is missing .*: remove {tree}, and"):
            voc.segmentation(tmp_path)


def test_the_real_sample_has_its_images_boxes_and_masks(data_dir: Path) -> None:
    boxes = voc.detection(data_dir)
    annotated = boxes.train + boxes.val
    assert len(annotated) == 100
    assert sum(len(voc.read_boxes(sample.truth).labels) for sample in annotated) == 273
    masks = voc.segmentation(data_dir)
    assert len(masks.train) + len(masks.val) == 93
    for sample in masks.val[:5]:
        image, mask = voc.read_image(sample.image), voc.read_mask(sample.truth)
        assert image.shape[1:] == mask.shape[1:]
        assert {*mask.unique().tolist()} <= {*range(21), 255}
