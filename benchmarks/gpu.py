"""What a GPU makes of training, and what keeps it waiting: to be run on a machine that has one.

`python -m benchmarks.gpu` prints tables for docs/results/training.md. `--device cpu --rounds 3`
tries the script itself where there is none; what only CUDA has is then left out.
"""

import argparse
import multiprocessing
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from multiprocessing.connection import Connection
from typing import Any
from unittest import mock

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from benchmarks import authors_recipe
from benchmarks.optimizers import FORMS, PLAIN, make
from benchmarks.published import PublishedSGDM
from benchmarks.timing import interleaved, machine, table
from benchmarks.training import images, mnist, our_epoch, packed_step, train_step
from lrd_core.datasets.batches import Batches
from lrd_core.datasets.images import ImageData
from lrd_core.environment import pin
from lrd_core.models import build_model
from lrd_core.optim import build_optimizer
from lrd_core.spec import TrialSpec
from lrd_core.tasks import classification

BATCH = 128
PACKED = (1, 4, 16)
"""Trials that share a card."""
LISTED = 12
"""So many of the longest operations are listed."""
SHORT = {
    "cuda": [("fcnet", "fp32"), ("resnet34", "fp32"), ("resnet34", "bf16")],
    "cpu": [("fcnet", "fp32")],
}
"""Networks and precisions of the short trials."""
STEPS = {"cuda": 50, "cpu": 2}
"""Of a small network, in each measurement."""


def settled(device: torch.device, work: Callable[[], Any], times: int = 1) -> Callable[[], None]:
    """`work` so many times, and the wait until the device has done all of it."""

    def run() -> None:
        for _ in range(times):
            work()
        if device.type == "cuda":
            torch.cuda.synchronize()

    return run


def pinned(precision: str, work: Callable[[], Any]) -> Callable[[], None]:
    """With the settings of a trial, as a worker makes them."""
    trial = {"dataset": "digits", "model": "fcnet", "optimizer": {"name": "sgdm"}, "epochs": 1}
    spec = TrialSpec.parse({**trial, "execution": {"precision": precision}})

    def run() -> None:
        pin(spec)
        work()

    return run


# --- ResNet-34 beside the authors' recipe, and what bounds it -------------------------------------


def cifar10(steps: int) -> ImageData:
    """So many batches to train on, and a fifth as many images to evaluate, as usual."""
    data = images("cifar10_holdout").first(steps * BATCH)
    few = steps * BATCH // 5
    return replace(data, test_images=data.test_images[:few], test_labels=data.test_labels[:few])


def recipe_epoch(name: str, data: ImageData, device: torch.device) -> Callable[[], None]:
    model = build_model(name, data.image_shape, data.classes, seed=0).to(device)
    optimizer = PublishedSGDM(model.parameters(), 0.5, lr=0.1)

    def epoch() -> None:
        authors_recipe.train_epoch(model, optimizer, data, device)
        authors_recipe.evaluate(model, data, device)

    return epoch


def resnet(device: torch.device, rounds: int) -> str:
    """Epochs with their evaluation, and the share of learning-rate dropout in ours. The recipe is
    run as its authors' torch did, in fp32, and as today's does, with TF32 in convolutions."""
    data = cifar10(steps=40 if device.type == "cuda" else 1)
    recipe = recipe_epoch("resnet34", data, device)
    candidates = {"recipe": pinned("fp32", recipe), "recipe, tf32": pinned("tf32", recipe)}
    for precision in ("fp32", "tf32", "bf16"):
        for name, keep_prob in (("LRD", 0.5), ("none", 1.0)):
            ours = our_epoch(keep_prob, "resnet34", data, device, precision)
            candidates[f"{precision}, {name}"] = pinned(precision, settled(device, ours))
        ours = our_epoch(0.5, "resnet34", data, device, precision, compile="off")
        candidates[f"{precision}, LRD, compile: off"] = pinned(precision, settled(device, ours))
    return epochs(candidates, data, "ResNet-34, batch 128", rounds)


def fcnet(device: torch.device, rounds: int) -> str:
    """Epochs of FCNet on MNIST with their evaluation."""
    data = mnist()
    candidates = {"recipe": pinned("fp32", recipe_epoch("fcnet", data, device))}
    for compile in ("auto", "off"):
        for name, keep_prob in (("LRD", 0.5), ("none", 1.0)):
            ours = our_epoch(keep_prob, "fcnet", data, device, compile=compile)
            key = f"compile: {compile}, {name}"
            candidates[key] = pinned("fp32", settled(device, ours))
    with mock.patch.object(classification, "GRAPHED", ()):
        ours = our_epoch(0.5, "fcnet", data, device)
        ours()  # whether to make a graph is decided here
    candidates["kernels, no graph"] = pinned("fp32", settled(device, ours))
    return epochs(candidates, data, "FCNet on MNIST, batch 128", rounds)


