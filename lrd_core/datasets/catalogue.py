"""Where the data sets are stored, which of them are present, and how they are downloaded.

Importing this needs no torch, because `lrd data ls` only looks at folders. Torchvision downloads
and verifies checksums; one process of a node does so at a time.
"""

import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from zipfile import BadZipFile

from lrd_core.errors import DataNotFound, first_line


def data_dir() -> Path:
    """The folder of data sets: `LRD_DATA_DIR`, or `~/.cache/lrd`."""
    return Path(os.environ.get("LRD_DATA_DIR") or "~/.cache/lrd").expanduser().resolve()


@dataclass(frozen=True)
class Holding:
    """One data set, and whether it is present."""

    name: str
    title: str
    present: bool
    where: str
    """The folder that holds it, or would."""
    detail: str
    """What is present, or what is missing."""


def listing(root: Path | None = None) -> list[Holding]:
    """Every data set that is read from files, and how much of it is below `root`."""
    root = root or data_dir()
    return [_digits(), *(_holding(name, entry, root) for name, entry in _ENTRIES.items())]


def digits_file() -> Path:
    """The file of the digits, which are part of scikit-learn.

    Raises:
        DataNotFound: scikit-learn is not installed.
    """
    # Importing scikit-learn just to find its file would take longer than a short trial.
    package = find_spec("sklearn")
    if package is None or package.origin is None:
        raise DataNotFound(
            "the digits are part of scikit-learn, which is not installed here: install the extra "
            "`compute`"
        )
    return Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz"


def fetch(name: str, root: Path | None = None) -> Holding:
    """Download whatever is missing of a data set, and describe what is there now.

    Raises:
        DataNotFound: the name is unknown, or the download failed.
    """
    if name == _DIGITS:
        digits_file()
        return _digits()
    root = root or data_dir()
    if name not in _ENTRIES:
        raise DataNotFound(f"there is no data set {name!r} to fetch; one of {', '.join(_ENTRIES)}")
    entry = _ENTRIES[name]
    if not entry.complete(root):

        def download_rest() -> None:
            if not entry.complete(root):  # another process may just have brought it
                entry.fetch(root)

        locked(root, entry.download, download_rest, entry.part)
    return _holding(name, entry, root)


def present(name: str, root: Path) -> Path | None:
    """The folder of a data set if it is usable as it is, e.g. a sample of VOC; otherwise None."""
    return _ENTRIES[name].present(root)


def ensure(name: str, root: Path) -> Path:
    """The folder of a data set: as it is if usable, e.g. a sample of VOC; otherwise downloaded.

    While another process of this node downloads the rest of it, this waits.

    Raises:
        DataNotFound: it is absent, and the download failed.
    """
    entry = _ENTRIES[name]
    if entry.present(root) and not entry.complete(root):
        _wait_for_download(root)
    return entry.present(root) or Path(fetch(name, root).where)


@contextmanager
def reading(file: Path, remove: Path | None = None) -> Iterator[None]:
    """What reading a missing or torn file raises, as a `DataNotFound` that says what to do.

    `remove` is what must go so that the data set counts as absent; by default the file alone.

    Raises:
        DataNotFound: the block raised what readers raise for wrong content, or an `OSError`.
    """
    try:
        yield
    except _TORN as error:
        raise DataNotFound(
            f"{file} is missing or torn ({first_line(error)}): remove {remove or file}, and the "
            "next trial that needs the data set, or `lrd data fetch`, downloads it again"
        ) from error


def locked(root: Path, title: str, work: Callable[[], None], instead: str = "") -> None:
    """Do `work()`, a download to `root`, as the only process of this node.

    Raises:
        DataNotFound: it failed; says where the data should be and how else to get it there, with
            `instead` at the end.
    """
    from filelock import FileLock

    try:
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(root / _LOCK):
            work()
    except (OSError, RuntimeError) as error:  # no network, no space, a wrong sum
        lines = str(error).splitlines()
        reason = lines[0].rstrip(":. ") if lines else type(error).__name__
        raise DataNotFound(
            f"{title} is not in {root} and could not be downloaded ({reason}). "
            f"Put torchvision's files of {title} there, or set LRD_DATA_DIR to the folder that "
            f"holds them on every node; `lrd data ls` shows what is where.{instead}"
        ) from None


# --- inside ---------------------------------------------------------------------------------------

_LOCK = ".lrd-download.lock"

_TORN = (OSError, EOFError, ValueError, TypeError, LookupError, AssertionError, SyntaxError,
         BadZipFile, zlib.error)  # fmt: skip
"""What NumPy, Pillow, torchvision and the XML parser raise for them; without `RuntimeError`, which
may mean that the memory is full."""


def _wait_for_download(root: Path) -> None:
    from filelock import FileLock

    # Where this may not write, no download of this user's writes either.
    if (root / _LOCK).exists():
        with suppress(OSError), FileLock(root / _LOCK):
            pass


