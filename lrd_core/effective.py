"""Settings of a configuration that change nothing, and the arms that differ in nothing else."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lrd_core.choices import TASK_OF

SHOWN = 5
"""Arms named in a sentence, at most; the rest are counted."""
_IDLE = {"SD": ("keep_prob", 1), "NL": ("prob", 0), "NG": ("eta", 0), "DG": ("keep_prob", 1)}
"""Regularizer -> the value of an option with which it does nothing."""


def effective(config: Mapping[str, Any]) -> dict[str, Any]:
    """An arm's configuration, as plain data, without the settings that change nothing: milestones
    that the trial does not reach, the factor of a schedule without milestones, the power of one
    epoch, regularizers of strength zero, the batch size of a descent, a task that is the data
    set's own."""
    schedule, epochs = config["schedule"], config["epochs"]
    reached = [epoch for epoch in schedule["milestones"] if epoch < epochs]
    if schedule["gamma"] == 1:
        reached = []
    kept = {"milestones": reached} | ({"gamma": schedule["gamma"]} if reached else {})
    kept |= {"power": None if epochs == 1 else schedule.get("power")}  # the first is at the full lr
    regularizers = [each for each in config["regularizers"] if not _is_idle(each)]
    own = TASK_OF.get(config.get("dataset", ""), "classification")
    task = config.get("task") or own
    return {
        **config,
        "task": task,
        "schedule": {**schedule, "gamma": None, **kept},
        "regularizers": regularizers,
        "batch_size": None if task == "descent" else config["batch_size"],
    }


def advice(labels: Sequence[str], configs: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """A sentence for each set of arms that compute the same, and one for milestones that no arm
    reaches."""
    same: dict[str, list[str]] = {}
    for label, config in zip(labels, configs, strict=True):
        same.setdefault(json.dumps(effective(config), sort_keys=True), []).append(label)
    for group in same.values():
        if len(group) > 1:
            more = f" and {len(group) - SHOWN} more" if len(group) > SHOWN else ""
            yield (
                f"{'; '.join(group[:SHOWN])}{more} differ only in settings that change nothing: "
                "they will have the same results, and count as separate comparisons"
            )
    epochs = max(config["epochs"] for config in configs)
    named = {epoch for config in configs for epoch in config["schedule"]["milestones"]}
    if named and min(named) >= epochs:
        listed = ", ".join(map(str, sorted(named)))
        yield (
            f"no trial reaches a milestone of its schedule ({listed}): with {epochs} "
            f"epoch{'s' * (epochs != 1)}, the learning rate never falls"
        )


def _is_idle(regularizer: Mapping[str, Any]) -> bool:
    option, value = _IDLE[regularizer["kind"]]
    return bool(regularizer[option] == value)