def epochs(
    candidates: dict[str, Callable[[], None]], data: ImageData, what: str, rounds: int
) -> str:
    times = interleaved(candidates, rounds, warm_up=1)
    seen = len(data.train_labels) + len(data.test_labels)
    rows = [
        [name, f"{seen / each.median:,.0f}", times["recipe"].ratio(each)]
        for name, each in times.items()
    ]
    return table([what, "images a second", "times the recipe"], rows)


def bound(device: torch.device, rounds: int) -> str:
    """Where the time of an epoch goes: the share in which the device works, and its longest
    operations. `rounds` is not used: one epoch is looked at."""
    data = cifar10(steps=20 if device.type == "cuda" else 1)
    activity = ProfilerActivity.CUDA if device.type == "cuda" else ProfilerActivity.CPU
    tables = []
    for precision in ("fp32", "tf32", "bf16"):
        epoch = pinned(
            precision, settled(device, our_epoch(0.5, "resnet34", data, device, precision))
        )
        epoch()
        with profile(activities=[activity]) as seen:
            started = time.perf_counter()
            epoch()
            wall = (time.perf_counter() - started) * 1e6
        field = "self_device_time_total" if device.type == "cuda" else "self_cpu_time_total"
        spent = {event.key: getattr(event, field) for event in seen.key_averages()}
        longest = sorted(spent, key=spent.__getitem__, reverse=True)[:LISTED]
        busy = sum(spent.values())
        tables.append(
            f"{precision}: the device works {busy / wall:.0%} of an epoch.\n\n"
            + table(
                ["operation", "share of the epoch"],
                [[name[:90].replace("|", "/"), f"{spent[name] / wall:.1%}"] for name in longest],
            )
        )
    return "\n\n".join(tables)


# --- the optimizer's step alone -------------------------------------------------------------------


def optimizer(device: torch.device, rounds: int) -> str:
    """A step of each form, for the 6 tensors of FCNet and the 110 of ResNet-34."""
    rows = []
    for model_name, shape in (("fcnet", (1, 28, 28)), ("resnet34", (3, 32, 32))):
        for name in PLAIN:
            candidates = {}
            for form in FORMS:
                model = build_model(model_name, shape, 10, seed=0).to(device)
                model = model.to(memory_format=torch.channels_last)
                for parameter in model.parameters():
                    parameter.grad = torch.randn_like(parameter).mul_(1e-3)
                made = make(form, name, model.parameters())
                if made is not None:
                    candidates[form] = settled(device, made.step, 10)
            times = interleaved(candidates, rounds)
            cells = [
                f"{times[form].median / 10 * 1e6:,.0f}" if form in times else "–" for form in FORMS
            ]
            rows.append([f"{model_name}, {name}", *cells])
    return table(["a step, µs", *FORMS], rows)


# --- layout, precision and graphs -----------------------------------------------------------------


def layout(device: torch.device, rounds: int) -> str:
    """A train step of ResNet-34 on 128 images, with LRD: whole, and the host's part in it."""
    few, rows = (12 if device.type == "cuda" else 1), []
    for precision in ("bf16", "tf32", "fp32"):
        for name, last in (("channels last", "on"), ("contiguous", "off")):
            candidates: dict[str, Callable[[], None]] = {}
            host: dict[str, float] = {}
            for way, graphed in (("as it is", False), ("as a graph", True)):
                run = layout_step(device, precision, last, graphed)
                for _ in range(5):
                    run()

                work = partial(launched, run, few, host, way)
                candidates[way] = pinned(precision, settled(device, work))
            times = interleaved(candidates, rounds, warm_up=1)
            cells = [
                f"{each.median / few * 1e3:.1f} ({host[way] * 1e3:.1f})"
                for way, each in times.items()
            ]
            rows.append([f"{precision}, {name}", *cells])
    head = ["ResNet-34, a step of 128 (and the host in it), ms", "as it is", "as a graph"]
    return table(head, rows)


def launched(run: Callable[[], None], times: int, host: dict[str, float], way: str) -> None:
    """Notes what the host needs for one, the device not waited for."""
    started = time.perf_counter()
    for _ in range(times):
        run()
    host[way] = (time.perf_counter() - started) / times


