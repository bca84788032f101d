"""How fast trials train: beside the authors' recipe, and beside a shell loop of processes.

`python -m benchmarks.training` prints the tables of docs/results/training.md. The images of MNIST
and CIFAR-10 are real where `LRD_DATA_DIR` has them, else random ones of the same shape.
"""

import argparse
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
import yaml
from torch import Tensor, nn
from torch.func import functional_call, grad, stack_module_state, vmap

from benchmarks import authors_recipe
from benchmarks.published import PublishedSGDM
from benchmarks.timing import Times, interleaved, machine, table
from lrd_core.datasets.batches import Batches
from lrd_core.datasets.images import ImageData, load_images
from lrd_core.errors import DataNotFound
from lrd_core.models import build_model
from lrd_core.optim import build_optimizer
from lrd_core.presets import apply_preset
from lrd_core.spec import TrialSpec, expand
from lrd_core.tasks.classification import Classification

CPU = torch.device("cpu")
IMAGES = 20_000
"""Of each pass through an input pipeline; the authors' loaders start anew in each epoch too."""
EPOCH = 12_000
"""Training images of MNIST in a shortened epoch, and a sixth as many to evaluate on, as usual."""


def images(name: str) -> ImageData:
    """Real ones where they are at hand."""
    try:
        return load_images(name)
    except DataNotFound:
        shape = (1, 28, 28) if name == "mnist" else (3, 32, 32)
        pixels = torch.randint(0, 256, (60_000, *shape), dtype=torch.uint8)
        labels = torch.randint(10, (60_000,))
        return ImageData(
            pixels[:-10_000], labels[:-10_000], pixels[-10_000:], labels[-10_000:], classes=10,
            scale=255, mean=(0.5,) * shape[0], std=(0.25,) * shape[0],
            crop_and_flip=name != "mnist",
        )  # fmt: skip


def on(threads: int, work: Callable[[], Any]) -> Callable[[], None]:
    """`work` on so many threads."""

    def run() -> None:
        torch.set_num_threads(threads)
        work()

    return run


def consume(batches: Any) -> None:
    for _ in batches:
        pass


# --- the input pipeline ---------------------------------------------------------------------------


def input_pipeline(rounds: int) -> str:
    rows = []
    for name in ("cifar10_holdout", "mnist"):
        data = images(name).first(IMAGES)
        ours, cut = Batches(data, CPU), Batches(data, CPU, cutout=16)
        candidates = {
            "ours, 1 thread": on(1, lambda b=ours: consume(b.train(128, seed=0, epoch=1))),
            "ours with cutout": on(1, lambda b=cut: consume(b.train(128, seed=0, epoch=1))),
            "authors', 2 loaders": on(
                1, lambda d=data: consume(authors_recipe.loader(d, train=True))
            ),
        }
        times = interleaved(candidates, rounds)
        authors = times["authors', 2 loaders"]
        rows.append(
            [name]
            + [f"{IMAGES / each.median:,.0f}" for each in times.values()]
            + [authors.ratio(times["ours, 1 thread"])]
        )
    return table(["images a second", *candidates, "times faster"], rows)


# --- an epoch of the paper's FCNet on MNIST -------------------------------------------------------


def mnist() -> ImageData:
    data = images("mnist")
    short = EPOCH // 6
    return replace(
        data.first(EPOCH),
        test_images=data.test_images[:short],
        test_labels=data.test_labels[:short],
    )


