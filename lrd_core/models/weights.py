"""ImageNet weights of torchvision's backbones: downloaded only if a spec asks for them."""

from pathlib import Path
from urllib.error import URLError

import torch
from filelock import FileLock
from torchvision.models import WeightsEnum

from lrd_core.errors import DataNotFound


def fetch(weights: WeightsEnum) -> None:
    """Make sure that these weights are in torch's folder, where a network's constructor finds them.
    One process of a node downloads at a time.

    Raises:
        DataNotFound: they are not there and cannot be downloaded.
    """
    folder = Path(torch.hub.get_dir())
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lrd-download.lock"):
            weights.get_state_dict(progress=False, check_hash=True)
    except (URLError, OSError, RuntimeError) as error:  # RuntimeError: the file has another hash
        raise DataNotFound(
            f"the pretrained weights are not in {folder}/checkpoints and could not be downloaded "
            f"({error}). Put torchvision's file there on every node (TORCH_HOME moves the "
            "folder), or leave `pretrained` out of the spec."
        ) from None