def layout_step(
    device: torch.device, precision: str, last: str, graphed: bool
) -> Callable[[], None]:
    data = cifar10(steps=1)
    document = {"dataset": "digits", "model": "fcnet", "optimizer": {"name": "sgdm"}, "epochs": 1}
    execution = {"precision": precision, "channels_last": last, "compile": "on"}
    spec = TrialSpec.parse(document | {"execution": execution})
    spec = spec.model_copy(update={"model": "resnet34"})
    with mock.patch.object(classification, "GRAPHED", ("resnet34",) if graphed else ()):
        task = classification.Classification(spec, device, None)
        task.data, task.batches = data, Batches(data, device)
        model = task.model()
        optimizer = build_optimizer(spec.optimizer, model.parameters(), seed=0, compile=True)
        gradients = task._gradients(model, optimizer)
    images, labels = next(iter(task.batches.train(BATCH, seed=0, epoch=1)))

    def step() -> None:
        gradients(images, labels)
        optimizer.step()

    return pinned(precision, step)


# --- short trials -------------------------------------------------------------------------------


def short(device: torch.device, rounds: int) -> str:
    """Trials of 100 steps, their optimizer and what is captured included: `compile: auto` never
    makes them slower."""
    steps = 10 if device.type == "cuda" else 1
    data = {"fcnet": mnist().first(steps * BATCH), "resnet34": cifar10(steps)}
    rows = []
    for name, precision in SHORT[device.type]:

        def trial(
            compile: str, graphed: bool, name: str = name, precision: str = precision
        ) -> Callable[[], None]:
            def run() -> None:
                with mock.patch.object(classification, "GRAPHED", (name,) if graphed else ()):
                    epoch = our_epoch(0.5, name, data[name], device, precision, compile)
                    for _ in range(10):
                        epoch()

            return pinned(precision, settled(device, run))

        candidates = {
            "compile: off": trial("off", graphed=False),
            "kernels": trial("auto", graphed=False),
            "kernels and a graph": trial("auto", graphed=True),
        }
        times = interleaved(candidates, rounds, warm_up=1)
        base = times.pop("compile: off")
        ratios = [base.ratio(each) for each in times.values()]
        rows.append([f"{name}, {precision}", f"{base.median:.2f}", *ratios])
    head = ["trials of 100 steps", "compile: off, s", "kernels: times faster"]
    return table([*head, "kernels and a graph: times faster"], rows)


# --- small networks: what a step costs before it computes anything --------------------------------


def graphed_step(model: nn.Module, inputs: Tensor) -> Callable[[], None]:
    """Forward and backward as CUDA graphs; the optimizer as it is."""
    labels = torch.zeros(len(inputs), dtype=torch.long, device=inputs.device)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9, fused=True)
    graphed: Any = torch.cuda.make_graphed_callables(model, (inputs,))

    def step() -> None:
        optimizer.zero_grad()
        F.cross_entropy(graphed(inputs), labels).backward()
        optimizer.step()

    return step


def whole_graph_step(model: nn.Module, inputs: Tensor) -> Callable[[], None]:
    """All of a step as one CUDA graph, the optimizer included: no less could be launched."""
    step, side = train_step(model, inputs), torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):  # what is allocated once, and autograd's own streams
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()

    def replay(step: Callable[[], None] = step) -> None:  # it holds what the graph reads
        graph.replay()

    return replay


def compiled_step(model: nn.Module, inputs: Tensor, mode: str | None) -> Callable[[], None]:
    model.compile(mode=mode)
    return train_step(model, inputs)


def small(device: torch.device, rounds: int) -> str:
    """A train step of FCNet for MNIST on 128 images, by how it is launched."""
    inputs = torch.randn(BATCH, 1, 28, 28, device=device)

    def fcnet() -> nn.Module:
        return build_model("fcnet", (1, 28, 28), 10, seed=0).to(device)

    ways: dict[str, Callable[[], Callable[[], None]]] = {
        "as it is": lambda: train_step(fcnet(), inputs),
        "compiled": lambda: compiled_step(fcnet(), inputs, None),
    }
    if device.type == "cuda":
        ways["compiled, reduce-overhead"] = lambda: compiled_step(
            fcnet(), inputs, "reduce-overhead"
        )
        ways["forward and backward graphed"] = lambda: graphed_step(fcnet(), inputs)
        ways["the whole step graphed"] = lambda: whole_graph_step(fcnet(), inputs)
    steps, first = {}, {}
    for name, way in ways.items():
        started = time.perf_counter()
        step = way()
        settled(device, step)()
        first[name] = time.perf_counter() - started
        steps[name] = settled(device, step, STEPS[device.type])
    times = interleaved(steps, rounds)
    rows = []
    for name, each in times.items():
        step_us = f"{each.median / STEPS[device.type] * 1e6:,.0f}"
        rows.append([name, step_us, times["as it is"].ratio(each), f"{first[name]:.2f}"])
    head = ["FCNet for MNIST, batch 128", "a step, µs", "times faster"]
    return table([*head, "made and run once, s"], rows)


# --- K trials on one card -------------------------------------------------------------------------


