"""Windows cut from images: the pixels are those that the window shows."""

import math

import pytest
import torch
from torch import Tensor

from lrd_core.datasets.windows import IGNORED, MEAN, Window, cut_images, cut_masks, normalised

CPU = torch.device("cpu")


def image(height: int, width: int) -> Tensor:
    draws = torch.Generator().manual_seed(height * width)
    return torch.randint(0, 256, (3, height, width), generator=draws, dtype=torch.uint8)


def cut(picture: Tensor, window: Window, side: int) -> Tensor:
    return cut_images([picture], [window], side, CPU)[0]


def test_a_window_of_its_own_size_shows_the_pixels_themselves() -> None:
    picture = image(8, 8)
    torch.testing.assert_close(cut(picture, Window(4, 4, 8, 8), 8), picture / 255)
    torch.testing.assert_close(cut(picture, Window(5, 3, 4, 4), 4), picture[:, 1:5, 3:7] / 255)


def test_images_of_different_sizes_do_not_see_each_other() -> None:
    small, large = image(6, 4), image(9, 9)
    windows = [Window(2, 3, 4, 6), Window(4.5, 4.5, 9, 9)]
    both = cut_images([small, large], windows, 12, CPU)
    torch.testing.assert_close(both[0], cut(small, windows[0], 12))
    torch.testing.assert_close(both[1], cut(large, windows[1], 12))


def test_a_flip_changes_left_and_right() -> None:
    picture = image(6, 6)
    flipped = cut(picture, Window(3, 3, 6, 6, flip=True), 6)
    torch.testing.assert_close(flipped, picture.flip(2) / 255)


def test_a_quarter_turn_is_a_quarter_turn() -> None:
    picture = image(6, 6)
    turned = cut(picture, Window(3, 3, 6, 6, angle=math.pi / 2), 6)
    torch.testing.assert_close(turned, picture.rot90(1, (1, 2)) / 255, atol=1e-4, rtol=0)


def test_a_larger_window_shrinks_what_it_shows() -> None:
    picture = torch.zeros(3, 8, 8, dtype=torch.uint8)
    picture[:, :, 4:] = 200
    half = cut(picture, Window(4, 4, 8, 8), 4)
    torch.testing.assert_close(half[:, :, 0], torch.zeros(3, 4))
    torch.testing.assert_close(half[:, :, 3], torch.full((3, 4), 200 / 255))


def test_outside_is_the_mean_colour_and_ignored() -> None:
    picture = image(4, 4)
    window = Window(2, 2, 8, 8)  # two pixels stick out on every side
    shown = cut(picture, window, 8)
    for channel, mean in enumerate(MEAN):
        assert shown[channel, 0].tolist() == pytest.approx([mean] * 8, abs=1e-6)
    torch.testing.assert_close(shown[:, 2:6, 2:6], picture / 255)
    mask = torch.full((1, 4, 4), 7, dtype=torch.uint8)
    labels = cut_masks([mask], [window], 8, CPU)[0]
    assert labels[2:6, 2:6].unique().tolist() == [7]
    assert labels[0].unique().tolist() == [IGNORED]


def test_labels_are_never_mixed_and_lie_where_the_image_has_them() -> None:
    mask = torch.zeros(1, 40, 40, dtype=torch.uint8)
    mask[:, 10:30, 5:20] = 20
    mask[:, 0:3] = IGNORED
    window = Window(18, 22, 31, 31, angle=0.17, flip=True)
    labels = cut_masks([mask], [window], 50, CPU)[0]
    assert {*labels.unique().tolist()} <= {0, 20, IGNORED}
    picture = (mask == 20).to(torch.uint8).expand(3, 40, 40) * 255
    bright = cut(picture, window, 50)[0]
    assert ((bright > 0.5) == (labels == 20)).float().mean() > 0.97


def test_normalising_takes_mean_and_deviation_out() -> None:
    grey = torch.tensor(MEAN).view(1, 3, 1, 1).expand(2, 3, 4, 4)
    assert normalised(grey).abs().max() == 0
    assert normalised(grey + 0.229)[0, 0, 0, 0].item() == pytest.approx(1)
