"""Read sweeps, their arms and their trials."""

import json
from collections.abc import Iterable
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Text,
    and_,
    cast,
    exists,
    func,
    not_,
    select,
    tuple_,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session, defer

from service.errors import NotFound
from service.lifecycle import SweepState, TrialState
from service.store import locks
from service.store.models import Arm, Report, Sweep, Trial
from service.store.session import on_postgres


def get(session: Session, sweep_id: str, *, anew: bool = False) -> Sweep:
    """The sweep; with `anew`, read again even if the session has it.

    Raises:
        NotFound: there is none with this id, or it was deleted.
    """
    sweep = session.get(Sweep, sweep_id, populate_existing=anew)
    if sweep is None or sweep.deleted_at is not None:
        raise NotFound(f"there is no sweep {sweep_id!r}; GET /api/v1/sweeps lists them")
    return sweep


def get_trial(session: Session, trial_id: int, *, anew: bool = False) -> Trial:
    """The trial; with `anew`, read again even if the session has it.

    Raises:
        NotFound: there is none with this id, or its sweep was deleted.
    """
    query = select(Trial).join(Sweep, Sweep.id == Trial.sweep_id)
    trial = session.scalar(
        query.where(Trial.id == trial_id, Sweep.deleted_at.is_(None)),
        execution_options={"populate_existing": anew},
    )
    if trial is None:
        raise NotFound(f"there is no trial {trial_id}")
    return trial


def queued_of(session: Session, owner: str) -> int:
    """How many trials of this owner's sweeps are queued.

    A writing transaction keeps this number from changing until it ends: of two requests at once,
    the second counts what the first has added.
    """
    locks.hold(session, f"the queue of {owner}")
    queued = select(func.sum(Sweep.queued)).where(Sweep.owner == owner, Sweep.queued > 0)
    return int(session.scalar(queued) or 0)


def page(
    session: Session,
    after: tuple[float, str] | None,
    size: int,
    *,
    state: SweepState | None = None,
    search: str = "",
    tag: str = "",
) -> list[Sweep]:
    """Sweeps without their specs, newest first, below the key `after`; if given, only those in
    `state`, those with `search` in the name or at the beginning of the id, and those with the
    `tag`."""
    query = select(Sweep).where(Sweep.deleted_at.is_(None))
    query = query.order_by(Sweep.created_at.desc(), Sweep.id.desc()).limit(size)
    query = query.options(defer(Sweep.spec, raiseload=True))
    if after is not None:
        at, sweep_id = after
        query = query.where(
            (Sweep.created_at < at) | ((Sweep.created_at == at) & (Sweep.id < sweep_id))
        )
    if state is not None:
        query = query.where(_in_state()[state])
    if search:
        named = Sweep.name.icontains(search, autoescape=True)
        query = query.where(named | Sweep.id.startswith(search, autoescape=True))
    if tag:
        query = query.where(_tagged(session, tag))
    return list(session.scalars(query))


def _tagged(session: Session, tag: str) -> ColumnElement[bool]:
    if on_postgres(session):
        return cast(Sweep.tags, JSONB).contains([tag])
    each = func.json_each(Sweep.tags).table_valued("value")
    return exists(select(each.c.value).where(each.c.value == tag))


def _in_state() -> dict[SweepState, ColumnElement[bool]]:
    """`lifecycle.sweep_state` as conditions on a sweep's row; each row meets exactly one."""
    ended = and_(Sweep.queued == 0, Sweep.running == 0)
    paused = and_(not_(ended), Sweep.paused_at.is_not(None), Sweep.running == 0)
    untouched = Sweep.queued == Sweep.trials_total
    going = and_(not_(ended), not_(paused))
    return {
        SweepState.failed: and_(ended, Sweep.failed > 0),
        SweepState.cancelled: and_(ended, Sweep.failed == 0, Sweep.cancelled > 0),
        SweepState.succeeded: and_(ended, Sweep.failed == 0, Sweep.cancelled == 0),
        SweepState.paused: paused,
        SweepState.queued: and_(going, untouched),
        SweepState.running: and_(going, not_(untouched)),
    }


def has_arm(session: Session, sweep_id: str, arm_id: int) -> bool:
    """Whether the sweep has an arm with this id."""
    arm = session.get(Arm, arm_id)
    return arm is not None and arm.sweep_id == sweep_id


