"""Every random stream of a trial, derived only from (seed, purpose, indices).

Streams of different purposes are independent: switching one on or off moves no other, so an arm
and its baseline with the same seed share initial weights, batch order, augmentation and labels.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

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
def seeded(word: int, device: torch.device | str = "cpu") -> Iterator[None]:
    """Within, torch's global generators are seeded by `word`; afterwards they are as before.

    For code that takes no generator of its own: initial weights, a model's own dropout.
    """
    device = torch.device(device)
    cuda = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(cuda):
        torch.default_generator.manual_seed(word)
        if cuda:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(word)
        yield
