"""How arms were trained, in words for a paper."""

from .cases import arm
from .test_methods import of, said


def test_images_that_were_held_out_are_told() -> None:
    """Catches: 360 test images in a paper, for numbers that were measured on 100 others."""
    text = of(said([arm("a", data={"holdout": 100})], []))["Training"]
    assert "The last 100 training images were held out and evaluated on; the test images" in text
    assert "has 1,437" not in text
