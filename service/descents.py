"""The paths of a sweep's descents, which the workers left in the trials' folders."""

import json

from lrd_core.trial_folder import PATHS, TrialFolder, trial_folder
from service.analysis.data import ArmId, ArmInfo
from service.drawing.descents import Grid, Polyline, grid_of
from service.errors import NotFound
from service.results import Results


def descents_of(found: Results, trials: str) -> dict[ArmId, list[Polyline]]:
    """The paths of each arm's first successful trial, for the arms that have any.

    `trials`: path or fsspec URL of the trials' folders.

    Raises:
        NotFound: the sweep has no descent.
    """
    descending = [arm.id for arm in found.arms if surface_of(arm)]
    if not descending:
        raise NotFound("only sweeps on dataset `surface` have descent paths")
    first = {
        trial.arm_id: trial.id for trial in reversed(found.trials) if trial.state == "succeeded"
    }
    paths = {arm: _read(trial_folder(trials, first[arm])) for arm in descending if arm in first}
    return {arm: ways for arm, ways in paths.items() if ways}


def grids_of(found: Results) -> dict[str, Grid]:
    """Surface -> its heights, for each surface that the sweep descends on."""
    return {name: grid_of(name) for name in sorted({surface_of(arm) for arm in found.arms} - {""})}


def surface_of(arm: ArmInfo) -> str:
    """The surface on which the arm descends; empty if none."""
    return str((arm.config.get("data") or {}).get("surface") or "")


def _read(folder: TrialFolder) -> list[Polyline]:
    try:
        return list(json.loads(folder.read(PATHS)))
    except FileNotFoundError:  # the trial was imported, or run before paths were kept
        return []
