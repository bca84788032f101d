"""What segmentation and detection share: files in a drawn order, in batches, read ahead."""

from collections.abc import Sequence
from typing import TypeVar

import torch

from lrd_core.seeds import generator
from lrd_core.spec import TrialSpec

T = TypeVar("T")


def shuffled(examples: Sequence[T], spec: TrialSpec, epoch: int) -> list[list[T]]:
    """All examples once, in the order of this epoch, in batches."""
    draws = generator(spec.seed, "order", epoch)
    order = torch.randperm(len(examples), generator=draws).tolist()
    return in_batches([examples[place] for place in order], spec.batch_size)


def in_batches(examples: Sequence[T], size: int) -> list[list[T]]:
    """Batches in order. A last one of a single example joins the one before it: over one value
    nothing can be normalised."""
    batches = [list(examples[start : start + size]) for start in range(0, len(examples), size)]
    if len(batches) > 1 and len(batches[-1]) == 1:
        last = batches.pop()
        batches[-1] += last
    return batches


def reading_threads(spec: TrialSpec) -> int:
    """As many as the trial has CPUs."""
    return max(1, int(spec.resources.num_cpus))


def autocast(spec: TrialSpec, device: torch.device) -> torch.autocast:
    """The precision that the spec asks for."""
    return torch.autocast(device.type, torch.bfloat16, enabled=spec.execution.precision == "bf16")
