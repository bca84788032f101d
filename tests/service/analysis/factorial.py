"""Arms of a grid of regularizers, and numbers for them."""

import itertools
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from service.analysis.data import ArmInfo, Observation
from service.analysis.effects import Effect

from .cases import arm, trials

SD, NG, NL = ({"kind": kind} for kind in ("SD", "NG", "NL"))
KINDS = {"SD": SD, "NG": NG, "NL": NL}
KEEP_PROB = ["optimizer.keep_prob"]


def grid(*kinds: str) -> list[ArmInfo]:
    """Every combination of these regularizers."""
    return [
        arm("+".join(chosen) or "none", regularizers=[KINDS[kind] for kind in chosen])
        for count in range(len(kinds) + 1)
        for chosen in itertools.combinations(kinds, count)
    ]


def observed(
    arms: Iterable[ArmInfo], seeds: int, value: Callable[[set[str], int], Any]
) -> list[Observation]:
    """`value` of each arm's regularizers and seed."""
    return [
        trial
        for each in arms
        for trial in trials(
            str(each.id),
            [value(set(str(each.id).split("+")) - {"none"}, seed) for seed in range(seeds)],
        )
    ]


def by_name(found: Iterable[Effect]) -> dict[str, Effect]:
    return {effect.name: effect for effect in found}


def random(seed: int) -> Callable[[set[str], int], float]:
    rng = np.random.default_rng(seed)
    kept: dict[Any, float] = {}
    return lambda kinds, at: kept.setdefault((*sorted(kinds), at), float(rng.normal(0.9, 0.01)))
