"""The GPU that Ray gives to a trial: which it is, how much of it is used, and giving it back.

A worker process is kept for later trials, to which Ray may give other GPUs.
"""

import os
from collections.abc import Iterator
from typing import Any

from workers.kept import end_soon, watched

CONTEXT_BYTES = 850 * 2**20
"""What CUDA itself keeps of a GPU's memory for each process on it, beside what torch reserves: on
an H200 682 MiB with cuBLAS alone, 840 after networks, kernels and graphs. Nothing in the process
can be asked for it."""


class NoGpu(Exception):
    """The GPU that Ray gave cannot be used; the message says why."""


def pick() -> Any:
    """The device of this trial, to which Ray gave a GPU; the CPU where GPUs are pretended.

    CUDA reads CUDA_VISIBLE_DEVICES once a process, and this one is kept for later trials, to which
    Ray may give another GPU: so CUDA sees all of them, and the trial uses its own by its number, or
    by its UUID where the node is told its GPUs so. A part of a GPU (MIG) is the process's for good.
    Of several, which a task of another package may have, it is the first; the variable tells the
    task of the others, and the processes that the task starts see these alone.

    Raises:
        NoGpu: torch can use none here, or not that one.
    """
    import torch

    from lrd_core.environment import pick_device, why_no_gpu

    shown = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    first = shown.split(",")[0]
    has_number = first.isdigit() or first.startswith("GPU-")
    if has_number:
        del os.environ["CUDA_VISIBLE_DEVICES"]
    device = pick_device()
    if device.type == "cpu":
        if why := why_no_gpu():
            raise NoGpu(why)
    elif has_number:
        number, there = _number(first), torch.cuda.device_count()
        if number is None or number >= there:
            raise NoGpu(f"it is called {first}, and torch finds {there}, none of which is that")
        device = torch.device("cuda", number)
        torch.cuda.set_device(device)
        if shown != first:
            torch.cuda.init()  # type: ignore[no-untyped-call]
            torch.cuda.device_count()  # torch keeps it from now on: it would ask the variable
            os.environ["CUDA_VISIBLE_DEVICES"] = shown
    return device


def given() -> list[int]:
    """Which of its node's GPUs Ray gave to this task, by Ray's own count; none outside of Ray.

    Not `ray.get_gpu_ids()`, which says how CUDA names them on a node that does not show all it has.
    """
    from ray._private import worker

    process: Any = worker.global_worker
    if not process.connected:
        return []
    return sorted(at for at, _ in process.core_worker.resource_ids().get("GPU", []))


class PeakMemory:
    """The most of its GPU's memory that a trial has used, told when that has grown."""

    def __init__(self, device: Any) -> None:
        self._device, self.told = device, 0
        if device.type == "cuda":
            import torch

            torch.cuda.init()  # type: ignore[no-untyped-call]
            torch.cuda.reset_peak_memory_stats(device)  # the process may have had other trials

    def grown(self) -> Iterator[tuple[Any, ...]]:
        """The message of it, if there is more to tell."""
        used = _used(self._device)
        if used is not None and used[0] > self.told:
            self.told = used[0]
            yield "memory", *used


def give_back() -> None:
    """Leave nothing of a trial on the GPU: the process is kept, and others use the GPU now."""
    import torch

    if not torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        return
    try:
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
    except RuntimeError:  # a fault of a kernel's is for good: each later trial would fail
        end_soon()


def fault() -> str | None:
    """Why torch cannot use the GPUs of this node; None where it can."""
    with watched({}):
        from lrd_core.environment import why_no_gpu

        if not os.environ.get("CUDA_VISIBLE_DEVICES", "all"):
            del os.environ["CUDA_VISIBLE_DEVICES"]  # Ray hides them from who has asked for none
        return why_no_gpu()


# --- inside ---------------------------------------------------------------------------------------


def _number(name: str) -> int | None:
    """Of the GPU that CUDA_VISIBLE_DEVICES calls so; a UUID may be cut short there."""
    import torch

    if name.isdigit():
        return int(name)
    if not name.startswith("GPU-"):
        return None
    uuids = [
        f"GPU-{torch.cuda.get_device_properties(at).uuid}"
        for at in range(torch.cuda.device_count())
    ]
    return next((at for at, uuid in enumerate(uuids) if uuid.startswith(name)), None)


def _used(device: Any) -> tuple[int, int] | None:
    """(peak, total) in bytes, of this process since its trial began; None without a GPU."""
    import torch

    if device.type != "cuda":
        return None
    total = torch.cuda.get_device_properties(device).total_memory
    return min(total, torch.cuda.max_memory_reserved(device) + CONTEXT_BYTES), total
