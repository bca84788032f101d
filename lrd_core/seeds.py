"""Every random stream of a trial, derived only from (seed, purpose, indices).

Streams of different purposes are independent: switching one on or off moves no other, so an arm
and its baseline with the same seed share initial weights, batch order, augmentation and labels.
"""

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import numpy as np
import torch


def derive(seed: int, purpose: str, *indices: int) -> int:
    """A seed of 63 bits for one purpose, e.g. `derive(7, "order", epoch)`."""
    words = "/".join([str(seed), purpose, *map(str, indices)])
    return int.from_bytes(hashlib.sha256(words.encode()).digest()[:8], "little") >> 1


def generator(
    seed: int, purpose: str, *indices: int, device: torch.device | str = "cpu"
) -> torch.Generator:
    """A fresh torch generator for one purpose."""
    return torch.Generator(device).manual_seed(derive(seed, purpose, *indices))


@contextmanager
def seeded(
    word: int, device: torch.device | str = "cpu", *, everywhere: bool = False
) -> Iterator[None]:
    """Within, torch's global generators are seeded by `word`; afterwards they are as before.

    For code that takes no generator of its own: initial weights, a model's own dropout.
    `everywhere`: Python's and NumPy's, too. Lrd itself does not use these, and saving their states
    takes longer than the rest (0.14 ms).
    """
    device = torch.device(device)
    cuda = [device] if device.type == "cuda" else []
    others = _seeded_others(word) if everywhere else nullcontext()
    with torch.random.fork_rng(cuda), others:
        torch.default_generator.manual_seed(word)
        if cuda:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(word)
        yield


@contextmanager
def _seeded_others(word: int) -> Iterator[None]:
    python, numpy = random.getstate(), np.random.get_state()
    random.seed(word)
    np.random.seed(word % 2**32)
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
