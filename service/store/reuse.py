"""Reuse results of earlier trials with the same configuration, seed, execution and code."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy import Select, case, exists, func, insert, literal, select
from sqlalchemy.orm import Session, aliased

from lrd_core.sources import Code
from service.lifecycle import TrialState
from service.store import locks
from service.store.models import Arm, Attempt, Event, Report, Sweep, Trial
from service.store.provenance import has_made

T = TypeVar("T")

IMPORTED = "imported"
"""The kind of an event that only a sweep imported from a bundle has."""
Key = tuple[str, int]
"""(hash of the configuration, seed)"""
_GIVING = "results that are given"
"""The lock that those who copy results share, and that a deletion waits for."""


def present(
    session: Session,
    codes: Mapping[str, Code],
    *,
    execution: dict[str, Any],
    owner: str | None,
) -> dict[Key, int]:
    """(hash, seed) -> the id of the newest trial whose results may stand for that pair in a sweep
    of `owner`.

    `codes`: the code that would run each configuration now, by its hash. A trial's own code is what
    its attempts have recorded; if they lack it, or its sum, the trial does not count as equal.
    Imported results did not run here and may have been written by hand, so they stand only for
    trials of their owner, even if they were reused meanwhile. The same holds for results from a
    sweep that was deleted since, because nobody can tell any more where they came from.
    """
    newest: dict[Key, int] = {}
    fitting: dict[str, bool] = {}
    trusted: dict[tuple[str, str | None], bool] = {}
    first = aliased(Trial)
    elsewhere = select(first.sweep_id).where(first.id == Trial.reused_from).scalar_subquery()
    made_in = case((Trial.reused_from.is_(None), Trial.sweep_id), else_=elsewhere)
    for part in _parts(list(codes)):
        fitting |= _fitting(session, part, fitting.keys(), execution)
        ran = _ran(session, part)
        query = (
            _succeeded(part, Arm.config_sha256, Trial.seed, Trial.id, Trial.sweep_id)
            .add_columns(made_in)
            .order_by(Trial.id)
        )
        for sha256, seed, trial_id, *holder_and_maker in session.execute(query):
            sweep_id, maker = holder_and_maker
            if not fitting.get(sweep_id) or ran[trial_id] != {codes[sha256]}:
                continue
            if (sweep_id, maker) not in trusted:
                trusted[sweep_id, maker] = _stands_for(
                    session, sweep_id, maker, owner, weights=bool(execution.get("keep_weights"))
                )
            if trusted[sweep_id, maker]:
                newest[sha256, seed] = trial_id
    return newest


def donors(session: Session, codes: Mapping[str, Code], **like: Any) -> dict[Key, Trial]:
    """The trials that `present` finds. None of their sweeps is deleted until the transaction ends,
    so that their results can be copied."""
    locks.hold(session, _GIVING, shared=True)
    newest = present(session, codes, **like)
    trials: dict[int, Trial] = {}
    for ids in _parts(list(newest.values())):
        trials |= {
            each.id: each for each in session.scalars(select(Trial).where(Trial.id.in_(ids)))
        }
    return {key: trials[trial_id] for key, trial_id in newest.items()}


def wait_for_takers(session: Session) -> None:
    """Before a sweep is deleted, wait for transactions that copy results, and block later ones."""
    locks.hold(session, _GIVING)


def origins(session: Session, donors: Iterable[Trial]) -> dict[int, int]:
    """Donor -> the trial that made its results, or the donor itself if that trial is gone."""
    made_in = {donor.id: donor.reused_from or donor.id for donor in donors}
    there: set[int] = set()
    for ids in _parts(list(set(made_in.values()))):
        query = select(Trial.id).join(Sweep, Sweep.id == Trial.sweep_id)
        there |= set(session.scalars(query.where(Trial.id.in_(ids), Sweep.deleted_at.is_(None))))
    return {donor: first if first in there else donor for donor, first in made_in.items()}


def results_of(donor: Trial, origin: int, now: float) -> dict[str, Any]:
    """The columns that a trial takes over from its donor; `cpus` and `gpus` stay 0."""
    return {
        "state": TrialState.succeeded,
        "attempt": 1,
        "epochs_done": donor.epochs_done,
        "last_report": donor.last_report,
        "seconds": donor.seconds,
        "weights_sha256": donor.weights_sha256,
        "reused_from": origin,
        "started_at": now,
        "finished_at": now,
    }


def copy_reports(session: Session, sweep_id: str) -> None:
    """Copy to the sweep's reused trials their donors' epochs and the attempt that made them."""
    mine = (Trial.sweep_id == sweep_id) & Trial.reused_from.is_not(None)
    own_attempt, own_report = aliased(Attempt), aliased(Report)
    done = select(own_attempt.trial_id).where(own_attempt.trial_id == Trial.id).exists()
    its = aliased(Attempt)
    # Of what the donor computed twice, the one epoch that says that it does not repeat itself.
    different = (
        select(func.min(its.different_epoch))
        .where(its.trial_id == Trial.reused_from)
        .scalar_subquery()
    )
    session.execute(
        insert(Attempt).from_select(
            ["trial_id", "attempt", "dispatcher_id", "started_at", "ended_at", "outcome",
             "message", "environment", "recomputed_from", "recomputed_to", "different_epoch"],
            select(
                Trial.id, literal(1), Attempt.dispatcher_id, Attempt.started_at, Attempt.ended_at,
                Attempt.outcome, literal("reused"), Attempt.environment, different,
                different, different,
            )
            .join(Attempt, Attempt.trial_id == Trial.reused_from)
            .where(mine, Attempt.outcome == TrialState.succeeded, ~done),
        )
    )  # fmt: skip
    recorded = select(own_report.trial_id).where(own_report.trial_id == Trial.id).exists()
    session.execute(
        insert(Report).from_select(
            ["trial_id", "epoch", "attempt", "report", "sha256", "recorded_at"],
            select(
                Trial.id, Report.epoch, literal(1), Report.report, Report.sha256,
                Report.recorded_at,
            )
            .join(Report, Report.trial_id == Trial.reused_from)
            .where(mine, ~recorded),
        )
    )  # fmt: skip


# --- inside ---------------------------------------------------------------------------------------


def _succeeded(hashes: Sequence[str], *columns: Any) -> Select[Any]:
    """Select `columns` of the succeeded trials with these configurations."""
    return select(*columns).where(
        Arm.config_sha256.in_(hashes),
        Trial.arm_id == Arm.id,
        Trial.sweep_id == Arm.sweep_id,  # redundant, but the index over trials begins with it
        Trial.state == TrialState.succeeded,
    )


def _ran(session: Session, hashes: Sequence[str]) -> Mapping[int, set[Code]]:
    """The code of each succeeded trial with these configurations, by its attempts."""
    parts = [Attempt.environment[name].as_string() for name in ("lrd", "plugins")]
    ran: defaultdict[int, set[Code]] = defaultdict(set)
    for trial_id, *code in session.execute(_succeeded(hashes, Trial.id, *parts).where(has_made())):
        ran[trial_id].add(Code._make(code))
    return ran


def _fitting(
    session: Session,
    hashes: Sequence[str],
    known: Collection[str],
    execution: dict[str, Any],
) -> dict[str, bool]:
    """Sweep with one of these configurations -> whether its execution serves; without `known` ones.

    Reads each sweep once, and only this part of its spec: a spec may have a megabyte, and a sweep a
    hundred thousand trials.
    """
    there = select(Arm.sweep_id).where(Arm.config_sha256.in_(hashes)).distinct()
    ran_it = [each for each in session.scalars(there) if each not in known]
    found = dict.fromkeys(ran_it, False)
    for ids in _parts(ran_it):
        query = select(Sweep.id, Sweep.spec["execution"]).where(
            Sweep.id.in_(ids), Sweep.deleted_at.is_(None)
        )
        found |= {each: _serves(given or {}, execution) for each, given in session.execute(query)}
    return found


def _serves(given: dict[str, Any], asked: dict[str, Any]) -> bool:
    """Whether the execution `given` has all that is `asked`; additional weights do no harm."""
    if not asked.get("keep_weights"):
        given, asked = (
            {name: value for name, value in each.items() if name != "keep_weights"}
            for each in (given, asked)
        )
    return given == asked


def _stands_for(
    session: Session, holder: str, maker: str | None, owner: str | None, *, weights: bool
) -> bool:
    """Whether results that the sweep `holder` has, and that `maker` made, stand for trials of
    `owner`; with `weights`, only if these are sure to be here, which no bundle brings."""
    query = select(Sweep.id, Sweep.owner).where(
        Sweep.id.in_([holder, maker]), Sweep.deleted_at.is_(None)
    )
    owners = {found.id: found.owner for found in session.execute(query)}
    if maker not in owners:
        return bool(owners[holder] == owner) and not weights
    imported = exists().where(Event.sweep_id == maker, Event.kind == IMPORTED)
    its_own = bool(owners[maker] == owner) and not weights
    return its_own or not session.scalar(select(imported))


def _parts(items: Sequence[T], size: int = 500) -> Iterator[Sequence[T]]:
    """Split into parts, because a database takes some thousand parameters at most."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
