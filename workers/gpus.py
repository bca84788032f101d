"""The GPU that Ray gives to a trial: which it is, how much of it is used, and its release.

A worker process is kept for later trials, to which Ray may give other GPUs.
"""

import os
from collections.abc import Iterator
from typing import Any

from lrd_core.messages import MemoryPeak
from workers.kept import end_soon, watched

CONTEXT_BYTES = 850 * 2**20
"""GPU memory that CUDA itself takes for each process, on top of what torch reserves: on an H200
682 MiB with cuBLAS alone, 840 after networks, kernels and graphs. No call in the process reports
it."""


class NoGpu(Exception):
    """The GPU that Ray gave cannot be used; the message says why."""


def pick() -> Any:
    """The device of this trial, to which Ray gave a GPU; the CPU where GPUs are pretended.

    CUDA reads CUDA_VISIBLE_DEVICES once per process, and this one is kept for later trials, to
    which Ray may give another GPU. So CUDA sees all GPUs, and the trial uses its own by number, or
    by UUID if that is how the node lists them. A part of a GPU (MIG) stays with the process.

    A plugin's task may have several GPUs: the device is the first, the variable names them all, and
    processes that the task starts see only these.

    Raises:
        NoGpu: torch can use no GPU on this node, or not this one.
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
            raise NoGpu(f"it is called {first}, and none of the {there} that torch finds is that")
        device = torch.device("cuda", number)
        torch.cuda.set_device(device)
        if shown != first:
            torch.cuda.init()  # type: ignore[no-untyped-call]
            torch.cuda.device_count()  # torch caches it; later it would read the variable
            os.environ["CUDA_VISIBLE_DEVICES"] = shown
    return device


def given() -> list[int]:
    """Ray's own numbers of the GPUs that this task was given; none outside of Ray.

    Not `ray.get_gpu_ids()`, whose answer is CUDA's names on a node that hides some of its GPUs.
    """
    from ray._private import worker

    process: Any = worker.global_worker
    if not process.connected:
        return []
    return sorted(at for at, _ in process.core_worker.resource_ids().get("GPU", []))


class PeakMemory:
    """The most GPU memory that a trial has used, reported whenever it has grown."""

    def __init__(self, device: Any) -> None:
        self._device, self.reported = device, 0
        if device.type == "cuda":
            import torch

            torch.cuda.init()  # type: ignore[no-untyped-call]
            torch.cuda.reset_peak_memory_stats(device)  # the process may have run other trials

    def grown(self) -> Iterator[MemoryPeak]:
        """The message of a new peak, if there is one."""
        peak = _peak(self._device)
        if peak is not None and peak.used > self.reported:
            self.reported = peak.used
            yield peak


def give_back() -> None:
    """Free a trial's GPU memory: the process is kept, and others use the GPU now."""
    import torch

    if not torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        return
    try:
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
    except RuntimeError:  # a kernel's fault is permanent: each later trial would fail
        end_soon()


def fault() -> str | None:
    """Why torch cannot use the GPUs of this node; None if it can."""
    with watched({}):
        from lrd_core.environment import why_no_gpu

        if not os.environ.get("CUDA_VISIBLE_DEVICES", "all"):
            del os.environ["CUDA_VISIBLE_DEVICES"]  # Ray hides them from tasks that ask for none
        return why_no_gpu()


# --- inside ---------------------------------------------------------------------------------------


def _number(name: str) -> int | None:
    """The number of the GPU of this name in CUDA_VISIBLE_DEVICES; a UUID there may be shortened."""
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


def _peak(device: Any) -> MemoryPeak | None:
    """The peak of this process since its trial began; None without a GPU."""
    import torch

    if device.type != "cuda":
        return None
    total = torch.cuda.get_device_properties(device).total_memory
    used = torch.cuda.max_memory_reserved(device) + CONTEXT_BYTES
    return MemoryPeak(min(total, used), total)
