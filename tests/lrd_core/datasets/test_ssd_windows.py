"""SSD's augmentation: boxes stay with their objects, colours within their range."""

import random

import pytest
import torch

from lrd_core.datasets import ssd_windows
from lrd_core.datasets.ssd_windows import distorted, training_window, whole_window, within
from lrd_core.datasets.voc import Boxes
from lrd_core.datasets.windows import cut_images

SIDE = 100


def boxes(*corners: tuple[float, float, float, float]) -> Boxes:
    count = len(corners)
    return Boxes(
        torch.tensor(corners).view(-1, 4),
        torch.arange(1, count + 1),
        torch.zeros(count, dtype=torch.bool),
    )


@pytest.mark.parametrize("seed", range(40))
def test_a_box_encloses_its_object_after_any_window(seed: int) -> None:
    picture = torch.zeros(3, 120, 160, dtype=torch.uint8)
    picture[:, 40:90, 30:110] = 255
    window, shown = training_window(160, 120, boxes((30, 40, 110, 90)), SIDE, random.Random(seed))
    pixels = cut_images([picture], [window], SIDE, torch.device("cpu"))[0, 0]
    rows, columns = torch.nonzero(pixels > 0.8, as_tuple=True)
    centred = abs(window.x - 70) < window.width / 2 and abs(window.y - 65) < window.height / 2
    assert len(shown.labels) == centred
    if not centred:
        return
    seen = torch.stack([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
    torch.testing.assert_close(shown.corners[0], seen.float(), atol=2.5, rtol=0)


def test_windows_zoom_out_crop_and_flip() -> None:
    draws = random.Random(0)
    truth = boxes((30, 40, 110, 90))
    windows = [training_window(160, 120, truth, SIDE, draws)[0] for _ in range(2000)]
    # Half zoom out; of all, 6 in 7 are cropped afterwards, which may undo it.
    assert 0.2 < sum(window.width > 160 for window in windows) / 2000 < 0.5
    assert 0.4 < sum(window.flip for window in windows) / 2000 < 0.6
    assert max(window.width for window in windows) <= 4 * 160
    assert min(window.width for window in windows) >= 0.3 * 160 - 1e-6


def test_objects_whose_centre_is_outside_are_left_out() -> None:
    _, shown = within((0, 0, 50, 50), boxes((40, 40, 70, 70), (10, 10, 30, 60)), SIDE)
    assert shown.labels.tolist() == [2]
    cut = torch.tensor([[20.0, 20, 60, 100]])  # at the border
    torch.testing.assert_close(shown.corners, cut)


def test_a_whole_image_is_squeezed_into_the_square() -> None:
    window, shown = whole_window(200, 50, boxes((20, 10, 100, 50)), SIDE)
    assert (window.x, window.y, window.width, window.height) == (100, 25, 200, 50)
    assert shown.corners.tolist() == [[10, 20, 50, 100]]


def test_an_image_without_objects_has_a_window_too() -> None:
    _, shown = training_window(60, 60, boxes(), SIDE, random.Random(0))
    assert shown.corners.shape == (0, 4)


def test_colours_change_and_stay_in_range() -> None:
    images = torch.rand(64, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    changed = distorted(images, random.Random(0))
    assert changed.min() >= 0
    assert changed.max() <= 1
    untouched = [torch.allclose(a, b, atol=1e-5) for a, b in zip(images, changed, strict=True)]
    assert 0 < sum(untouched) < 20  # one in sixteen is expected


def test_a_grey_image_stays_grey_whatever_the_hue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssd_windows, "BRIGHTNESS", 0.0)
    monkeypatch.setattr(ssd_windows, "CONTRAST", (1.0, 1.0))
    grey = torch.full((32, 3, 4, 4), 0.5)
    torch.testing.assert_close(distorted(grey, random.Random(1)), grey, atol=2e-3, rtol=0)
