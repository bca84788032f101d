"""Sweeps, their arms and trials: submitting and reading."""

import hashlib
import json
import secrets
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Double,
    Text,
    and_,
    cast,
    func,
    insert,
    literal,
    not_,
    select,
    tuple_,
)
from sqlalchemy.orm import Session

from lrd_core.sources import codes_of
from lrd_core.spec import Arm as SpecArm
from lrd_core.spec import SweepSpec, config_hash
from service.errors import NotFound
from service.lifecycle import SweepState, TrialState
from service.store import reuse, webhooks
from service.store.models import Arm, Event, Report, Sweep, Trial
from service.store.session import clock

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # no letters that are read as others


def create(
    session: Session,
    spec: SweepSpec,
    arms: Sequence[SpecArm],
    *,
    code_version: str,
    owner: str | None = None,
) -> Sweep:
    """Store a sweep with all of its arms and trials."""
    document = spec.model_dump(mode="json", exclude_unset=True)
    now = clock(session)
    total = len(arms) * len(spec.seeds)
    sweep = Sweep(
        id="".join(secrets.choice(_ALPHABET) for _ in range(12)),
        name=spec.name,
        spec=document,
        code_version=code_version,
        trials_total=total,
        queued=total,
        priority=spec.priority,
        max_concurrent=spec.max_concurrent,
        created_at=now,
        owner=owner,
    )
    session.add(sweep)
    session.flush()
    _, reused = add_trials(session, sweep, arms, spec, now)
    session.add(Event(sweep_id=sweep.id, at=now, kind="submitted"))
    sweep.queued, sweep.succeeded = total - reused, reused
    sweep.finished_at = now if reused == total else None
    session.flush()
    session.refresh(sweep)
    webhooks.announce(session, [sweep.id])  # where all of it is reused
    return sweep


def add_trials(
    session: Session, sweep: Sweep, arms: Sequence[SpecArm], spec: SweepSpec, now: float
) -> tuple[int, int]:
    """Insert what the sweep lacks of these arms and the spec's seeds.

    The sweep's counts are the caller's to move.

    Returns:
        How many trials were added, and how many of these have reused results.
    """
    configs = [(arm, config := arm.config_json(), config_hash(config)) for arm in arms]
    known = {arm.config_sha256 for arm in arms_of(session, sweep.id)}
    rows = [
        {
            "sweep_id": sweep.id,
            "label": arm.label,
            "config": config,
            "config_sha256": sha256,
            "is_baseline": arm.is_baseline,
        }
        for arm, config, sha256 in configs
        if sha256 not in known
    ]
    if rows:
        rows = [row | {"position": len(known) + at} for at, row in enumerate(rows)]
        session.execute(insert(Arm), rows)
    ids = {arm.config_sha256: arm.id for arm in arms_of(session, sweep.id)}
    present = {
        (arm_id, seed)
        for arm_id, seed in session.execute(
            select(Trial.arm_id, Trial.seed).where(Trial.sweep_id == sweep.id)
        )
    }
    donors: dict[reuse.Key, Trial] = {}
    origins: dict[int, int] = {}
    if spec.reuse:
        execution = sweep.spec.get("execution", {})
        hashes, given = [sha256 for *_, sha256 in configs], [config for _, config, _ in configs]
        codes = dict(zip(hashes, codes_of(given), strict=True))
        donors = reuse.donors(session, codes, execution=execution, owner=sweep.owner)
        origins = reuse.origins(session, donors.values())
    fresh, reused = [], []
    # Seed by seed: a sweep that runs has pairs to compare from its first seed on, and what is held
    # against each other ran at about the same time.
    for seed in spec.seeds:
        for arm, _, sha256 in configs:
            if (ids[sha256], seed) in present:
                continue
            row = {
                "sweep_id": sweep.id,
                "arm_id": ids[sha256],
                "seed": seed,
                "epochs": arm.config.epochs,
                "created_at": now,
            }
            donor = donors.get((sha256, seed))
            if donor is None:
                fresh.append(row)
            else:
                reused.append(row | reuse.results_of(donor, origins[donor.id], now))
    if fresh:
        _insert_fresh(session, fresh)
    if reused:
        session.execute(insert(Trial), reused)
        reuse.copy_reports(session, sweep.id)
    return len(fresh) + len(reused), len(reused)


