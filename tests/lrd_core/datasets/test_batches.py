"""Batches on the device: every example once, and the usual crop and flip."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from scipy import stats
from torchvision.transforms.v2.functional import crop, horizontal_flip, pad

from lrd_core.datasets.batches import PADDING, Batches, _gathered, cut_out, spans
from lrd_core.datasets.images import ImageData

SIDE = 8


def data(count: int, **changes: Any) -> ImageData:
    """`count` times the same image, each of whose 64 pixels has a value of its own from 1 on."""
    image = torch.arange(1, SIDE * SIDE + 1, dtype=torch.uint8).view(1, 1, SIDE, SIDE)
    images = image.expand(count, 1, SIDE, SIDE).contiguous()
    labels = torch.arange(count)
    return ImageData(
        **{
            "train_images": images, "train_labels": labels, "test_images": images,
            "test_labels": labels, "classes": count, "scale": 1, "mean": (0.0,), "std": (1.0,),
            "crop_and_flip": True,
        } | changes
    )  # fmt: skip


def usual_crops(image: torch.Tensor) -> dict[bytes, int]:
    """All results of padding by 4, cropping and flipping, as torchvision does it."""
    padded = pad(image, [PADDING] * 4)
    crops = [
        crop(padded, top, left, SIDE, SIDE)
        for top in range(2 * PADDING + 1)
        for left in range(2 * PADDING + 1)
    ]
    both = [*crops, *(horizontal_flip(each) for each in crops)]
    return {each.numpy().tobytes(): place for place, each in enumerate(both)}


def test_crop_and_flip_is_equal_in_distribution_to_the_usual_one() -> None:
    count = 162 * 100
    images = data(count)
    batches = Batches(images, torch.device("cpu"))
    places = usual_crops(images.train_images[0].float())
    assert len(places) == 162
    seen = torch.zeros(162)
    for batch, _ in batches.train(1000, seed=0, epoch=1):
        for image in batch:
            seen[places[image.numpy().tobytes()]] += 1  # a KeyError is no usual crop
    # Uniform over 81 places and two directions; a fair draw fails this once in a million seeds.
    chi_square = float(((seen - 100) ** 2 / 100).sum())
    assert stats.chi2.sf(chi_square, 161) > 1e-6


def test_another_epoch_and_another_seed_draw_other_crops() -> None:
    batches = Batches(data(64), torch.device("cpu"))
    first, again, later, other = (
        torch.cat([images for images, _ in batches.train(32, seed=seed, epoch=epoch)])
        for seed, epoch in ((0, 1), (0, 1), (0, 2), (1, 1))
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, later)
    assert not torch.equal(first, other)


def test_every_example_comes_once_an_epoch_in_an_order_of_its_own() -> None:
    batches = Batches(data(50, crop_and_flip=False), torch.device("cpu"))
    orders = [
        torch.cat([labels for _, labels in batches.train(16, seed=0, epoch=epoch)])
        for epoch in (1, 2)
    ]
    for order in orders:
        assert sorted(order.tolist()) == list(range(50))
    assert not torch.equal(*orders)


@pytest.mark.parametrize(
    ("count", "size", "sizes"),
    [
        (9, 4, [4, 5]),  # batch normalisation refuses a batch of one
        (10, 4, [4, 4, 2]),
        (8, 4, [4, 4]),
        (4, 4, [4]),
        (1, 4, [1]),  # there is no batch that it could join
        (3, 1, [1, 1, 1]),  # as asked for
    ],
)
@pytest.mark.parametrize("crop_and_flip", [True, False])
def test_no_batch_of_one_comes_last(
    count: int, size: int, sizes: list[int], crop_and_flip: bool
) -> None:
    """Catches: `Expected more than 1 value per channel`, an epoch into a trial of somebody's own
    network."""
    batches = Batches(data(count, crop_and_flip=crop_and_flip), torch.device("cpu"), cutout=3)
    epoch = [labels for _, labels in batches.train(size, seed=0, epoch=1)]
    assert [len(labels) for labels in epoch] == sizes
    assert sorted(torch.cat(epoch).tolist()) == list(range(count))
    assert spans(count, size) == [
        slice(sum(sizes[:at]), sum(sizes[: at + 1])) for at in range(len(sizes))
    ]


def test_test_images_are_neither_cropped_nor_shuffled() -> None:
    images = data(5)
    ((batch, labels),) = Batches(images, torch.device("cpu")).test()
    assert torch.equal(batch, images.test_images.float())
    assert labels.tolist() == [0, 1, 2, 3, 4]


def test_pixels_are_scaled_then_normalised() -> None:
    images = data(2, crop_and_flip=False, scale=2, mean=(3.0,), std=(4.0,))
    batch, _ = next(iter(Batches(images, torch.device("cpu")).train(2, seed=0, epoch=1)))
    expected = (images.train_images[:2].float() / 2 - 3) / 4
    torch.testing.assert_close(batch, expected)


def colours(count: int) -> ImageData:
    """`count` random images in three channels, which differ in mean and deviation."""
    draws = torch.Generator().manual_seed(0)
    images = torch.randint(1, 256, (count, 3, SIDE, SIDE), generator=draws, dtype=torch.uint8)
    mean, std = (0.1, 0.2, 0.3), (1.0, 2.0, 4.0)
    return data(count, scale=255, mean=mean, std=std, train_images=images, test_images=images)


def test_channels_stay_channels_and_columns_columns() -> None:
    images = colours(200)
    mean, std = (torch.tensor(each).view(3, 1, 1) for each in (images.mean, images.std))
    ((batch, labels),) = Batches(images, torch.device("cpu")).train(200, seed=0, epoch=1)
    assert batch.is_contiguous(memory_format=torch.channels_last)  # convolutions copy nothing
    for image, label in zip(batch, labels, strict=True):
        # Exactly: that rows are normalised instead of pixels adds no rounding.
        padded = pad(images.train_images[label], [PADDING] * 4)
        crops = padded.unfold(1, SIDE, 1).unfold(2, SIDE, 1).permute(1, 2, 0, 3, 4).flatten(0, 1)
        usual = (torch.cat([crops, crops.flip(3)]).float() / 255 - mean) / std
        assert (usual == image).flatten(1).all(1).any()


def test_gathering_by_numpy_and_by_torch_is_the_same() -> None:
    # Only the second runs on a GPU.
    windows = torch.arange(5 * 3 * 3 * 2 * 4).view(5, 3, 3, 2, 4)
    places = torch.tensor([4, 0, 2]), torch.tensor([0, 2, 1]), torch.tensor([1, 1, 0])
    assert torch.equal(_gathered(windows, *places), windows[places])


def as_rows(images: torch.Tensor) -> torch.Tensor:
    """`(n, c, h, w)` as `(n, h, w c)`."""
    return images.movedim(1, 3).flatten(2).clone()


def as_images(rows: torch.Tensor) -> torch.Tensor:
    return rows.unflatten(2, (6, 2)).movedim(3, 1)


def test_a_cut_out_square_is_clipped_at_the_border() -> None:
    images = torch.ones(3, 2, 5, 6)
    centres = torch.tensor([[0, 2, 4], [0, 3, 5]])  # rows, columns
    cut = as_images(cut_out(as_rows(images), centres, 3, 2))
    expected = torch.ones(3, 2, 5, 6)
    expected[0, :, :2, :2] = 0
    expected[1, :, 1:4, 2:5] = 0
    expected[2, :, 3:, 4:] = 0
    assert torch.equal(cut, expected)
    assert not cut_out(as_rows(images), centres, 11, 2)[1].any()


def test_cutout_moves_no_crop_and_no_order_and_is_drawn_anew_in_each_epoch() -> None:
    images = colours(64)
    plain, cut = Batches(images, torch.device("cpu")), Batches(images, torch.device("cpu"), 4)

    def epoch(batches: Batches, number: int) -> torch.Tensor:
        return torch.cat([each for each, _ in batches.train(20, seed=0, epoch=number)])

    whole, holed = epoch(plain, 1), epoch(cut, 1)
    holes = holed != whole
    assert holes.any()
    assert not holed[holes].any()
    assert torch.equal(holed, epoch(cut, 1))
    assert not torch.equal(holes, epoch(cut, 2) != epoch(plain, 2))
    for (one, _), (other, _) in zip(plain.test(), cut.test(), strict=True):
        assert torch.equal(one, other)


def test_large_parts_stay_bytes_and_give_the_same_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: a set of 2 GB that takes 10 GB, and a test batch of 1,000 large images."""
    images = replace(colours(50), crop_and_flip=False, mean=(0.1, 0.2, 0.3), std=(1.1, 1.2, 1.3))
    small = Batches(images, torch.device("cpu"))
    monkeypatch.setattr("lrd_core.datasets.batches.NORMALISED", 0)
    monkeypatch.setattr(
        "lrd_core.datasets.batches.TEST_NUMBERS", 20 * images.test_images[0].numel()
    )
    large = Batches(images, torch.device("cpu"))
    assert large._train.dtype == large._test.dtype == torch.uint8
    for ours, theirs in zip(small.train(16, 0, 1), large.train(16, 0, 1), strict=True):
        assert torch.equal(ours[0], theirs[0])
    assert [len(labels) for _, labels in small.test(1000)] == [50]
    parts = [batch for batch, _ in large.test()]
    assert [len(part) for part in parts] == [20, 20, 10]
    assert torch.equal(torch.cat(parts), torch.cat([batch for batch, _ in small.test(1000)]))
