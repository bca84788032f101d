"""What a trial's numbers depend on is recorded: the commit of the code, the sum of the data."""

import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lrd_core import environment
from lrd_core.datasets import voc
from lrd_core.datasets.images import load_images
from lrd_core.spec import TrialSpec
from tests.lrd_core.voc_tree import voc_tree


@pytest.fixture
def as_before() -> Iterator[None]:
    threads, tf32 = torch.get_num_threads(), torch.backends.cudnn.allow_tf32
    yield
    torch.set_num_threads(threads)
    torch.backends.cudnn.allow_tf32 = tf32


def pinned(precision: str, cpus: float) -> tuple[bool, bool, int]:
    trial = {"dataset": "digits", "model": "fcnet", "optimizer": {"name": "adam"}, "epochs": 1}
    how = {"execution": {"precision": precision}, "resources": {"num_cpus": cpus}}
    environment.pin(TrialSpec.parse(trial | how))
    backends = torch.backends
    tf32 = backends.cuda.matmul.allow_tf32, backends.cudnn.allow_tf32
    assert (backends.cudnn.benchmark, backends.cudnn.deterministic) == (False, True)
    return *tf32, torch.get_num_threads()


@pytest.mark.usefixtures("as_before")
def test_what_a_trial_changes_for_all_of_torch_is_undone_for_the_next_in_its_process() -> None:
    """Catches: other weights and losses, for the same trial, after one of another plugin."""
    torch.set_default_dtype(torch.float64)
    torch.set_default_device("meta")
    torch.set_grad_enabled(False)
    torch.use_deterministic_algorithms(True)
    torch.autograd.set_detect_anomaly(True)
    pinned("fp32", 1)
    fresh = torch.ones(1)
    assert (fresh.dtype, fresh.device.type) == (torch.float32, "cpu")
    assert torch.is_grad_enabled()
    assert not torch.are_deterministic_algorithms_enabled()
    assert not torch.is_anomaly_enabled()


@pytest.mark.usefixtures("as_before")
@pytest.mark.parametrize(
    "change",
    [
        lambda: torch.set_float32_matmul_precision("medium"),
        lambda: setattr(torch.backends, "fp32_precision", "tf32"),
        lambda: setattr(torch.backends.mkldnn.conv, "fp32_precision", "bf16"),
        lambda: setattr(torch.backends.cudnn.conv, "fp32_precision", "tf32"),
    ],
)
def test_a_coarser_arithmetic_ends_with_the_trial_that_chose_it(
    change: Callable[[], None],
) -> None:
    """Catches: products in bf16, on a CPU too, in all later trials of a process."""
    backends = torch.backends
    parts = (
        backends.mkldnn.matmul, backends.mkldnn.conv, backends.mkldnn.rnn, backends.cuda.matmul,
        backends.cudnn.conv, backends.cudnn.rnn,
    )  # fmt: skip
    change()
    assert pinned("fp32", 1) == (False, False, 1)
    assert {part.fp32_precision for part in parts} <= {"none", "ieee"}


@pytest.mark.usefixtures("as_before")
def test_a_trial_leaves_nothing_pinned_for_the_next_in_its_process() -> None:
    assert pinned("tf32", 2) == (True, True, 2)
    assert pinned("fp32", 1) == (False, False, 1)
    assert pinned("bf16", 0.5) == (False, False, 1)


def git(folder: Path, *words: str) -> str:
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    command = ["git", *identity, *words]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


def test_a_checkout_names_its_commit_and_says_whether_it_was_changed(tmp_path: Path) -> None:
    assert environment._described(tmp_path) == ""
    git(tmp_path, "init", "-q")
    (tmp_path / "code.py").write_text("a = 1")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "first")
    git(tmp_path, "tag", "v1")
    commit = git(tmp_path, "rev-parse", "HEAD").strip()
    assert environment._described(tmp_path) == commit
    (tmp_path / "code.py").write_text("a = 2")
    assert environment._described(tmp_path) == f"{commit}-dirty"


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("abc", {"commit": "abc", "dirty": False}),
        ("abc-dirty", {"commit": "abc", "dirty": True}),
    ],
)
def test_an_image_says_what_it_was_built_of(
    said: str, found: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LRD_COMMIT", said)
    assert environment.git_commit.__wrapped__() == found


@pytest.mark.parametrize(
    ("told", "name"),
    [
        ("processor\t: 0\nmodel name\t: AMD EPYC 9B14\nmodel name\t: other\n", "AMD EPYC 9B14"),
        ("model\t: 207\nmodel name\t: Intel(R) Xeon(R) CPU  @ 2.2GHz\n", "Intel Xeon CPU @ 2.2GHz"),
        ("processor\t: 0\nCPU part\t: 0xd40\n", None),
        (None, None),
    ],
)
def test_the_processor_is_named_where_the_machine_tells(
    told: str | None, name: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_text(path: Path) -> str:
        assert path == Path("/proc/cpuinfo")
        if told is None:
            raise FileNotFoundError(path)
        return told

    monkeypatch.setattr(Path, "read_text", read_text)
    assert environment._processor.__wrapped__() == name


def test_the_data_has_one_sum_and_every_change_gives_another() -> None:
    data = load_images("digits")
    images, labels = data.train_images.clone(), data.train_labels.clone()
    same = replace(data, train_images=images, train_labels=labels)
    assert same.sha256 == data.sha256
    images[0, 0, 0, 0] += 1
    assert replace(data, train_images=images).sha256 != data.sha256
    labels[-1] += 1
    assert replace(data, train_labels=labels).sha256 != data.sha256
    assert data.first(100).sha256 != data.sha256
    turned = replace(data, train_images=data.train_images.to(memory_format=torch.channels_last))
    assert turned.sha256 == data.sha256


def test_another_list_of_files_is_other_data(tmp_path: Path) -> None:
    voc_tree(tmp_path)
    split = voc.segmentation(tmp_path)
    assert voc.segmentation(tmp_path).sha256 == split.sha256
    assert split.first(2).sha256 != split.sha256
    assert voc.Split(split.train, split.val[:-1]).sha256 != split.sha256