def our_epoch(
    keep_prob: float,
    model_name: str = "fcnet",
    data: ImageData | None = None,
    device: torch.device = CPU,
    precision: str = "fp32",
    compile: str = "auto",
) -> Callable[[], None]:
    """Train and evaluate, as in a trial of 30 epochs; on MNIST, unless other data are given."""
    spec = TrialSpec.parse(
        {
            "dataset": "digits",  # always at hand; the others take its place
            "model": "fcnet",
            "optimizer": {"name": "sgdm", "lr": 0.01, "keep_prob": keep_prob},
            "execution": {"precision": precision, "compile": compile},
            "epochs": 30,
        }
    )
    spec = spec.model_copy(update={"model": model_name})
    task = Classification(spec, device, None)
    task.data = mnist() if data is None else data
    task.batches = Batches(task.data, device)
    task.steps_per_epoch = -(-len(task.data.train_labels) // spec.batch_size)
    model = task.model()
    optimizer = build_optimizer(
        spec.optimizer, model.parameters(), seed=0, compile=compile != "off"
    )

    def epoch() -> None:
        trained = task.train_epoch(model, optimizer, 1)
        torch.stack([*map(torch.as_tensor, {**trained, **task.evaluate(model)}.values())]).tolist()

    return epoch


def recipe_epoch(*, dropout: bool) -> Callable[[], None]:
    data = mnist()
    model = build_model("fcnet", data.image_shape, data.classes, seed=0)
    params = model.parameters()
    optimizer = (
        PublishedSGDM(params, 0.5, lr=0.01)
        if dropout
        else torch.optim.SGD(params, lr=0.01, momentum=0.9)
    )

    def epoch() -> None:
        authors_recipe.train_epoch(model, optimizer, data)
        authors_recipe.evaluate(model, data)

    return epoch


def _worker(pipe: Connection, keep_prob: float) -> None:
    torch.set_num_threads(1)
    epoch = our_epoch(keep_prob)
    while pipe.recv():
        epoch()
        pipe.send(True)


@contextmanager
def two_at_a_time(keep_prob: float) -> Iterator[Callable[[], None]]:
    """An epoch in each of two processes of one thread."""
    context = multiprocessing.get_context("spawn")
    pipes, processes = [], []
    for _ in range(2):
        ours, theirs = context.Pipe()
        process = context.Process(target=_worker, args=(theirs, keep_prob))
        process.start()
        pipes.append(ours)
        processes.append(process)

    def both() -> None:
        for pipe in pipes:
            pipe.send(True)
        for pipe in pipes:
            pipe.recv()

    yield both
    for pipe, process in zip(pipes, processes, strict=True):
        pipe.send(False)
        process.join()


def epochs(rounds: int) -> str:
    """Without and with LRD, on either side."""
    rows = []
    for label, keep_prob in (("plain SGDM", 1.0), ("SGDM with LRD", 0.5)):
        recipe = recipe_epoch(dropout=keep_prob < 1)
        with two_at_a_time(keep_prob) as both:
            candidates = {
                "recipe": on(2, recipe),
                "1 × 1 thread": on(1, our_epoch(keep_prob)),
                "1 × 2 threads": on(2, our_epoch(keep_prob)),
                "2 × 1 thread": both,
            }
            times = interleaved(candidates, rounds)
        times["2 × 1 thread"] = Times([each / 2 for each in times["2 × 1 thread"].seconds])
        rows.append(
            [label, f"{EPOCH / times['recipe'].median:,.0f}"]
            + [times["recipe"].ratio(times[name]) for name in list(candidates)[1:]]
            + [times["1 × 2 threads"].ratio(times["2 × 1 thread"])]
        )
    head = ["FCNet, MNIST", "recipe, images a second", "1 trial × 1 thread", "1 × 2 threads"]
    return table([*head, "2 × 1 thread, per trial", "2 × 1 over 1 × 2"], rows)


# --- evaluation, layout, compiling ----------------------------------------------------------------


def evaluation(rounds: int) -> str:
    """Of FCNet on 10,000 images of MNIST, one thread: by the size of a batch, and the recipe's."""
    data = images("mnist")
    data = replace(data, test_images=data.test_images[:10_000])
    model = build_model("fcnet", data.image_shape, data.classes, seed=0)
    batches = Batches(data, CPU)

    @torch.inference_mode()
    def ours(size: int) -> None:
        hits = torch.zeros((), dtype=torch.int64)
        for inputs, labels in batches.test(size):
            hits += (model(inputs).argmax(1) == labels).sum()
        hits.item()

    candidates = {"recipe": on(1, lambda: authors_recipe.evaluate(model, data))}
    for size in (100, 250, 4000, 1000):
        candidates[f"batches of {size}"] = on(1, lambda size=size: ours(size))
    times = interleaved(candidates, rounds)
    base = times.pop("batches of 1000")
    ratios = [each.ratio(base) for each in times.values()]
    return table(["batches of 1000, ms", *times], [[f"{base.median * 1e3:.0f}", *ratios]])


def train_step(model: nn.Module, inputs: Tensor, *, half: bool = False) -> Callable[[], None]:
    labels = torch.zeros(len(inputs), dtype=torch.long, device=inputs.device)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9, fused=True)

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            logits = model(inputs)
        F.cross_entropy(logits.float(), labels).backward()
        optimizer.step()

    return step


def layout(rounds: int) -> str:
    """A train step of ResNet-34 on 32 images."""
    shape, rows = (3, 32, 32), []
    for threads in (1, 2):
        candidates = {}
        for name, memory_format, half in (
            ("contiguous", torch.contiguous_format, False),
            ("channels last", torch.channels_last, False),
            ("channels last, bf16", torch.channels_last, True),
        ):
            model = build_model("resnet34", shape, 10, seed=0).to(memory_format=memory_format)
            inputs = torch.randn(32, *shape).contiguous(memory_format=memory_format)
            candidates[name] = on(threads, train_step(model, inputs, half=half))
        times = interleaved(candidates, rounds)
        base = times["contiguous"]
        ratios = [times[name].ratio(base) for name in list(candidates)[1:]]
        rows.append([f"{threads}", f"{base.median:.2f}", *ratios])
    return table(["threads", "contiguous, s", "channels last", "channels last, bf16"], rows)


