"""What learning-rate dropout costs: beside no dropout, and beside the authors' published loop.

`python -m benchmarks.optimizers` prints the tables of docs/results/optimizers.md. Each is measured
in a process of its own for each number of threads, because compiled kernels are made for one.
"""

import argparse
import ctypes
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.optim import Optimizer

from benchmarks.published import PublishedAdam, PublishedRMSprop, PublishedSGDM
from benchmarks.timing import Times, interleaved, machine, table
from lrd_core.models import build_model
from lrd_core.optim import learning_rate_dropout
from lrd_core.optim.fused import (
    FusedAdam,
    FusedAMSGrad,
    FusedOptimizer,
    FusedRAdam,
    FusedRMSprop,
    FusedSGDM,
)

KEEP_PROB = 0.3
"""Not 0.5, which the universal form makes with three passes fewer."""

PLAIN: dict[str, Callable[[Any], Optimizer]] = {
    "SGDM": lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9, fused=True),
    "RMSprop": lambda p: torch.optim.RMSprop(p, lr=1e-4),
    "Adam": lambda p: torch.optim.Adam(p, lr=1e-4, fused=True),
    "AMSGrad": lambda p: torch.optim.Adam(p, lr=1e-4, amsgrad=True, fused=True),
    "RAdam": lambda p: torch.optim.RAdam(p, lr=1e-4),
}
"""The fastest of torch's forms of each, on a CPU."""

FUSED: dict[str, tuple[type[FusedOptimizer], dict[str, float]]] = {
    "SGDM": (FusedSGDM, {"lr": 0.01, "momentum": 0.9}),
    "RMSprop": (FusedRMSprop, {"lr": 1e-4}),
    "Adam": (FusedAdam, {"lr": 1e-4}),
    "AMSGrad": (FusedAMSGrad, {"lr": 1e-4}),
    "RAdam": (FusedRAdam, {"lr": 1e-4}),
}

PUBLISHED = {"SGDM": PublishedSGDM, "RMSprop": PublishedRMSprop, "Adam": PublishedAdam}

FORMS = ("plain", "keep_prob 1", "universal", "universal compiled", "fused", "published")


def make(form: str, name: str, params: Any) -> Optimizer | None:
    """The optimizer in one form, or None if it has not that form."""
    if form == "published":
        cls = PUBLISHED.get(name)
        return cls(params, KEEP_PROB, lr=1e-4) if cls else None
    if form == "fused":
        fused, options = FUSED[name]
        return fused(params, keep_prob=KEEP_PROB, **options)
    optimizer = PLAIN[name](params)
    if form != "plain":
        keep_prob = 1.0 if form == "keep_prob 1" else KEEP_PROB
        learning_rate_dropout(optimizer, keep_prob, compile=form == "universal compiled")
    return optimizer


# --- a whole train step ---------------------------------------------------------------------------


def train_step(form: str, name: str) -> Callable[[], None] | None:
    """Of the paper's FCNet on a batch of 128 images of MNIST's size."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Linear(784, 1000), nn.ReLU(), nn.Linear(1000, 1000), nn.ReLU(), nn.Linear(1000, 10)
    )
    images, labels = torch.randn(128, 784), torch.randint(10, (128,))
    optimizer = make(form, name, net.parameters())
    if optimizer is None:
        return None

    def step() -> None:
        optimizer.zero_grad()
        F.cross_entropy(net(images), labels).backward()
        optimizer.step()

    return step


def whole_steps(rounds: int) -> str:
    rows = []
    for name in PLAIN:
        steps = {form: train_step(form, name) for form in FORMS}
        times = interleaved({form: step for form, step in steps.items() if step}, rounds)
        rows.append(row(name, times))
    return table(["optimizer", "plain, ms", *FORMS[1:]], rows)


def row(name: str, times: dict[str, Times]) -> list[str]:
    ratios = [times[form].ratio(times["plain"]) if form in times else "–" for form in FORMS[1:]]
    return [name, f"{times['plain'].median * 1e3:.2f}", *ratios]


# --- the optimizer's step alone -------------------------------------------------------------------


def resnet34_parameters(memory_format: torch.memory_format) -> list[Tensor]:
    """The 21 million parameters of ResNet-34 for CIFAR-10, with gradients."""
    model = build_model("resnet34", (3, 32, 32), 10, seed=0, dropout=None)
    params: list[Tensor] = list(model.to(memory_format=memory_format).parameters())
    for param in params:
        param.grad = torch.randn_like(param).mul_(1e-3)
    return params


def optimizer_steps(rounds: int) -> str:
    """The table, and what the forms add to a whole step of ResNet-34 in the trainer's layout."""
    rows = []
    for name in PLAIN:
        candidates: dict[str, Callable[[], None]] = {}
        for form in FORMS:
            optimizer = make(form, name, resnet34_parameters(torch.contiguous_format))
            if optimizer is not None:
                candidates[form] = optimizer.step
        times = interleaved(candidates, rounds)
        speedup = "–"
        if "published" in times:
            speedup = f"{times['published'].median / times['fused'].median:.0f}"
        rows.append([*row(name, times), speedup])
    head = ["optimizer", "plain, ms", *FORMS[1:], "published / fused"]
    forms = ("plain", "universal", "universal compiled", "fused")
    layout = {form: make(form, "SGDM", resnet34_parameters(torch.channels_last)) for form in forms}
    times = interleaved({form: each.step for form, each in layout.items() if each}, rounds)
    whole = resnet34_step()
    added = {form: times[form].median - times["plain"].median for form in forms[1:]}
    sentences = [f"{form} {ms * 1e3:.0f} ms, {1 + ms / whole:.3f}" for form, ms in added.items()]
    return (
        f"{table(head, rows)}\n\nA whole step of ResNet-34 (SGDM, batch 128, channels last) takes "
        f"{whole:.2f} s. The forms add: {'; '.join(sentences)}."
    )


