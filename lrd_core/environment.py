"""Where a trial runs: its device, pinned threads and precision, and the fingerprint of all these.

Equal fingerprints give equal numbers, bit for bit; even the number of threads matters, because the
same small network got other weights with one thread than with two.
"""

import functools
import os
import platform
import re
import subprocess
from pathlib import Path
from typing import Any

import torch

from lrd_core import plugins, sources
from lrd_core.errors import PluginError, first_line
from lrd_core.spec import TrialSpec


def pick_device() -> torch.device:
    """The first visible GPU, or the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def device_of(spec: TrialSpec) -> torch.device:
    """The device of a trial outside of a cluster: the CPU if it asks for no GPU."""
    return pick_device() if spec.resources.num_gpus else torch.device("cpu")


PRETENDED = "LRD_PRETENDED_GPUS"
"""While this variable is set, a cluster may count GPUs that do not exist, to try things on CPUs."""


def why_no_gpu() -> str | None:
    """Why torch can use no GPU here; None if it can, or if GPUs are pretended."""
    if torch.cuda.is_available() or os.environ.get(PRETENDED):
        return None
    if not (torch.version.cuda or torch.version.hip):
        return f"torch {torch.__version__} is built for CPUs only"
    try:
        torch.cuda.init()  # type: ignore[no-untyped-call]
    except (RuntimeError, AssertionError) as error:
        return first_line(error)
    return "torch finds no GPU"


def pin(spec: TrialSpec) -> None:
    """Import the trial's plugins, fix what torch would otherwise choose itself (threads, TF32,
    cuDNN's algorithms), and undo what the code of an earlier trial in this process, or of the
    plugins as they are imported, may have changed for all.

    Raises:
        PluginError: a plugin cannot be imported, or changes what `settings` lists as it is.
    """
    _pin(spec)
    if parts := plugins.used(spec.config()):
        fault = _fault_of_importing(parts)
        _pin(spec)
        if fault is not None:
            raise PluginError(fault)


def settings() -> dict[str, Any]:
    """What numbers depend on and a spec decides, so that no plugin may change it."""
    return {
        "default type": torch.get_default_dtype(),
        # `torch.get_default_device` fails in torch 2.9 once the default was set to None.
        "default device": torch.empty(0).device,
        "number of threads": torch.get_num_threads(),
        "precision of products": torch.backends.cuda.matmul.fp32_precision,
    }


def fault_of_changed(before: dict[str, Any]) -> str | None:
    """The fault of a plugin that has changed these `settings`; None if they are as before."""
    for name, now in settings().items():
        if now != before[name]:
            return (
                f"a plugin has set torch's {name} to {now}, for all trials that its process will "
                "run: give your own tensors and modules their type and device, and let the spec "
                "say the threads (`resources: {num_cpus: …}`) and the precision "
                "(`execution: {precision: …}`)"
            )
    return None


@functools.cache
def _fault_of_importing(parts: tuple[tuple[plugins.Group, str], ...]) -> str | None:
    """The fault of plugins that change `settings` as they are imported. It is remembered, because a
    module is imported once: the later trials of a process would not be told."""
    before = settings()
    for group, name in parts:
        plugins.load(group, name)
    return fault_of_changed(before)


def _pin(spec: TrialSpec) -> None:
    torch.set_default_dtype(torch.float32)
    torch.set_default_device(None)
    torch.set_grad_enabled(True)
    torch.set_num_threads(max(1, int(spec.resources.num_cpus)))
    torch.use_deterministic_algorithms(False)
    torch.autograd.set_detect_anomaly(False)
    _forget_precisions()
    tf32 = spec.execution.precision == "tf32"
    torch.backends.cuda.matmul.allow_tf32 = tf32
    torch.backends.cudnn.allow_tf32 = tf32
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True


def _forget_precisions() -> None:
    """Undo `torch.set_float32_matmul_precision` and its kin; some of them reach CPUs, too."""
    torch.set_float32_matmul_precision("highest")
    backends: Any = torch.backends
    onednn = backends.mkldnn
    for part in (backends, onednn, onednn.matmul, onednn.conv, onednn.rnn):
        part.fp32_precision = "none"


def fingerprint(spec: TrialSpec, device: torch.device) -> dict[str, Any]:
    """Everything besides spec and data that a trial's numbers depend on.

    lrd's code is that which this process imported: the files on disk may have changed since.
    """
    code = sources.made_by(spec.model_dump(mode="json"), sources.IMPORTED)
    return {
        "lrd": code.lrd,
        **git_commit(),
        "plugins": code.plugins,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else _cpu(),
        "processor": _processor(),
        "cuda": torch.version.cuda if device.type == "cuda" else None,
        "driver": _driver() if device.type == "cuda" else None,
        "threads": torch.get_num_threads(),
    }


@functools.cache
def git_commit() -> dict[str, Any]:
    """`commit` and `dirty` of the code, from `LRD_COMMIT` (`git describe --always --dirty`, set in
    an image) or from its git checkout; None without either."""
    said = os.environ.get("LRD_COMMIT") or _described(Path(__file__).parents[1])
    if not said:
        return {"commit": None, "dirty": None}
    return {"commit": said.removesuffix("-dirty"), "dirty": said.endswith("-dirty")}


def _described(checkout: Path) -> str:
    if not (checkout / ".git").exists():  # an installed wheel
        return ""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        said = subprocess.run(  # noqa: S603
            command, cwd=checkout, capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return said.stdout.strip() if said.returncode == 0 else ""


@functools.cache
def _processor() -> str | None:
    """The processor's model by Linux's name, e.g. `Intel Xeon Processor`; None if it has none."""
    try:
        words = Path("/proc/cpuinfo").read_text()
    except OSError:
        return None
    found = re.search(r"^model name\s*: (.+)$", words, re.MULTILINE)
    return " ".join(re.sub(r"\((R|TM)\)", "", found.group(1)).split()) if found else None


def _driver() -> str | None:
    try:
        words = Path("/proc/driver/nvidia/version").read_text()
    except OSError:
        return None
    found = re.search(r"\d+\.\d+[.\d]*", words)
    return found.group() if found else None


def _cpu() -> str:
    return f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}"
