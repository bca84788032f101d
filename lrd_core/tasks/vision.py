"""Shared by segmentation and detection: shuffled batches of files, reading threads, precision."""

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
    """Batches in order. A last batch of one example joins the one before it, because batch
    normalisation needs more than one value."""
    batches = [list(examples[start : start + size]) for start in range(0, len(examples), size)]
    if len(batches) > 1 and len(batches[-1]) == 1:
        last = batches.pop()
        batches[-1] += last
    return batches


def reading_threads(spec: TrialSpec) -> int:
    """The number of threads that read files: the trial's CPUs."""
    return max(1, int(spec.resources.num_cpus))


def autocast(spec: TrialSpec, device: torch.device) -> torch.autocast:
    """A context with the precision that the spec asks for."""
    return torch.autocast(device.type, torch.bfloat16, enabled=spec.execution.precision == "bf16")
