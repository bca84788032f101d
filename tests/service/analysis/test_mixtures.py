"""Seeds of one arm that ran different code, or on different data, are told."""

from service.analysis.mixtures import Provenance, warnings

from .cases import arm


def made(
    arm_id: str, data: str | None = "aaaa", lrd: str | None = "0.1.0", **more: str
) -> Provenance:
    return Provenance(arm_id, data, lrd, **more)


ARMS = [arm("a"), arm("b", keep_prob=0.5), arm("m", dataset="mnist")]


def test_one_code_and_one_data_set_are_no_mixture() -> None:
    found = [made("a"), made("b"), made("m", data="mmmm")]
    assert list(warnings(ARMS, found)) == []
    assert list(warnings(ARMS, [made("a"), made("b", None, None)])) == []  # not known


def test_data_that_were_replaced_in_between_are_told() -> None:
    (said,) = warnings(ARMS, [made("a"), made("a", data="b" * 64), made("m", data="mmmm")])
    assert (
        said
        == "Its trials on digits ran on different data, by their SHA-256: aaaa and bbbbbbbbbbbb."
    )


def test_edited_sources_are_told_once_whatever_the_commit_is() -> None:
    """Catches: a dirty checkout without a word; and three sentences for one edit."""
    old, new = "0.1.0+ab12ab12ab12", "0.1.0+cd34cd34cd34"
    dirty = "1" * 40
    found = [made("a", lrd=old, commit=dirty), made("a", lrd=new, commit=dirty)]
    (said,) = warnings(ARMS, found)
    assert said == f"Its trials ran different code: lrd {old} and lrd {new}."
    assert list(warnings(ARMS, [*found, made("b", lrd=new, commit="2" * 40)])) == [said]
    # A commit that changed a page alone.
    same = [made("a", lrd=new, commit=dirty), made("b", lrd=new, commit="2" * 40)]
    assert list(warnings(ARMS, same)) == []
    # Whether the earlier trial ran these sources nobody knows.
    (said,) = warnings(ARMS, [made("a", commit=dirty), made("a", lrd=new, commit=dirty)])
    assert f"lrd 0.1.0 of commit 111111111111 and lrd {new}." in said


def test_so_are_an_upgrade_and_a_package_that_was_edited() -> None:
    found = [
        made("a", commit="1" * 40, plugins="my-lab 1.0 aa, other 2 cc"),
        made("b", commit="2" * 40, plugins="my-lab 1.0 bb"),
        made("m", commit="1" * 40, plugins="other 2 cc", data="m"),
    ]
    assert list(warnings(ARMS, found)) == [
        "Its trials ran different code: lrd 0.1.0 of commit 111111111111 and lrd 0.1.0 of commit "
        "222222222222.",
        "Its trials ran different code: my-lab 1.0 aa and my-lab 1.0 bb.",
    ]