def _worker(pipe: Connection, device: str, seed: int) -> None:
    torch.set_num_threads(1)
    model = build_model("fcnet", (1, 28, 28), 10, seed=seed).to(device)
    inputs = torch.randn(BATCH, 1, 28, 28, device=device)
    run = settled(inputs.device, train_step(model, inputs), STEPS[inputs.device.type])
    while pipe.recv():
        run()
        pipe.send(True)


@contextmanager
def processes(count: int, device: torch.device) -> Iterator[Callable[[int], Callable[[], None]]]:
    """For each number up to `count`: the same steps in as many processes that share the device."""
    context = multiprocessing.get_context("spawn")
    pipes = []
    for seed in range(count):
        ours, theirs = context.Pipe()
        context.Process(target=_worker, args=(theirs, str(device), seed), daemon=True).start()
        pipes.append(ours)

    def several(few: int) -> Callable[[], None]:
        def run() -> None:
            for pipe in pipes[:few]:
                pipe.send(True)
            for pipe in pipes[:few]:
                pipe.recv()

        return run

    several(count)()  # all have started
    yield several
    for pipe in pipes:
        pipe.send(False)


def packed(device: torch.device, rounds: int) -> str:
    """K networks in one step by `torch.func`, beside K processes on one device, and beside steps
    that are one CUDA graph each, one after the other."""
    inputs = torch.randn(BATCH, 1, 28, 28, device=device)
    labels = torch.zeros(BATCH, dtype=torch.long, device=device)
    steps, rows = STEPS[device.type], []
    with processes(max(PACKED), device) as several:
        for count in PACKED:
            shape = (1, 28, 28)
            twice = [
                [build_model("fcnet", shape, 10, seed=seed).to(device) for seed in range(count)]
                for _ in range(2)
            ]
            candidates = {
                "processes": several(count),
                "packed": settled(device, packed_step(twice[0], inputs, labels), steps),
            }
            if device.type == "cuda":
                graphs = [whole_graph_step(model, inputs) for model in twice[1]]
                candidates["graphs"] = settled(device, partial(each_in_turn, graphs), steps)
            times = interleaved(candidates, rounds, warm_up=1)
            apart = times.pop("processes")
            rows.append(
                [f"{count}", f"{apart.median / steps / count * 1e6:,.0f}"]
                + [apart.ratio(each) for each in times.values()]
            )
    head = ["K", "K processes: a step of one trial, µs", "packed: times faster"]
    return table([*head, "a graph a step: times faster"][: len(rows[0])], rows)


def each_in_turn(steps: list[Callable[[], None]]) -> None:
    for step in steps:
        step()


# --- memory ---------------------------------------------------------------------------------------


def _context(pipe: Connection) -> None:
    """A trial's process, when it has trained: cuDNN, cuBLAS, Triton and a graph are loaded."""
    device = torch.device("cuda")
    our_epoch(0.5, "resnet34", cifar10(steps=5), device, "bf16")()
    pipe.send(torch.cuda.memory_reserved())
    pipe.recv()


def context(device: torch.device, rounds: int) -> str:
    """What a process takes of the card beside what torch has reserved: `CONTEXT_BYTES` of
    workers/gpus.py."""
    if device.type != "cuda":
        return "A CPU has no context."
    before, _ = torch.cuda.mem_get_info()
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_context, args=(theirs,))
    process.start()
    reserved = ours.recv()
    after, _ = torch.cuda.mem_get_info()
    ours.send(True)
    process.join()
    return f"A process takes {(before - after - reserved) / 2**20:.0f} MiB beside its tensors."


PARTS: dict[str, tuple[str, Callable[[torch.device, int], str], int]] = {
    "resnet": ("ResNet-34 over the authors' recipe", resnet, 5),
    "bound": ("What bounds ResNet-34", bound, 1),
    "fcnet": ("FCNet over the authors' recipe", fcnet, 5),
    "optimizer": ("A step of the optimizer", optimizer, 9),
    "layout": ("Layout, precision and graphs", layout, 3),
    "short": ("Short trials", short, 5),
    "small": ("Steps of a small network", small, 15),
    "packed": ("Trials that share a card", packed, 9),
    "context": ("CUDA's context", context, 1),
}
"""Title, measurement, rounds."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", choices=PARTS, action="append")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--rounds", type=int, help="of each part, instead of its own number")
    given = parser.parse_args()
    if given.rounds == 1:
        parser.error("of a single round nothing is known of its spread: --rounds 2 at least")
    device = torch.device(given.device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "no GPU"
    print(f"Machine: {machine()}; {name}.", end="\n\n", flush=True)
    for part in given.part or PARTS:
        title, measure, rounds = PARTS[part]
        print(f"### {title}\n\n{measure(device, given.rounds or rounds)}", end="\n\n", flush=True)


if __name__ == "__main__":
    main()