def compiling(rounds: int) -> str:
    """A train step of FCNet on 128 images, with the network compiled, on one thread."""
    torch.set_num_threads(1)
    rows = []
    for name, shape in (("digits", (1, 8, 8)), ("MNIST", (1, 28, 28))):
        plain, compiled = (build_model("fcnet", shape, 10, seed=0) for _ in range(2))
        compiled.compile()
        inputs = torch.randn(128, *shape)
        steps = {"plain": train_step(plain, inputs), "compiled": train_step(compiled, inputs)}
        started = time.perf_counter()
        steps["compiled"]()
        first = time.perf_counter() - started
        times = interleaved(steps, 10 * rounds)
        ratio = times["compiled"].ratio(times["plain"])
        rows.append([name, f"{times['plain'].median * 1e3:.2f}", ratio, f"{first:.1f}"])
    return table(["FCNet for", "plain, ms", "compiled", "first compiled step, s"], rows)


# --- several trials as one computation ------------------------------------------------------------


def packed(rounds: int) -> str:
    """K networks in one step by `torch.func`, beside K steps: FCNet for MNIST, SGDM, one thread."""
    torch.set_num_threads(1)
    inputs, labels = torch.randn(128, 1, 28, 28), torch.randint(10, (128,))
    rows = []
    for count in (1, 4, 16):
        models = [build_model("fcnet", (1, 28, 28), 10, seed=seed) for seed in range(count)]
        steps = [train_step(model, inputs) for model in models]
        times = interleaved(
            {
                "apart": lambda steps=steps: [step() for step in steps],
                "packed": packed_step(models, inputs, labels),
            },
            rounds,
        )
        each = times["apart"].median / count * 1e3
        rows.append([f"{count}", f"{each:.1f}", times["apart"].ratio(times["packed"])])
    return table(["K", "a step apart, ms", "packed: times faster"], rows)


def packed_step(models: list[nn.Module], inputs: Tensor, labels: Tensor) -> Callable[[], None]:
    params, buffers = stack_module_state(models)
    base = models[0]

    def loss(own: dict[str, Tensor], own_buffers: dict[str, Tensor]) -> Tensor:
        return F.cross_entropy(functional_call(base, (own, own_buffers), (inputs,)), labels)

    gradients = vmap(grad(loss))
    optimizer = torch.optim.SGD(params.values(), lr=1e-3, momentum=0.9, fused=True)

    def step() -> None:
        found = gradients({name: each.detach() for name, each in params.items()}, buffers)
        for name, each in params.items():
            each.grad = found[name]
        optimizer.step()

    return step


# --- the demo's sweep beside a shell loop ---------------------------------------------------------


def demo(rounds: int) -> str:
    """The whole of `make demo`, its table and figures included, beside a process a trial. A round
    of the loop runs every third trial, and its time is taken three times."""
    trials = [trial.model_dump(mode="json") for trial in expand(apply_preset("digits"))]
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        files = [here / f"{number}.yaml" for number in range(len(trials))]
        for file, trial in zip(files, trials, strict=True):
            file.write_text(yaml.safe_dump(trial))
        few = " ".join(str(file) for file in files[::3])
        loop = f'for trial in {few}; do "{sys.executable}" -m lrd_core $trial || exit 1; done'
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}

        def run(command: list[str]) -> Callable[[], None]:
            return lambda: subprocess.run(
                command, cwd=here, env=environment, check=True, capture_output=True
            )  # fmt: skip

        candidates = {
            "demo": run([sys.executable, "-m", "service.demo"]),
            "loop": run(["/bin/sh", "-c", loop]),
        }
        times = interleaved(candidates, rounds, warm_up=0)
    times["loop"] = Times([3 * each for each in times["loop"].seconds])
    cells = [f"{times[name].median:.0f}" for name in ("demo", "loop")]
    return table(
        ["the demo, s", "30 processes, s", "times faster"],
        [[*cells, times["loop"].ratio(times["demo"])]],
    )


PARTS: dict[str, tuple[str, Callable[[int], str], int]] = {
    "input": ("Input pipeline, batches of 128", input_pipeline, 9),
    "epoch": ("An epoch with its evaluation: times faster than the recipe", epochs, 9),
    "evaluation": ("Evaluation of 10,000 images", evaluation, 9),
    "layout": ("Layout and precision of ResNet-34, a train step of 32 images", layout, 7),
    "compile": ("Compiling the network", compiling, 9),
    "packed": ("Trials packed into one computation", packed, 9),
    "demo": ("The demo's sweep of 30 trials", demo, 3),
}
"""Title, measurement, rounds."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", choices=PARTS, action="append")
    given = parser.parse_args()
    print(f"Machine: {machine()}.", end="\n\n", flush=True)
    for name in given.part or PARTS:
        title, measure, rounds = PARTS[name]
        print(f"### {title}\n\n{measure(rounds)}", end="\n\n", flush=True)


if __name__ == "__main__":
    main()
