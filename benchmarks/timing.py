"""Candidates timed in turn, round by round, so that a busy machine slows them all alike."""

import os
import platform
import random
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch


@dataclass(frozen=True)
class Times:
    """The seconds of one candidate, a number a round."""

    seconds: list[float]

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    def ratio(self, base: "Times") -> str:
        """Ratio of the medians, and the quartiles of the rounds' own ratios, if there are two."""
        rounds = [a / b for a, b in zip(self.seconds, base.seconds, strict=True)]
        if len(rounds) < 2:
            return f"{self.median / base.median:.2f}"
        low, _, high = statistics.quantiles(rounds, n=4)
        return f"{self.median / base.median:.2f} ({low:.2f}–{high:.2f})"


def interleaved(
    candidates: dict[str, Callable[[], None]], rounds: int, *, warm_up: int = 2
) -> dict[str, Times]:
    """Each candidate once a round, in random order, after rounds that do not count."""
    order, draws = list(candidates), random.Random(0)
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for number in range(rounds + warm_up):
        draws.shuffle(order)
        for name in order:
            started = time.perf_counter()
            candidates[name]()
            if number >= warm_up:
                seconds[name].append(time.perf_counter() - started)
    return {name: Times(each) for name, each in seconds.items()}


def table(head: list[str], rows: list[list[str]]) -> str:
    """As Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def machine() -> str:
    """One line: processor, cores, torch, and how busy others kept it."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    name = names[0] if names else platform.processor() or platform.machine()
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    capability = torch.backends.cpu.get_cpu_capability()
    return (
        f"{name}, {os.cpu_count()} cores, {capability}; torch {torch.__version__}, "
        f"Python {platform.python_version()}; load {load}"
    )