def rename(session: Session, sweep_id: str, arms: Sequence[SpecArm]) -> None:
    """Call the sweep's arms as they are called together: what tells two values apart depends on
    the others, and an earlier version may have called them otherwise."""
    names = {config_hash(arm.config_json()): arm.label for arm in arms}
    for arm in arms_of(session, sweep_id):
        arm.label = names.get(arm.config_sha256, arm.label)
    session.flush()


def _insert_fresh(session: Session, rows: list[dict[str, Any]]) -> None:
    """Queued trials, by one statement over arrays: 100,000 rows one by one take three times as
    long."""
    names = ("arm_id", "seed", "epochs")
    values: list[Any]
    if session.get_bind().dialect.name == "postgresql":
        arrays = [literal([row[name] for row in rows], ARRAY(BigInteger)) for name in names]
        values = list(func.unnest(*arrays).table_valued(*names, name="fresh").render_derived().c)
    else:
        table = json.dumps([[row[name] for name in names] for row in rows])
        row = func.json_each(table).table_valued("value").c.value
        values = [func.json_extract(row, f"$[{at}]") for at in range(len(names))]
    shared = [literal(rows[0]["sweep_id"]), literal(rows[0]["created_at"], Double)]
    session.execute(
        insert(Trial.__table__).from_select(  # type: ignore[arg-type]
            [*names, "sweep_id", "created_at"], select(*values, *shared)
        )
    )


def get(session: Session, sweep_id: str, *, anew: bool = False) -> Sweep:
    """The sweep; `anew`: as it is now, whatever was read of it before.

    Raises:
        NotFound: there is none with this id, or it was deleted.
    """
    sweep = session.get(Sweep, sweep_id, populate_existing=anew)
    if sweep is None or sweep.deleted_at is not None:
        raise NotFound(f"there is no sweep {sweep_id!r}; GET /api/v1/sweeps lists them")
    return sweep


def get_trial(session: Session, trial_id: int, *, anew: bool = False) -> Trial:
    """The trial; `anew`: as it is now, whatever was read of it before.

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

    Who asks in a transaction that writes holds the number until its end: of two requests at once,
    the second counts what the first has added.
    """
    if session.get_bind().dialect.name == "postgresql":  # SQLite has one writer anyway
        digest = hashlib.sha256(f"the queue of {owner}".encode()).digest()
        number = int.from_bytes(digest[:8], "big", signed=True)
        session.execute(select(func.pg_advisory_xact_lock(number)))
    queued = select(func.sum(Sweep.queued)).where(Sweep.owner == owner, Sweep.queued > 0)
    return int(session.scalar(queued) or 0)


def page(
    session: Session,
    after: tuple[float, str] | None,
    size: int,
    *,
    state: SweepState | None = None,
    search: str = "",
) -> list[Sweep]:
    """Sweeps, newest first, below the key `after`; those in `state`, or with `search` in the name
    or at the beginning of the id."""
    query = select(Sweep).order_by(Sweep.created_at.desc(), Sweep.id.desc()).limit(size)
    query = query.where(Sweep.deleted_at.is_(None))
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
    return list(session.scalars(query))


def _in_state() -> dict[SweepState, ColumnElement[bool]]:
    """`lifecycle.sweep_state`, as conditions on a sweep's row; each row meets exactly one."""
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


def trials(
    session: Session,
    sweep_id: str,
    *,
    after: int = 0,
    size: int | None = None,
    state: TrialState | None = None,
    arm_id: int | None = None,
) -> list[tuple[Trial, Arm]]:
    """The sweep's trials above id `after`, each with its arm; those in `state` or of `arm_id`."""
    here = and_(Trial.sweep_id == sweep_id, Trial.id > after)
    if session.get_bind().dialect.name == "postgresql":
        # With an equation PostgreSQL may walk through the trials of all older sweeps by their ids,
        # hoping to meet one of this sweep soon; in this form only the right index gives the order.
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
    """What the statistics need of an arm."""

    id: int
    label: str
    is_baseline: bool
    config: dict[str, Any]


def arm_rows(session: Session, sweep_id: str) -> list[ArmRow]:
    """Every arm of the sweep, in order, as plain rows."""
    columns = Arm.__table__.c
    query = select(columns.id, columns.label, columns.is_baseline, cast(columns.config, Text))
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
    """What the statistics need of a trial: a plain row, so that 100,000 of them are cheap."""

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
    """Many columns of JSON at once: row by row it takes several times as long."""
    return json.loads(f"[{','.join(text or 'null' for text in texts)}]")  # type: ignore[no-any-return]
