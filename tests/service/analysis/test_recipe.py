"""How arms were trained, in words for a paper."""

import pytest

from .cases import arm, trials
from .test_baselines import TUNED
from .test_methods import of, said


def test_images_that_were_held_out_are_told() -> None:
    """Catches: 360 test images in a paper, for numbers that were measured on 100 others."""
    text = of(said([arm("a", data={"holdout": 100})], []))["Training"]
    assert "The last 100 training images were held out and evaluated on; the test images" in text
    assert "has 1,437" not in text


def text(arms):
    return of(said(arms, [trial for each in arms for trial in trials(each.id, [0.5])]))


@pytest.mark.parametrize(
    ("other", "common"),
    [
        ({}, "start from the same weights and see the same batches."),
        ({"batch_size": 32}, "start from the same weights."),
        ({"data": {"max_examples": 100}}, "start from the same weights."),
        ({"pretrained": True}, "see the same batches."),
    ],
)
def test_arms_have_no_more_in_common_than_their_settings(other: dict, common: str) -> None:
    """Catches: "see the same batches", of batches of 128 and of 32."""
    assert (
        f"With the same seed, arms {common}" in text([arm("a"), arm("b", lr=0.1, **other)])["Seeds"]
    )


def test_arms_that_share_neither_weights_nor_batches_are_not_said_to() -> None:
    assert "same seed" not in text([arm("a"), arm("b", pretrained=True, batch_size=32)])["Seeds"]


def test_it_is_told_which_arm_has_which_setting_of_its_optimizer() -> None:
    """Catches: "Adam (learning rate 0.001 …); Adam (learning rate 0.003 …)", and no more."""
    assert (
        "Along with these, they differ in lr (0.001 in Adam; 0.003 in Adam+; 0.1 in SGDM; "
        "0.3 in SGDM+)." in text(TUNED)["Training"]
    )
    half = [*TUNED[:3], arm("SGDM+", name="sgdm", keep_prob=0.5, lr=0.1)]
    assert "they differ in lr (0.001 in Adam; 0.003 in Adam+)." in text(half)["Training"]
    of_data = [arm("a"), arm("b", dataset="mnist", name="sgdm")]
    assert "they differ in optimizer (Adam in a; SGDM in b)." in text(of_data)["Training"]
