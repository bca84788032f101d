"""Where a trial runs: its device, pinned threads and precision, and the fingerprint of all that.

Equal fingerprints give equal numbers, bit for bit: the same small network gave other weights with
one thread than with two.
"""

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from lrd_core.spec import TrialSpec


def pick_device() -> torch.device:
    """The first visible GPU, or the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def pin(spec: TrialSpec) -> None:
    """Fix what torch would otherwise choose by itself: threads, TF32, cudnn's algorithms."""
    torch.set_num_threads(max(1, int(spec.resources.num_cpus)))
    tf32 = spec.execution.precision == "tf32"
    torch.backends.cuda.matmul.allow_tf32 = tf32
    torch.backends.cudnn.allow_tf32 = tf32
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True


def fingerprint(device: torch.device) -> dict[str, Any]:
    """What the numbers of a trial depend on beside its spec."""
    return {
        "lrd": _lrd_version(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else _cpu(),
        "cuda": torch.version.cuda if device.type == "cuda" else None,
        "threads": torch.get_num_threads(),
    }


def _cpu() -> str:
    return f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}"


def _lrd_version() -> str:
    try:
        return version("learning-rate-dropout")
    except PackageNotFoundError:  # used from a folder, not installed
        return "unknown"
