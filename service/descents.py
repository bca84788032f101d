"""The paths that a sweep's descents took, as the workers left them in the trials' folders."""

import json
from dataclasses import dataclass

from lrd_core.trial_folder import PATHS, TrialFolder, trial_folder
from service.analysis.data import ArmId
from service.analysis.descents import Path
from service.errors import NotFound
from service.results import Results


@dataclass(frozen=True)
class Descents:
    """The paths of each arm's first trial that has ended well."""

    surface: str
    paths: dict[ArmId, list[Path]]
    """Of the arms on this surface that have left any."""


def descents_of(found: Results, trials: str) -> Descents:
    """Read them from `trials`, a path or an fsspec URL.

    Raises:
        NotFound: the sweep has no descent, or none that has ended well yet.
    """
    surfaces = {arm.id: (arm.config.get("data") or {}).get("surface") for arm in found.arms}
    surface = next((name for name in surfaces.values() if name), None)
    if surface is None:
        raise NotFound("only sweeps on dataset `surface` have descent paths")
    first = {
        trial.arm_id: trial.id for trial in reversed(found.trials) if trial.state == "succeeded"
    }
    paths = {
        arm.id: _read(trial_folder(trials, first[arm.id]))
        for arm in found.arms
        if surfaces[arm.id] == surface and arm.id in first
    }
    if not any(paths.values()):
        raise NotFound("no descent of this sweep has left its paths yet")
    return Descents(surface, {arm: ways for arm, ways in paths.items() if ways})


def _read(folder: TrialFolder) -> list[Path]:
    try:
        return list(json.loads(folder.read(PATHS)))
    except FileNotFoundError:  # imported from elsewhere, or run before paths were kept
        return []
