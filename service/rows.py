"""One sweep's rows, read from one snapshot of the database: everything its results come from."""

from collections.abc import Collection
from dataclasses import dataclass
from enum import Flag, auto
from typing import Any

from pydantic import BaseModel
from sqlalchemy.orm import Session

from lrd_core.spec import ExpectedSpec, TableSpec
from service.analysis.baselines import as_asked, compared_with
from service.analysis.data import ArmInfo
from service.analysis.mixtures import Provenance, Recomputed
from service.errors import NotFound, Unprocessable
from service.store import sweeps as store
from service.store.history import extensions
from service.store.models import Sweep
from service.store.provenance import devices, environments, made_by, recomputed


class _Label(BaseModel):
    label: str = ""


class ReadSpec(BaseModel):
    """The part of a stored spec that says how to read its results. The rest is ignored, because a
    model of another package may no longer be installed."""

    baseline: dict[str, Any] = {}
    primary: list[dict[str, Any]] = []
    table: TableSpec = TableSpec()
    execution: dict[str, Any] = {}
    expected: ExpectedSpec | None = None
    arms: list[_Label] = []


class Part(Flag):
    """Parts of the rows that only some results need."""

    NONE = 0
    EPOCHS = auto()
    """Every epoch report. Always read unless `at` is `last`."""
    MADE = auto()
    """The code, data and device behind each arm's numbers, and what was computed twice."""
    HISTORY = auto()
    """The devices on which trials ran, and how the sweep was extended."""
    ENVIRONMENTS = auto()
    """The environment of each attempt."""


@dataclass(frozen=True)
class Rows:
    """One sweep, to be read at one place against one baseline. A part that was not asked for is
    None."""

    sweep_id: str
    name: str
    code_version: str
    spec: ReadSpec
    at: str
    """`last`, `best` or `epoch:N`."""
    arms: list[ArmInfo]
    baseline: list[str]
    """The dotted paths of the sweep's baseline; empty if an arm was asked for instead."""
    trials: list[store.TrialRow]
    epochs: dict[int, list[dict[str, Any]]] | None
    """Trial id -> its epoch reports in order."""
    made: list[Provenance] | None
    recomputed: Recomputed | None
    devices: list[tuple[str, int, bool]] | None
    extensions: list[str] | None
    environments: list[str] | None


def read(
    session: Session,
    sweep: Sweep,
    also: Part = Part.NONE,
    *,
    at: str | None = None,
    baseline: int | None = None,
) -> Rows:
    """Read what the results are computed from, so that the transaction can end before they are:
    SQLite's writers wait for it.

    Args:
        session: a reading transaction, so that everything comes from one snapshot.
        sweep: the sweep.
        also: the parts needed besides arms and trials.
        at: `last`, `best` or `epoch:N`; None for the place in the spec's table.
        baseline: the id of an arm; None for the spec's baseline.

    Raises:
        NotFound: no arm of the sweep has the id `baseline`.
        Unprocessable: no arm has the epoch `at`.
    """
    spec = ReadSpec.model_validate(sweep.spec)
    at = at or spec.table.at
    arms, paths = _arms(session, sweep, spec, at, baseline)
    history = Part.HISTORY in also
    return Rows(
        sweep_id=sweep.id,
        name=sweep.name,
        code_version=sweep.code_version,
        spec=spec,
        at=at,
        arms=arms,
        baseline=paths,
        trials=store.trial_rows(session, sweep.id),
        epochs=(
            store.reports_by_trial(session, sweep.id)
            if Part.EPOCHS in also or at != "last"
            else None
        ),
        made=made_by(session, sweep.id) if Part.MADE in also else None,
        recomputed=recomputed(session, sweep.id) if Part.MADE in also else None,
        devices=devices(session, sweep.id) if history else None,
        extensions=extensions(session, sweep.id) if history else None,
        environments=environments(session, sweep.id) if Part.ENVIRONMENTS in also else None,
    )


# --- inside ---------------------------------------------------------------------------------------


def _arms(
    session: Session, sweep: Sweep, spec: ReadSpec, at: str, baseline: int | None
) -> tuple[list[ArmInfo], list[str]]:
    """The arms, their baselines marked, and the dotted paths of the baseline."""
    given = {arm.label for arm in spec.arms}
    arms = [
        ArmInfo(
            *(arm.id, arm.label, arm.config, arm.is_baseline, _given(arm.label, given)),
            is_primary=arm.is_primary,
            number=number,
        )
        for number, arm in enumerate(store.arm_rows(session, sweep.id), 1)
    ]
    most = max(arm.config.get("epochs", 0) for arm in arms)
    if at.startswith("epoch:") and int(at[6:]) > most:
        raise Unprocessable(f"no arm of sweep {sweep.id} has so many epochs: {most} at most")
    if baseline is None:
        return as_asked(arms, spec.baseline)
    try:
        return compared_with(arms, baseline), []
    except KeyError:
        raise NotFound(f"sweep {sweep.id} has no arm {baseline} to be the baseline") from None


def _given(name: str, labels: Collection[str]) -> str:
    """The longest of the labels with which an arm's name begins, since labels may hold commas."""
    parts = name.split(", ")
    heads = (", ".join(parts[:count]) for count in range(len(parts), 0, -1))
    return next((head for head in heads if head in labels), "")
