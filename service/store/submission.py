"""Store sweeps that are submitted, and the trials that extend them."""

import itertools
import json
import secrets
from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Double,
    func,
    insert,
    literal,
    select,
)
from sqlalchemy.orm import Session

from lrd_core.sources import codes_of
from lrd_core.spec import Arm as SpecArm
from lrd_core.spec import SweepSpec, config_hash
from service.store import reuse, sweeps, webhooks
from service.store.models import Arm, Event, Sweep, Trial
from service.store.session import clock, on_postgres

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
        max_failures=spec.max_failures,
        tags=spec.tags,
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
    known = {arm.config_sha256 for arm in sweeps.arms_of(session, sweep_id)}
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
                "is_primary": arm.is_primary,
            }
            for at, (arm, config, sha256) in enumerate(missing)
        ]
        session.execute(insert(Arm), rows)
    return {arm.config_sha256: arm.id for arm in sweeps.arms_of(session, sweep_id)}


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
    for arm in sweeps.arms_of(session, sweep_id):
        arm.label = names.get(arm.config_sha256, arm.label)
    session.flush()


def _insert_fresh(session: Session, rows: list[dict[str, Any]]) -> None:
    """Insert queued trials with one statement over arrays, three times as fast as 100,000 rows one
    by one."""
    names = ("arm_id", "seed", "epochs")
    values: list[Any]
    if on_postgres(session):
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