@dataclass(frozen=True)
class _Entry:
    title: str
    folders: tuple[str, ...]
    """Folders below the root, any of which may hold it."""
    needed: Callable[[Path], bool]
    """Whether a folder is usable, as far as file names show."""
    fetch: Callable[[Path], None]
    """Downloads what is missing, below the root."""
    download: str
    """What that is, for a sentence."""
    detail: Callable[[Path], str] = lambda folder: "complete"
    whole: Callable[[Path], bool] = lambda folder: True
    """Whether a usable folder is also complete."""
    part: str = ""
    """How to use a part of it on purpose, for whoever cannot download the rest."""

    def present(self, root: Path) -> Path | None:
        return next((root / f for f in self.folders if self.needed(root / f)), None)

    def complete(self, root: Path) -> bool:
        folder = self.present(root)
        return folder is not None and self.whole(folder)


_DIGITS = "digits"


def _digits() -> Holding:
    try:
        where = str(digits_file().parent)
    except DataNotFound:
        detail = "absent; part of scikit-learn, which the extra `compute` installs"
        return Holding(_DIGITS, "Digits", False, "scikit-learn", detail)
    return Holding(_DIGITS, "Digits", True, where, "complete; part of scikit-learn")


def _holding(name: str, entry: _Entry, root: Path) -> Holding:
    folder = entry.present(root)
    if folder is None:
        where = str(root / entry.folders[0])
        return Holding(name, entry.title, False, where, f"absent; `lrd data fetch {name}`")
    return Holding(name, entry.title, True, str(folder), entry.detail(folder))


def _files(*names: str) -> Callable[[Path], bool]:
    return lambda folder: all((folder / name).exists() for name in names)


def _from_the_network(how: str, *arguments: str) -> Callable[[Path], None]:
    """`how` of `downloads`, which needs torch."""

    def fetch(root: Path) -> None:
        from lrd_core.datasets import downloads

        getattr(downloads, how)(*arguments, root)

    return fetch


def _masks(folder: Path) -> str:
    own, extra = (
        sum(1 for _ in (folder / name).glob("*.png"))
        for name in ("SegmentationClass", "SegmentationClassAug")
    )
    return f"{own} masks, {extra} with the extra ones" if extra else f"{own} masks, no extra ones"


def _boxes(folder: Path) -> str:
    count = sum(1 for _ in (folder / "Annotations").glob("*.xml"))
    older = (folder.parent / "VOC2007" / "Annotations").is_dir()
    return f"{count} annotated images of 2012, {'and those' if older else 'none'} of 2007"


_CIFAR10 = tuple(f"data_batch_{number}" for number in range(1, 6))
_ENTRIES: dict[str, _Entry] = {
    "mnist": _Entry(
        "MNIST",
        ("MNIST/raw",),
        _files(*(f"{part}-{kind}-ubyte" for part in ("train", "t10k")
                 for kind in ("images-idx3", "labels-idx1"))),
        _from_the_network("fetch_mnist"),
        "MNIST",
    ),
    "cifar10": _Entry(
        "CIFAR-10",
        ("cifar-10-batches-py",),
        _files(*_CIFAR10, "test_batch"),
        _from_the_network("fetch_cifar", "CIFAR10"),
        "CIFAR-10",
    ),
    "cifar10_holdout": _Entry(
        "CIFAR-10's training images, the last 5,000 of them held out",
        ("cifar10-train", "cifar-10-batches-py"),
        lambda folder: _files(*(f"batch_{number}.npz" for number in range(1, 6)))(folder)
        or _files(*_CIFAR10)(folder),
        _from_the_network("fetch_cifar", "CIFAR10"),
        "CIFAR-10",
    ),
    "cifar100": _Entry(
        "CIFAR-100",
        ("cifar-100-python",),
        _files("train", "test"),
        _from_the_network("fetch_cifar", "CIFAR100"),
        "CIFAR-100",
    ),
    "voc_segmentation": _Entry(
        "VOC 2012, segmentation",
        ("VOCdevkit/VOC2012",),
        _files("JPEGImages", "SegmentationClass", "ImageSets/Segmentation/val.txt"),
        _from_the_network("fetch_segmentation"),
        "VOC 2012 with the extra masks",
        _masks,
        _files("SegmentationClassAug"),
        " VOC's own masks alone are used, too, if VOCdevkit/VOC2012 is there without the extra "
        "ones: unpack VOCtrainval_11-May-2012.tar there.",
    ),
    "voc_detection": _Entry(
        "VOC 2007 and 2012, detection",
        ("VOCdevkit/VOC2012",),
        _files("JPEGImages", "Annotations", "ImageSets/Main/val.txt"),
        _from_the_network("fetch_detection"),
        "VOC 2007 and 2012",
        _boxes,
        _files("../VOC2007/ImageSets/Main/test.txt"),
        " VOC 2012 alone is used, too, if VOCdevkit/VOC2012 is there without VOC2007: unpack "
        "VOCtrainval_11-May-2012.tar there.",
    ),
}  # fmt: skip
