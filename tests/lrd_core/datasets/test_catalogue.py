"""What is at hand, and how the rest gets there."""

import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock, Timeout

from lrd_core.datasets import catalogue
from lrd_core.datasets.catalogue import ensure, fetch, listing, locked
from lrd_core.errors import DataNotFound
from tests.lrd_core.voc_tree import voc_tree


def test_an_empty_folder_lacks_everything_and_says_how_to_get_it(tmp_path: Path) -> None:
    holdings = {holding.name: holding for holding in listing(tmp_path)}
    assert [name for name, holding in holdings.items() if holding.present] == ["digits"]
    assert "lrd data fetch mnist" in holdings["mnist"].detail
    assert holdings["voc_detection"].where == str(tmp_path / "VOCdevkit" / "VOC2012")


def test_a_sample_of_voc_is_used_as_it_is(tmp_path: Path) -> None:
    voc = voc_tree(tmp_path)
    holdings = {holding.name: holding for holding in listing(tmp_path)}
    assert holdings["voc_segmentation"].detail == "5 masks, no extra ones"
    assert holdings["voc_detection"].detail == "5 annotated images of 2012, none of 2007"
    assert ensure("voc_segmentation", tmp_path) == voc


def test_fetching_completes_what_ensuring_leaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    voc = voc_tree(tmp_path)

    def download(root: Path) -> None:
        (voc / "SegmentationClassAug").mkdir()

    monkeypatch.setattr("lrd_core.datasets.downloads.fetch_segmentation", download)
    assert fetch("voc_segmentation", tmp_path).present
    assert (voc / "SegmentationClassAug").is_dir()
    fetch("voc_segmentation", tmp_path)  # what is whole is not fetched again: mkdir would fail


def test_the_digits_are_where_scikit_learn_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: a list of data sets without the one of every example."""
    found = fetch("digits")
    assert found == listing()[0]
    assert (found.name, found.present) == ("digits", True)
    assert (Path(found.where) / "digits.csv.gz").is_file()
    monkeypatch.setattr(catalogue, "find_spec", lambda _: None)
    assert listing()[0].detail == "absent; part of scikit-learn, which the extra `compute` installs"
    with pytest.raises(DataNotFound, match="scikit-learn, which is not installed here: install"):
        fetch("digits")


def test_an_unknown_data_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataNotFound, match="no data set 'zork' to fetch; one of mnist, "):
        fetch("zork", tmp_path)


def test_one_process_of_a_node_downloads_at_a_time(tmp_path: Path) -> None:
    entered = []

    root = tmp_path / "new"

    def download() -> None:
        entered.append(root)
        with pytest.raises(Timeout):
            FileLock(root / ".lrd-download.lock", timeout=0).acquire()

    locked(root, "MNIST", download)
    locked(root, "MNIST", download)  # and lets go of it
    assert entered == [root] * 2


def test_a_trial_waits_for_the_rest_that_another_process_is_downloading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: trials of one sweep on VOC's own masks and on the extra ones."""
    voc = voc_tree(tmp_path)

    class Theirs:
        """The lock, which one gets once the other process has finished."""

        def __init__(self, file: Path) -> None:
            self.file = file

        def __enter__(self) -> None:
            assert self.file.exists(), "where nobody downloads, no lock is left in a sample"
            (voc / "SegmentationClassAug").mkdir()

        def __exit__(self, *_: object) -> None: ...

    monkeypatch.setattr("filelock.FileLock", Theirs)
    assert ensure("voc_segmentation", tmp_path) == voc
    assert not (voc / "SegmentationClassAug").exists()
    (tmp_path / ".lrd-download.lock").touch()
    assert ensure("voc_segmentation", tmp_path) == voc
    assert (voc / "SegmentationClassAug").exists()


def test_a_failed_download_says_where_and_what_to_do(tmp_path: Path) -> None:
    def download() -> None:
        raise RuntimeError("File not found or corrupted.\nsecond line")

    with pytest.raises(DataNotFound) as caught:
        locked(tmp_path, "MNIST", download)
    message = str(caught.value)
    assert message.startswith(f"MNIST is not in {tmp_path} and could not be downloaded (File not")
    assert "second line" not in message
    assert "LRD_DATA_DIR" in message


def test_the_data_folder_is_set_by_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LRD_DATA_DIR", str(tmp_path))
    assert catalogue.data_dir() == tmp_path.resolve()
    monkeypatch.setenv("LRD_DATA_DIR", "")
    assert catalogue.data_dir() == Path("~/.cache/lrd").expanduser().resolve()


def test_listing_needs_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from lrd_core.datasets import catalogue;"
        f"catalogue.listing(Path({str(tmp_path)!r})); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_the_real_data_is_found(data_dir: Path) -> None:
    present = {holding.name for holding in listing(data_dir) if holding.present}
    assert {"mnist", "cifar10_holdout", "voc_segmentation", "voc_detection"} <= present
