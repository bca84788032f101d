"""Submit and read sweeps, their arms and their trials."""

import hashlib
import itertools
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

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # no letters that are mistaken for others


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
    webhooks.announce(session, [sweep.id])  # in case all results are reused
    return sweep


def add_trials(
    session: Session, sweep: Sweep, arms: Sequence[SpecArm], spec: SweepSpec, now: float
) -> tuple[int, int]:
    """Insert the trials that the sweep lacks of these arms and the spec's seeds.

    The caller updates the sweep's counts.

    Returns:
        How many trials were added, and how many of these have reused results.
    """
    hashed = [_Hashed(arm, config := arm.config_json(), config_hash(config)) for arm in arms]
    arm_ids = _add_arms(session, sweep.id, hashed)
    existing = _existing_pairs(session, sweep.id)
    donors = _donors(session, sweep, hashed) if spec.reuse else {}
    fresh, reused = [], []
    # Seed by seed, so that a running sweep has pairs to compare from its first seed on, and trials
    # that are compared run at about the same time.
    for seed, (arm, _, sha256) in itertools.product(spec.seeds, hashed):
        if (arm_ids[sha256], seed) in existing:
            continue
        row = {
            "sweep_id": sweep.id,
            "arm_id": arm_ids[sha256],
            "seed": seed,
            "epochs": arm.config.epochs,
            "created_at": now,
        }
        if donor := donors.get((sha256, seed)):
            reused.append(row | reuse.results_of(*donor, now))
        else:
            fresh.append(row)
    if fresh:
        _insert_fresh(session, fresh)
    if reused:
        session.execute(insert(Trial), reused)
        reuse.copy_reports(session, sweep.id)
    return len(fresh) + len(reused), len(reused)


class _Hashed(NamedTuple):
    """An arm of a spec, with its configuration and the hash of that."""

    arm: SpecArm
    config: dict[str, Any]
    sha256: str


def _add_arms(session: Session, sweep_id: str, hashed: Sequence[_Hashed]) -> dict[str, int]:
    """Insert the arms that the sweep lacks; the ids of all its arms by their hashes."""
    known = {arm.config_sha256 for arm in arms_of(session, sweep_id)}
    missing = [each for each in hashed if each.sha256 not in known]
    if missing:
        rows = [
            {
                "sweep_id": sweep_id,
                "position": len(known) + at,
                "label": arm.label,
                "config": config,
                "config_sha256": sha256,
                "is_baseline": arm.is_baseline,
            }
            for at, (arm, config, sha256) in enumerate(missing)
        ]
        session.execute(insert(Arm), rows)
    return {arm.config_sha256: arm.id for arm in arms_of(session, sweep_id)}


def pairs_of(session: Session, sweep_id: str) -> set[reuse.Key]:
    """The (configuration's hash, seed) of each trial that the sweep has."""
    pairs = select(Arm.config_sha256, Trial.seed).join(Arm, Arm.id == Trial.arm_id)
    rows = session.execute(pairs.where(Trial.sweep_id == sweep_id))
    return {(sha256, seed) for sha256, seed in rows}


def _existing_pairs(session: Session, sweep_id: str) -> set[tuple[int, int]]:
    """The (arm, seed) of each trial that the sweep has."""
    pairs = select(Trial.arm_id, Trial.seed).where(Trial.sweep_id == sweep_id)
    return {(arm_id, seed) for arm_id, seed in session.execute(pairs)}


def _donors(
    session: Session, sweep: Sweep, hashed: Sequence[_Hashed]
) -> dict[reuse.Key, tuple[Trial, int]]:
    """The trials whose results may stand for the sweep's, each with the trial that made them."""
    hashes, configs = [each.sha256 for each in hashed], [each.config for each in hashed]
    codes = dict(zip(hashes, codes_of(configs), strict=True))
    execution = sweep.spec.get("execution", {})
    found = reuse.donors(session, codes, execution=execution, owner=sweep.owner)
    origins = reuse.origins(session, found.values())
    return {key: (donor, origins[donor.id]) for key, donor in found.items()}


def rename(session: Session, sweep_id: str, arms: Sequence[SpecArm]) -> None:
    """Give the sweep's arms the labels that they have among `arms`: what tells two values apart
    depends on all of them, and an earlier version may have labelled them differently."""
    names = {config_hash(arm.config_json()): arm.label for arm in arms}
    for arm in arms_of(session, sweep_id):
        arm.label = names.get(arm.config_sha256, arm.label)
    session.flush()


def _insert_fresh(session: Session, rows: list[dict[str, Any]]) -> None:
    """Insert queued trials with one statement over arrays, three times as fast as 100,000 rows one
    by one."""
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
    """Sweeps, newest first, below the key `after`; if given, only those in `state`, and those with
    `search` in the name or at the beginning of the id."""
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
    if session.get_bind().dialect.name == "postgresql":
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