def resnet34_step() -> float:
    """Seconds of a whole train step of ResNet-34 at batch 128, without dropout."""
    model = build_model("resnet34", (3, 32, 32), 10, seed=0, dropout=None)
    model.to(memory_format=torch.channels_last)
    images = torch.randn(128, 3, 32, 32).contiguous(memory_format=torch.channels_last)
    optimizer = make("plain", "SGDM", model.parameters())
    assert optimizer is not None

    def step() -> None:
        optimizer.zero_grad()
        F.cross_entropy(model(images), torch.zeros(128, dtype=torch.long)).backward()
        optimizer.step()

    step()
    started = time.perf_counter()
    step()
    return time.perf_counter() - started


# --- memory and compiling, in fresh processes -----------------------------------------------------


def memory(form: str) -> float:
    """The most that three steps of Adam need beside the moments, in copies of all weights."""
    warm_up = make(form, "Adam", [torch.ones(9000, requires_grad=True)])
    assert warm_up is not None
    warm_up.param_groups[0]["params"][0].grad = torch.ones(9000)
    warm_up.step()
    params = resnet34_parameters(torch.contiguous_format)
    optimizer = make(form, "Adam", params)
    assert optimizer is not None
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here
    before = _status("VmRSS")
    for _ in range(3):
        optimizer.step()
    weights = sum(param.nbytes for param in params)
    return (_status("VmHWM") - before) / weights - 2  # two moments


def _status(field: str) -> int:
    """Bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def compiling(form: str) -> float:
    """Seconds of a first step, most of them the compiler's."""
    optimizer = make(form, "Adam", [torch.ones(9000, requires_grad=True)])
    assert optimizer is not None
    optimizer.param_groups[0]["params"][0].grad = torch.ones(9000)
    started = time.perf_counter()
    optimizer.step()
    return time.perf_counter() - started


def fresh(what: str, threads: int, *words: str, cache: str | None = None) -> str:
    """The output of this module in a process of its own."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    if cache is not None:
        environment["XDG_CACHE_HOME"] = cache
    command = [sys.executable, "-m", "benchmarks.optimizers", "--part", what, *words]
    command += ["--threads", str(threads)]
    result = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return result.stdout.strip()


def report(rounds: int) -> Iterator[str]:
    """The page, paragraph by paragraph."""
    yield f"Machine: {machine()}."
    for threads in (1, 2):
        yield f"## Whole train step, {threads} thread{'s' * (threads > 1)}"
        yield fresh("whole", threads, "--rounds", str(rounds))
    for threads in (1, 2):
        yield f"## Optimizer step, 21 million parameters, {threads} thread{'s' * (threads > 1)}"
        yield fresh("step", threads, "--rounds", str(max(5, rounds // 3)))
    forms = [form for form in FORMS if form != "keep_prob 1"]
    yield "## Memory of a step of Adam besides its moments, in copies of the parameters"
    yield table(forms, [[fresh("memory", 1, "--form", form) for form in forms]])
    yield "## The first step of a process, in seconds"
    rows = []
    for form in ("universal", "universal compiled", "fused"):
        with tempfile.TemporaryDirectory() as cache:
            times = [fresh("compile", 1, "--form", form, cache=cache) for _ in range(2)]
        rows.append([form, *times])
    yield table(["form", "nothing compiled before", "compiled before on this machine"], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=31)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--form", choices=FORMS, default="fused")
    parser.add_argument("--part", choices=["all", "whole", "step", "memory", "compile"])
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    match given.part:
        case "whole":
            print(whole_steps(given.rounds))
        case "step":
            print(optimizer_steps(given.rounds))
        case "memory":
            print(f"{memory(given.form):.2f}")
        case "compile":
            print(f"{compiling(given.form):.1f}")
        case _:
            for paragraph in report(given.rounds):
                print(paragraph, end="\n\n", flush=True)


if __name__ == "__main__":
    main()
