"""Whose code a plugin's name stands for, and what is said of it where it is wrong."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from lrd_core import plugins, sources
from lrd_core.datasets.images import ImageData, load_images
from lrd_core.errors import InvalidSpec, PluginError
from lrd_core.models import build_model
from lrd_core.spec import TrialSpec
from tests import installed

NET = "from torch import nn\n\ndef net(shape, classes, dropout):\n    return nn.Flatten()\n"
Install = Callable[..., Path]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Puts a package there, as pip leaves it; its folder."""

    def made(module: str, points: str, *, at: str = "site", source: str = NET) -> Path:
        installed.install(tmp_path / at, module, points, source)
        monkeypatch.syspath_prepend(str(tmp_path / at))
        return tmp_path / at

    return made


def config(**changes: Any) -> dict[str, Any]:
    document = {"dataset": "digits", "model": "fcnet", "optimizer": {"name": "adam"}, "epochs": 1}
    return document | changes


def test_a_configuration_of_this_package_alone_has_no_other_code(install: Install) -> None:
    install("lab_one", "[lrd.models]\nnet_one = lab_one:net\n")
    assert plugins.versions_of([config()]) == []
    assert sources.code_version([config()]) == sources.IMPORTED
    assert sources.codes_of([config()]) == [(sources.IMPORTED, None)]


def test_the_sum_is_of_what_stands_in_the_files(install: Install) -> None:
    """Catches: `reuse: true` that takes the results of another network."""
    folder = install("lab_one", "[lrd.models]\nnet_one = lab_one:net\n")
    mine = [config(model="net_one")]
    (before,) = plugins.versions_of(mine)
    assert before.startswith("lab-one 1.0 ")
    assert plugins.versions_of([*mine, config(), *mine]) == [before]
    code = sources.code_version(mine)
    assert code.startswith(f"{sources.IMPORTED}.")
    assert sources.codes_of([*mine, config()]) == [
        (sources.IMPORTED, before), (sources.IMPORTED, None),
    ]  # fmt: skip
    file = folder / "lab_one.py"
    file.write_text(NET + "# longer\n")
    (after,) = plugins.versions_of(mine)
    assert after != before
    assert sources.code_version(mine) != code
    file.write_text(NET)
    os.utime(file, ns=(1, 1))  # as another checkout of the same
    assert plugins.versions_of(mine) == [before]


def test_a_package_is_all_of_its_files(install: Install) -> None:
    folder = install("lab_two", "[lrd.optimizers]\nmine = lab_two.parts.lion:Lion\n")
    (folder / "lab_two.py").unlink()
    (folder / "lab_two" / "parts").mkdir(parents=True)
    (folder / "lab_two" / "__init__.py").write_text("raise RuntimeError('never imported')\n")
    (folder / "lab_two" / "parts" / "lion.py").write_text("a = 1\n")
    mine = [config(optimizer={"name": "mine"})]
    before = plugins.versions_of(mine)
    (folder / "lab_two" / "parts" / "lion.py").write_text("a = 2\n")
    assert plugins.versions_of(mine) != before


def test_one_that_is_not_here_says_so(install: Install) -> None:
    (install("lab_one", "[lrd.models]\nnet_one = lab_one:net\n") / "lab_one.py").unlink()
    assert plugins.versions_of([config(model="net_one")]) == ["lab-one 1.0 not here"]


def test_a_name_that_two_packages_offer_is_nobodys(install: Install) -> None:
    """Catches: the one that came last in the path, on each node another."""
    install("lab_one", "[lrd.models]\nnet = lab_one:net\n", at="one")
    install("lab_two", "[lrd.models]\nnet = lab_two:net\n", at="two")
    said = "'net' of lrd.models is offered by lab-two 1.0 and by lab-one 1.0"
    with pytest.raises(InvalidSpec, match=said):
        TrialSpec.parse(config(model="net"))
    with pytest.raises(PluginError, match=said):
        plugins.load("lrd.models", "net")


