"""Which arm an arm is compared with."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lrd_core.titles import ABSENT, KEEP_PROB
from service.analysis.configurations import (
    Flat,
    flatten,
    identity,
    scope,
    under,
    varying,
)
from service.analysis.data import ArmId, ArmInfo


@dataclass(frozen=True)
class Pairing:
    """An arm, the baseline it is compared with, and how the two differ."""

    arm: ArmInfo
    baseline: ArmInfo
    differs_in: tuple[str, ...]
    """All dotted paths in which they differ, e.g. `("optimizer.keep_prob",)`; where an optimizer,
    a data set or a model is another, without the options that come with its name."""


def compared_with(arms: Sequence[ArmInfo], arm_id: ArmId) -> list[ArmInfo]:
    """The arms with this one as their only baseline. What a sweep is made for it says of its own
    baseline, so that no comparison with another stands out: all are one family.

    Raises:
        KeyError: none of them has this id.
    """
    if all(arm.id != arm_id for arm in arms):
        raise KeyError(arm_id)
    return [replace(arm, is_baseline=arm.id == arm_id, is_primary=True) for arm in arms]


def as_asked(
    arms: Sequence[ArmInfo], baseline: Mapping[str, Any]
) -> tuple[list[ArmInfo], list[str]]:
    """The arms, and the paths of their baseline, for the `baseline` of a sweep's spec.

    The baselines were marked when the sweep was submitted (`lrd_core.agreement`). Without a
    `baseline`, it is the plain optimizer, if some arms are that and some are not.
    """
    keep_probs = [arm.config.get("optimizer", {}).get("keep_prob") for arm in arms]
    if baseline or 1.0 not in keep_probs or len(set(keep_probs)) == 1:
        return list(arms), list(baseline)
    marked = [
        replace(arm, is_baseline=keep_prob == 1.0)
        for arm, keep_prob in zip(arms, keep_probs, strict=True)
    ]
    return marked, [KEEP_PROB]


def pair_with_baselines(arms: Sequence[ArmInfo], paths: Iterable[str]) -> list[Pairing]:
    """Pair each arm other than a baseline with its baseline; arms without one are left out.

    `paths` are those of the sweep's baseline, e.g. `["optimizer.keep_prob"]`. An arm belongs to the
    baseline that equals it everywhere else. If a path names a variant (`optimizer.name`), the
    defaults that come with it (the learning rate) differ too, so the rest of that sub-tree may
    differ; of several such baselines the one that differs least is taken, if it is unique. An arm
    without a match is compared with the only baseline of its data set, task, model and optimizer (a
    learning rate may be tuned for LRD); else with the sweep's only baseline, if there is just one,
    provided that data set and task are the same: numbers of two data sets do not form pairs.
    """
    flats = [flatten(arm.config) for arm in arms]
    loose = [scope(path) for path in paths]

    def keys(paths: Iterable[str]) -> list[tuple[Any, ...]]:
        """The values of each arm at those of the paths that the baseline leaves alone."""
        rest = [path for path in paths if not any(under(path, top) for top in loose)]
        return [tuple(identity(flat.get(path, ABSENT)) for path in rest) for flat in flats]

    varied = varying(flats)
    marked = [index for index, arm in enumerate(arms) if arm.is_baseline]
    equal, alike = keys(varied), keys(_NAMES)
    equal_to, alike_to = _by_key(equal, marked), _by_key(alike, marked)
    pairings = []
    for index, arm in enumerate(arms):
        if arm.is_baseline:
            continue
        candidates = equal_to.get(equal[index], [])
        if not candidates:
            others = (alike_to.get(alike[index], []), _only(flats, index, marked))
            candidates = next((found for found in others if len(found) == 1), [])
        partner = _nearest(flats, index, candidates, varied)
        if partner is not None:
            differs = _telling(_differing(flats[index], flats[partner], varied))
            pairings.append(Pairing(arm, arms[partner], tuple(differs)))
    return pairings


def without_baseline(arms: Sequence[ArmInfo], compared: Collection[ArmId]) -> list[str]:
    """The labels of the arms that neither are a baseline nor are `compared` with one; none if no
    arm is one."""
    if not any(arm.is_baseline for arm in arms):
        return []
    return [arm.label for arm in arms if not arm.is_baseline and arm.id not in compared]


# --- inside ---------------------------------------------------------------------------------------

_NAMES = ("dataset", "task", "model", "optimizer.name")
_COMES_WITH = {
    "dataset": ("task", "data"), "model": ("pretrained",), "optimizer.name": ("optimizer",),
}  # fmt: skip
"""A name -> the settings that come with it: another optimizer has another learning rate."""


def _by_key(keys: Sequence[Any], marked: Iterable[int]) -> dict[Any, list[int]]:
    """Key -> the baselines that have it."""
    of_key: dict[Any, list[int]] = {}
    for index in marked:
        of_key.setdefault(keys[index], []).append(index)
    return of_key


def _only(flats: Sequence[Flat], index: int, marked: list[int]) -> list[int]:
    """The sweep's only baseline, if this arm can be compared with it at all."""
    if len(marked) != 1:
        return []
    one, other = flats[index], flats[marked[0]]
    return marked if all(one.get(path) == other.get(path) for path in ("dataset", "task")) else []


def _nearest(
    flats: Sequence[Flat], index: int, candidates: Sequence[int], paths: Sequence[str]
) -> int | None:
    if len(candidates) <= 1:
        return candidates[0] if candidates else None
    distances = {other: len(_differing(flats[index], flats[other], paths)) for other in candidates}
    least = min(distances.values())
    nearest = [other for other, distance in distances.items() if distance == least]
    return nearest[0] if len(nearest) == 1 else None


def _telling(differing: Sequence[str]) -> Iterator[str]:
    """Those of the paths that do not come with a name that differs. keep_prob comes with none."""
    implied = [top for name in differing for top in _COMES_WITH.get(name, ())]
    for path in differing:
        named = path in _COMES_WITH or path == KEEP_PROB
        if named or not any(under(path, top) for top in implied):
            yield path


def _differing(one: Flat, other: Flat, paths: Sequence[str]) -> list[str]:
    return [path for path in paths if one.get(path, ABSENT) != other.get(path, ABSENT)]
