"""ImageNet weights of torchvision's backbones: downloaded only if a spec asks for them."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar
from urllib.error import URLError

import torch
from filelock import FileLock

from lrd_core.errors import DataNotFound

T = TypeVar("T")


def with_weights(build: Callable[[], T]) -> T:
    """`build()`, which may download weights; one process of a node at a time.

    Raises:
        DataNotFound: the weights are not in torch's folder and cannot be downloaded.
    """
    folder = Path(torch.hub.get_dir())
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lrd-download.lock"):
            return build()
    except (URLError, OSError, RuntimeError) as error:
        raise DataNotFound(
            f"the pretrained weights are not in {folder}/checkpoints and could not be downloaded "
            f"({error}). Put torchvision's file there on every node (TORCH_HOME moves the "
            "folder), or leave `pretrained` out of the spec."
        ) from None
