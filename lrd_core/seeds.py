"""Every random stream of a trial, derived from (seed, purpose, indices) and from nothing else.

Streams of different purposes are independent: switching one on or off moves no other, so an arm
and its baseline with the same seed share initial weights, batch order, augmentation and labels.
"""

import hashlib

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