def test_one_package_in_two_places_of_the_path_is_one(install: Install) -> None:
    for at in ("one", "two"):
        install("lab_one", "[lrd.models]\nnet = lab_one:net\n", at=at)
    assert TrialSpec.parse(config(model="net")).model == "net"
    assert plugins.load("lrd.models", "net").__name__ == "net"


@pytest.mark.parametrize(
    ("group", "name", "changes"),
    [
        ("models", "fcnet", {}),
        ("datasets", "digits", {}),
        ("optimizers", "adam", {}),
        ("tasks", "classification", {"task": "classification"}),
    ],
)
def test_a_name_of_this_package_is_not_given_twice(
    install: Install, group: str, name: str, changes: dict[str, Any]
) -> None:
    """Catches: a `fcnet` of the user's own that is never run, without a word."""
    install("lab_one", f"[lrd.{group}]\n{name} = lab_one:net\n")
    with pytest.raises(InvalidSpec, match=r"is offered by lrd itself and by lab-one 1\.0"):
        TrialSpec.parse(config(**changes))


def images(**changes: Any) -> ImageData:
    fields: dict[str, Any] = {
        "train_images": torch.zeros(6, 1, 4, 4, dtype=torch.uint8),
        "train_labels": torch.arange(6) % 2,
        "test_images": torch.zeros(2, 1, 4, 4, dtype=torch.uint8),
        "test_labels": torch.arange(2),
        "classes": 2, "scale": 255, "mean": (0.5,), "std": (0.5,),
    }  # fmt: skip
    return ImageData(**fields | changes)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"train_images": torch.zeros(6, 1, 4, 4)}, "train_images are torch.float32 of shape"),
        ({"test_images": torch.zeros(2, 4, 4, dtype=torch.uint8)}, "test_images are torch.uint8"),
        ({"train_labels": torch.zeros(6)}, "train_labels are torch.float32"),
        ({"train_labels": torch.zeros(5, dtype=torch.int64)}, r"of shape \(5,\)"),
        ({"test_labels": torch.tensor([0, 2])}, "test_labels are 0 to 2; they must be below"),
        ({"mean": (0.5, 0.5, 0.5)}, "number for each channel, 1 in all"),
        ({"test_images": torch.zeros(2, 1, 5, 5, dtype=torch.uint8)}, "differ in shape"),
        (None, "it returned a NoneType, not an ImageData"),
    ],
)
def test_images_that_cannot_be_trained_on_are_said_to_be_wrong(
    monkeypatch: pytest.MonkeyPatch, data: dict[str, Any] | None, said: str
) -> None:
    """Catches: `Target 2 is out of bounds`, from the middle of a loss; floats taken for bytes."""
    given = None if data is None else images(**data)
    monkeypatch.setattr(plugins, "load", lambda group, name: lambda root: given)
    with pytest.raises(PluginError, match=said):
        load_images("theirs")


def test_sound_images_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugins, "load", lambda group, name: lambda root: images())
    assert load_images("theirs").classes == 2


def raising(*_: Any) -> Any:
    return [][1]


@pytest.mark.parametrize(
    ("made_by", "said"),
    [
        (raising, r"raised IndexError: list index out of range \(.*test_plugin_code\.py:\d+\)"),
        (lambda shape: None, r"raised TypeError: .*positional argument.* \(as lrd calls it\)"),
        (lambda *_: "net", "returned a str, not an nn.Module"),
    ],
)
def test_what_a_plugin_does_wrong_is_said_with_its_line(
    monkeypatch: pytest.MonkeyPatch, made_by: Any, said: str
) -> None:
    """Catches: a screen of lrd's own lines, and `'function' object has no attribute 'to'`."""
    monkeypatch.setattr(plugins, "load", lambda group, name: made_by)
    with pytest.raises(PluginError, match=said):
        build_model("theirs", (1, 4, 4), 2, seed=0)