def trials(
    session: Session,
    sweep_id: str,
    *,
    after: int = 0,
    size: int | None = None,
    state: TrialState | None = None,
    arm_id: int | None = None,
) -> list[tuple[Trial, Arm]]:
    """The sweep's trials above id `after`, each with its arm; if given, only those in `state`, and
    those of `arm_id`."""
    here = and_(Trial.sweep_id == sweep_id, Trial.id > after)
    if on_postgres(session):
        # With an equality PostgreSQL may scan the trials of all older sweeps by id, hoping to meet
        # one of this sweep soon. In this form only the right index gives the order.
        place = tuple_(Trial.sweep_id, Trial.id)
        here = and_(place > tuple_(sweep_id, after), Trial.sweep_id <= sweep_id)
    query = (
        select(Trial, Arm)
        .join(Arm, Arm.id == Trial.arm_id)
        .where(here)
        .order_by(Trial.sweep_id, Trial.id)
        .limit(size)
    )
    if state is not None:
        query = query.where(Trial.state == state)
    if arm_id is not None:
        query = query.where(Trial.arm_id == arm_id)
    return [(trial, arm) for trial, arm in session.execute(query)]


def arms_of(session: Session, sweep_id: str) -> list[Arm]:
    """The sweep's arms in order."""
    return list(session.scalars(select(Arm).where(Arm.sweep_id == sweep_id).order_by(Arm.position)))


class ArmRow(NamedTuple):
    """The columns of an arm that the statistics need."""

    id: int
    label: str
    is_baseline: bool
    is_primary: bool
    config: dict[str, Any]


def arm_rows(session: Session, sweep_id: str) -> list[ArmRow]:
    """Every arm of the sweep, in order, as plain rows."""
    columns = Arm.__table__.c
    *plain, config = [columns[name] for name in ArmRow._fields]
    query = select(*plain, cast(config, Text))
    query = query.where(columns.sweep_id == sweep_id).order_by(columns.position)
    rows = session.execute(query).all()
    configs = _decoded(row[-1] for row in rows)
    return [ArmRow._make((*row[:-1], config)) for row, config in zip(rows, configs, strict=True)]


def reports(
    session: Session, trial_id: int, *, after_epoch: int = 0, size: int | None = None
) -> list[Report]:
    """The trial's epochs after `after_epoch`, in order."""
    query = select(Report).where(Report.trial_id == trial_id, Report.epoch > after_epoch)
    return list(session.scalars(query.order_by(Report.epoch).limit(size)))


class TrialRow(NamedTuple):
    """The columns of a trial that the statistics need: plain rows, so that 100,000 are cheap."""

    id: int
    arm_id: int
    seed: int
    state: str
    reason: str | None
    epochs_done: int
    seconds: float
    cpus: float
    gpus: float
    reused_from: int | None
    attempt: int
    weights_sha256: str | None
    last_report: dict[str, Any] | None


def trial_rows(session: Session, sweep_id: str) -> list[TrialRow]:
    """Every trial of the sweep, in order."""
    *columns, report = [Trial.__table__.c[name] for name in TrialRow._fields]
    query = select(*columns, cast(report, Text)).where(Trial.sweep_id == sweep_id)
    found: list[TrialRow] = []
    for rows in session.execute(query.order_by(Trial.id)).partitions(10_000):
        decoded = _decoded(row[-1] for row in rows)
        found += (
            TrialRow._make((*row[:-1], report)) for row, report in zip(rows, decoded, strict=True)
        )
    return found


def reports_by_trial(session: Session, sweep_id: str) -> dict[int, list[dict[str, Any]]]:
    """Trial id -> its epoch reports in order."""
    query = (
        select(Report.trial_id, cast(Report.report, Text))
        .join(Trial, Report.trial_id == Trial.id)
        .where(Trial.sweep_id == sweep_id)
        .order_by(Report.trial_id, Report.epoch)
    )
    rows = session.execute(query).all()
    found: dict[int, list[dict[str, Any]]] = {}
    for (trial_id, _), report in zip(rows, _decoded(row[1] for row in rows), strict=True):
        found.setdefault(trial_id, []).append(report)
    return found


def _decoded(texts: Iterable[str | None]) -> list[Any]:
    """Decode a column of JSON at once; row by row takes several times as long."""
    return json.loads(f"[{','.join(text or 'null' for text in texts)}]")  # type: ignore[no-any-return]
