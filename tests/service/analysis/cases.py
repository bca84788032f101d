"""Arms and trials made up for the tests: small builders, no data of their own."""

import zlib
from collections.abc import Sequence
from typing import Any

from service.analysis.data import ArmId, ArmInfo, Observation, Series
from service.drawing.looks import Look
from service.drawing.panels import of_arms

Value = float | str | None
"""A number; or how the trial ended without one: `diverged`, `oom`, `running`, `queued`, …"""
REASONS = ("diverged", "oom", "error", "stalled", "lost", "timeout")


def config(**overrides: Any) -> dict[str, Any]:
    """A configuration; `name`, `lr` and `keep_prob` are the optimizer's."""
    # As the service orders them: LRD first, because a learning rate may go along with it.
    optimizer = {"keep_prob": 1.0, "name": "adam", "lr": 0.001}
    optimizer |= {name: overrides.pop(name) for name in list(overrides) if name in optimizer}
    whole: dict[str, Any] = {
        "dataset": "digits",
        "model": "fcnet",
        "optimizer": optimizer,
        "regularizers": [],
        "epochs": 5,
        "batch_size": 128,
    }
    return whole | overrides


def arm(key: str, label: str | None = None, *, baseline: bool = False, **overrides: Any) -> ArmInfo:
    return ArmInfo(
        key, label or key, config(**overrides), baseline, number=zlib.crc32(key.encode())
    )


def pair(keep_prob: float = 0.5) -> list[ArmInfo]:
    """The baseline `plain` and the arm `lrd`."""
    return [arm("plain", baseline=True), arm("lrd", keep_prob=keep_prob)]


def trials(arm_id: str, values: Sequence[Value], **more: Any) -> list[Observation]:
    """Seeds 0, 1, …: a number each, or what became of it."""
    return [_trial(arm_id, seed, value, **more) for seed, value in enumerate(values)]


def series(
    arm_id: str,
    seed: int,
    values: Sequence[float | None],
    *,
    state: str = "succeeded",
    reason: str | None = None,
    seconds: float = 2.0,
) -> Series:
    """Epochs 1, 2, … of `seconds` each."""
    count = len(values)
    return Series(
        f"{arm_id}-{seed}", arm_id, seed, state, reason,
        tuple(range(1, count + 1)), tuple(values), (seconds,) * count,
    )  # fmt: skip


def looks_of(arms: Sequence[ArmInfo]) -> dict[ArmId, Look]:
    """Arm -> the look of its line in learning curves."""
    return {line.of.id: line.look for panel in of_arms(arms) for line in panel.lines}


def _trial(arm_id: str, seed: int, value: Value, **more: Any) -> Observation:
    state, reason, number = "succeeded", None, value
    if isinstance(value, str):
        state, reason, number = value, None, 0.5
        if value in REASONS:
            state, reason = "failed", value
    fields = {"seconds": 10.0, "epochs_done": 5} | more
    return Observation(f"{arm_id}-{seed}", arm_id, seed, state, reason, number, **fields)
