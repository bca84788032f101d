"""Seeds of one arm that ran different code, or on different data, are told."""

from typing import NamedTuple

from service.analysis.mixtures import warnings

from .cases import arm


class Made(NamedTuple):
    arm_id: str
    data: str | None = "aaaa"
    lrd: str | None = "0.1.0"
    commit: str | None = None
    plugins: str | None = None


ARMS = [arm("a"), arm("b", keep_prob=0.5), arm("m", dataset="mnist")]


def test_one_code_and_one_data_set_are_no_mixture() -> None:
    made = [Made("a"), Made("b"), Made("m", data="mmmm")]
    assert list(warnings(ARMS, made)) == []
    assert list(warnings(ARMS, [Made("a"), Made("b", None, None)])) == []  # not known


def test_data_that_were_replaced_in_between_are_told() -> None:
    (said,) = warnings(ARMS, [Made("a"), Made("a", data="b" * 64), Made("m", data="mmmm")])
    assert (
        said
        == "Its trials on digits ran on different data, by their SHA-256: aaaa and bbbbbbbbbbbb."
    )


def test_so_are_an_upgrade_and_a_package_that_was_edited() -> None:
    made = [
        Made("a", commit="1" * 40, plugins="my-lab 1.0 aa, other 2 cc"),
        Made("b", commit="2" * 40, plugins="my-lab 1.0 bb"),
        Made("m", commit="1" * 40, plugins="other 2 cc", data="m"),
    ]
    assert list(warnings(ARMS, made)) == [
        "Its trials ran different code: lrd 0.1.0 of commit 111111111111 and lrd 0.1.0 of commit "
        "222222222222.",
        "Its trials ran different code: my-lab 1.0 aa and my-lab 1.0 bb.",
    ]
