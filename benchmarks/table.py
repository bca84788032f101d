"""How long the table of a 10,000-trial sweep takes, step by step: medians in milliseconds."""

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np

from service.analysis import render
from service.analysis.arms import summarise
from service.analysis.comparisons import compare
from service.analysis.data import ArmInfo, Observation
from service.analysis.tables import build_table

REPEATS = 7
PATHS = ["optimizer.keep_prob"]


def sweep(pairs: int, seeds: int) -> tuple[list[ArmInfo], list[Observation]]:
    """`pairs` batch sizes, each without and with LRD, over `seeds` seeds."""
    rng = np.random.default_rng(0)
    arms = [
        ArmInfo(
            id=f"{batch}/{keep_prob}",
            label=f"batch_size={batch}, keep_prob={keep_prob}",
            config={
                "dataset": "digits", "model": "fcnet", "epochs": 5, "batch_size": batch,
                "optimizer": {"name": "adam", "lr": 0.001, "keep_prob": keep_prob},
            },
            is_baseline=keep_prob == 1.0,
        )
        for batch in range(1, pairs + 1)
        for keep_prob in (1.0, 0.5)
    ]  # fmt: skip
    observations = [
        Observation(f"{arm.id}/{seed}", arm.id, seed, "succeeded", None, value, 10.0, 5)
        for arm in arms
        for seed, value in enumerate(rng.normal(0.93, 0.01, seeds).tolist())
    ]
    return arms, observations


def milliseconds(work: Callable[[], Any]) -> float:
    """The median of some runs, after one that warms up."""
    work()
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        work()
        times.append((time.perf_counter() - start) * 1000)
    return median(times)


def measured(arms: list[ArmInfo], observations: list[Observation]) -> list[float]:
    """The time of each step, each fed with what the one before it gives."""
    summaries = summarise(arms, observations)
    comparisons = compare(summaries, observations, baseline=PATHS)
    table = build_table(summaries, comparisons, baseline=PATHS)
    return [
        milliseconds(lambda: summarise(arms, observations)),
        milliseconds(lambda: compare(summaries, observations, baseline=PATHS)),
        milliseconds(lambda: build_table(summaries, comparisons, baseline=PATHS)),
        milliseconds(lambda: render.markdown(table)),
    ]


def main() -> None:
    """Print a line for each shape of sweep."""
    steps = ("summarise", "compare", "build_table", "markdown", "all")
    print(f"{'arms x seeds':>14}", *(f"{step:>12}" for step in steps))
    for pairs, seeds in ((50, 100), (1000, 5)):
        times = measured(*sweep(pairs, seeds))
        shape = f"{2 * pairs} x {seeds}"
        print(f"{shape:>14}", *(f"{time:12.1f}" for time in (*times, sum(times))))


if __name__ == "__main__":
    main()
