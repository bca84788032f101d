"""Packages of this checkout in a folder of their own, to be edited there."""

import shutil
from pathlib import Path

ROOT = Path(__file__).parents[1]


def copy_of(folder: Path, *packages: str) -> Path:
    """The folder, with these packages as they are here."""
    for name in packages:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    return folder


def edit(folder: Path) -> None:
    """As a researcher edits the network: `sed -i 's/nn.ReLU()/nn.Tanh()/'`."""
    file = folder / "lrd_core" / "models" / "fcnet.py"
    was = file.read_text()
    assert "nn.ReLU()" in was
    file.write_text(was.replace("nn.ReLU()", "nn.Tanh()"))
